//! The transient metainfo of a call as what propagators read and write.

use bytes::Bytes;
use opentelemetry::propagation::{Extractor, Injector};
use stream_core::{Metainfo, is_folded};

/// Reads keys in whatever case a transport brought them.
pub(crate) struct Received<'a>(pub(crate) &'a Metainfo);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        text(self.0.transient_folded(key)?)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.transient.iter().filter_map(|(key, _)| text(key)).collect()
    }
}

/// Writes keys in place of those that mean the same.
pub(crate) struct Sent<'a>(pub(crate) &'a mut Metainfo);

impl Injector for Sent<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.transient.retain(|(found, _)| !is_folded(found, key.as_bytes()));
        // An empty `tracestate` says nothing.
        if !value.is_empty() {
            self.0.set_transient(key.to_owned(), value);
        }
    }
}

fn text(bytes: &Bytes) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
