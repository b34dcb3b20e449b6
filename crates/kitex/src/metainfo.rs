//! Metainfo: pairs sent with calls, transient ones for one hop, persistent ones along the whole chain.
//! Owns which of them a call sends.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use stream_core::observe::{SERVICE_NAME, TRACEPARENT};
use stream_core::{Extensions, Metainfo, Pair, find_pair, is_folded};

/// Whether transient metainfo from the caller is passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They end here, as their name says, but for those of traces: `traceparent`, `tracestate`, `baggage`, and
    /// `service.name`, `service.namespace` and `deployment.environment` of the caller. Kitex calls it single-hop.
    #[default]
    SingleHop,
    /// It is passed on to the calls of the handler, as by default in Kitex.
    Legacy,
}

/// Keys of transient pairs that a handler's calls take on though transient pairs end there: those of W3C Trace Context,
/// and those by which Kitex's OpenTelemetry middleware names the caller. A trace must not break at a service that has no
/// tracing.
const TRACE_KEYS: [&str; 6] =
    [TRACEPARENT, "tracestate", "baggage", SERVICE_NAME, "service.namespace", "deployment.environment"];

/// What a context carries: metainfo, and the values that stay in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContextMetainfo {
    /// Sent with calls under the context.
    outgoing: Metainfo,
    /// Transient pairs from the caller, for the handler to read.
    received: Received,
    pub(crate) extensions: Extensions,
}

/// `Debug` prints keys only: values may be secrets.
#[derive(Clone, Default)]
struct Received(Vec<Pair>);

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl ContextMetainfo {
    /// Returns what the context of a handler of `service` carries whose caller sent `metainfo` and whose observers left
    /// `extensions`; `None` if that is nothing. The name of a caller goes on as `service`: it is the next one's caller.
    pub(crate) fn received(
        metainfo: Option<Metainfo>,
        extensions: Extensions,
        service: &str,
    ) -> Option<Arc<Self>> {
        if metainfo.is_none() && extensions.is_empty() {
            return None;
        }
        let Metainfo { persistent, transient } = metainfo.unwrap_or_default();
        let trace = |(found, value): &Pair| match trace_key(found)? {
            SERVICE_NAME => Some((SERVICE_NAME.into(), Bytes::copy_from_slice(service.as_bytes()))),
            key => Some((key.into(), value.clone())),
        };
        let outgoing = Metainfo { persistent, transient: transient.iter().filter_map(trace).collect() };
        Some(Arc::new(Self { outgoing, received: Received(transient), extensions }))
    }

    pub(crate) fn set_persistent(&mut self, key: Bytes, value: Bytes) {
        self.outgoing.set_persistent(key, value);
    }

    pub(crate) fn set_transient(&mut self, key: Bytes, value: Bytes) {
        if key == SERVICE_NAME {
            self.received.0.retain(|(found, _)| trace_key(found) != Some(SERVICE_NAME));
        }
        self.outgoing.set_transient(key, value);
    }

    pub(crate) fn persistent(&self, key: &[u8]) -> Option<&Bytes> {
        self.outgoing.persistent_value(key)
    }

    pub(crate) fn transient(&self, key: &[u8]) -> Option<&Bytes> {
        let received = || find_pair(&self.received.0, key);
        let set = || self.outgoing.transient_value(key);
        // What goes on under this key is not what was received.
        if key == SERVICE_NAME.as_bytes() { received().or_else(set) } else { set().or_else(received) }
    }

    /// Returns the pairs that a call under this context sends.
    pub(crate) fn outgoing(&self, propagation: Propagation) -> Cow<'_, Metainfo> {
        if propagation == Propagation::SingleHop || self.received.0.is_empty() {
            return Cow::Borrowed(&self.outgoing);
        }
        let mut outgoing = self.outgoing.clone();
        // Those of traces are among its own.
        let received = self.received.0.iter().filter(|(key, _)| trace_key(key).is_none()).cloned();
        let own = std::mem::replace(&mut outgoing.transient, received.collect());
        own.into_iter().for_each(|(key, value)| outgoing.set_transient(key, value));
        Cow::Owned(outgoing)
    }
}

/// Returns the key of traces that `found` is, in whatever case a transport brought it.
fn trace_key(found: &[u8]) -> Option<&'static str> {
    TRACE_KEYS.into_iter().find(|key| is_folded(found, key.as_bytes()))
}
