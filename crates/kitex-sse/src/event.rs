//! One server-sent event as bytes. Owns the format of fields and lines; knows nothing of calls.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use kitex::Error;

use crate::error::error_json;

/// One event: data, and optionally a name and an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    name: Option<Cow<'static, str>>,
    id: Option<String>,
    data: String,
}

impl Event {
    /// Returns an event with this data. Each line of it becomes a `data:` line; CR LF and CR become LF, as the format
    /// cannot carry them.
    pub fn data(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Returns `event: error` whose data is [`error_json`].
    pub fn error(error: &Error) -> Self {
        Self::data(error_json(error).to_string()).name("error")
    }

    /// Sets the event's name, for `addEventListener`; without one it is `message`. Line breaks are left out.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the id that a browser sends back as `Last-Event-ID`. Line breaks and NUL are left out.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub(crate) fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Appends the event's lines and the empty line that ends it.
    pub(crate) fn encode(&self, to: &mut BytesMut) {
        if let Some(id) = &self.id {
            field(to, "id", id);
        }
        if let Some(name) = &self.name {
            field(to, "event", name);
        }
        let mut lines = self.data.split('\n').peekable();
        while let Some(line) = lines.next() {
            // A CR before an LF is part of the line's end; elsewhere it is an end of its own.
            let line = if lines.peek().is_some() { line.strip_suffix('\r').unwrap_or(line) } else { line };
            for part in line.split('\r') {
                to.put_slice(b"data: ");
                to.put_slice(part.as_bytes());
                to.put_u8(b'\n');
            }
        }
        to.put_u8(b'\n');
    }
}

fn field(to: &mut BytesMut, name: &str, value: &str) {
    to.put_slice(name.as_bytes());
    to.put_slice(b": ");
    for part in value.split(['\r', '\n', '\0']) {
        to.put_slice(part.as_bytes());
    }
    to.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::Event;

    #[test]
    fn an_event_is_encoded_line_by_line() {
        for (event, text) in [
            (Event::data("hi"), "data: hi\n\n"),
            (Event::data(""), "data: \n\n"),
            (Event::data(" two"), "data:  two\n\n"),
            (Event::data("a\nb"), "data: a\ndata: b\n\n"),
            (Event::data("a\r\nb"), "data: a\ndata: b\n\n"),
            (Event::data("a\rb\n"), "data: a\ndata: b\ndata: \n\n"),
            (Event::data("a").name("token"), "event: token\ndata: a\n\n"),
            (Event::data("a").name("x\ndata: forged"), "event: xdata: forged\ndata: a\n\n"),
            (Event::data("a").id("7\n\08"), "id: 78\ndata: a\n\n"),
            (Event::data("größe 雪"), "data: größe 雪\n\n"),
        ] {
            let mut bytes = BytesMut::new();
            event.encode(&mut bytes);
            assert_eq!(bytes, text, "{event:?}");
        }
    }
}
