//! Events of whole and split bodies.

use bytes::Bytes;

use super::{Events, MAX_EVENT_LEN, TooLarge};

#[test]
fn sse_body_is_split_into_events() {
    let rows: &[(&str, &[&str])] = &[
        ("data: a\n\n", &["a"]),
        ("data:a\n\ndata: b\n\n", &["a", "b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
        ("data: a\r\rdata: b\r\r", &["a", "b"]),
        ("data:  two spaces\n\n", &[" two spaces"]),
        ("data: one\ndata: two\n\n", &["one\ntwo"]),
        ("data\n\n", &[""]),
        ("data:\n\n", &[""]),
        (": a comment\n\n:\n\ndata: a\n: another\n\n", &["a"]),
        ("event: ping\nid: 7\nretry: 3\n\ndata: a\n\n", &["a"]),
        ("event: delta\ndata: a\nid: 8\n\n", &["a"]),
        ("datax: no\n data: no\nDATA: no\n\n", &[]),
        ("\u{feff}data: a\n\n", &["a"]),
        ("data: \u{feff}a\n\n", &["\u{feff}a"]),
        ("data: größe 雪 🌈\n\n", &["größe 雪 🌈"]),
        ("data: a:b\n\n", &["a:b"]),
        ("\n\n\n\n", &[]),
        ("data: not ended\n", &[]),
        ("data: not ended", &[]),
        ("", &[]),
    ];
    for (body, events) in rows {
        check(body, events);
    }
}

#[test]
fn sse_event_length_is_bounded() {
    let events = |len: usize| {
        let mut events = Events::default();
        events.feed(Bytes::from(format!("data:{}\n\n", "x".repeat(len))));
        events.next_event().map(|event| event.map(|data| data.len()))
    };
    let longest = MAX_EVENT_LEN - "data:".len();
    assert_eq!(events(longest), Ok(Some(longest)));
    assert_eq!(events(longest + 1), Err(TooLarge));
}

#[test]
fn sse_event_of_many_lines_or_chunks_is_bounded() {
    for piece in ["data: 0123456789abcdef\n", "data without an end"] {
        let mut events = Events::default();
        let mut fed = 0;
        let refused = loop {
            events.feed(Bytes::from_static(piece.as_bytes()));
            fed += piece.len();
            match events.next_event() {
                Ok(None) => assert!(fed < 3 * MAX_EVENT_LEN, "never refused: {piece}"),
                other => break other,
            }
        };
        assert_eq!(refused, Err(TooLarge), "{piece}");
    }
}

#[test]
fn sse_comments_are_not_buffered() {
    let mut events = Events::default();
    for _ in 0..MAX_EVENT_LEN / 4 {
        events.feed(Bytes::from_static(b": still here\n\n"));
        assert_eq!(events.next_event(), Ok(None));
    }
}

/// Feeds `body` whole, cut in two at every byte, and byte by byte.
fn check(body: &str, expected: &[&str]) {
    let body = body.as_bytes();
    for at in 0..=body.len() {
        assert_eq!(read(&[&body[..at], &body[at..]]), expected, "cut at {at}");
    }
    assert_eq!(read(&body.chunks(1).collect::<Vec<_>>()), expected, "byte by byte");
}

fn read(chunks: &[&[u8]]) -> Vec<String> {
    let mut events = Events::default();
    let mut found = Vec::new();
    for chunk in chunks {
        events.feed(Bytes::copy_from_slice(chunk));
        while let Some(data) = events.next_event().expect("within the bound") {
            found.push(String::from_utf8(data).expect("test bodies are text"));
        }
    }
    found
}
