//! Converts the head of a call to the strings of a header frame and back. Owns the meaning of the keys.

use bytes::Bytes;
use std::time::Duration;
use stream_core::call::{CallHead, OutgoingCall};
use stream_core::io::Address;
use stream_core::{Metadata, Metainfo, Pair};

use ttheader_codec::key::{BACKWARD_PREFIX, IDL_SERVICE, PERSISTENT_PREFIX, TRANSIENT_PREFIX};

/// Returns the strings of the header frame of `call`.
pub(crate) fn strings(call: &OutgoingCall<'_>) -> Metadata {
    let mut strings = call.headers.clone();
    strings.insert(IDL_SERVICE, call.method.service_bytes());
    if let Some(Metainfo { persistent, transient }) = call.metainfo {
        put(&mut strings, TRANSIENT_PREFIX, transient);
        put(&mut strings, PERSISTENT_PREFIX, persistent);
    }
    strings
}

/// Returns the head of a call that a peer has started.
pub(crate) fn received(
    service: Bytes,
    method: Bytes,
    metadata: Metadata,
    timeout: Option<Duration>,
    peer: Address,
    protocol: &'static str,
) -> CallHead {
    let mut metainfo = Metainfo::default();
    for (key, value) in metadata.iter() {
        if let Some(name) = strip(key, PERSISTENT_PREFIX) {
            metainfo.persistent.push((name, value.clone()));
        } else if let Some(name) = strip(key, TRANSIENT_PREFIX) {
            metainfo.transient.push((name, value.clone()));
        }
    }
    let mut head = CallHead::new(service, method, peer, protocol);
    head.metainfo = (!metainfo.is_empty()).then_some(metainfo);
    (head.metadata, head.timeout) = (metadata, timeout);
    head
}

/// Adds backward metainfo to the strings of a trailer or of a response's header.
pub(crate) fn put_backward(strings: &mut Metadata, backward: &[Pair]) {
    put(strings, BACKWARD_PREFIX, backward);
}

/// Returns the backward metainfo of a handler.
pub(crate) fn backward(strings: &Metadata) -> Vec<Pair> {
    let pairs = strings.iter().filter_map(|(key, value)| Some((strip(key, BACKWARD_PREFIX)?, value.clone())));
    pairs.collect()
}

fn put(strings: &mut Metadata, prefix: &[u8], pairs: &[Pair]) {
    strings.extend(pairs.iter().map(|(key, value)| ([prefix, key].concat(), value.clone())));
}

fn strip(key: &Bytes, prefix: &[u8]) -> Option<Bytes> {
    key.starts_with(prefix).then(|| key.slice(prefix.len()..))
}
