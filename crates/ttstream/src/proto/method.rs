//! The frames of one method. Their common parts are encoded once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foldhash::fast::RandomState;
use ttheader_codec::{EncodeError, FrameType, Head, HeaderTemplate, Limits, encode_header_within, key};

use super::id::StreamId;
use crate::Metadata;

/// A method's name, its service's, and the encoded header of its data frames.
#[derive(Debug)]
pub struct Method {
    name: Bytes,
    /// The service's name in the IDL; empty if none was sent.
    service: Bytes,
    data: HeaderTemplate,
}

impl Method {
    /// Encodes the common parts of the frames of the method `name`.
    ///
    /// # Errors
    /// [`EncodeError::ValueTooLarge`] if the name is longer than 65,535 bytes.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, EncodeError> {
        Self::of_service(Bytes::new(), name.into())
    }

    fn of_service(service: Bytes, name: Bytes) -> Result<Self, EncodeError> {
        let data = HeaderTemplate::new(Head::streaming(0), ints(FrameType::Data, &name))?;
        Ok(Self { name, service, data })
    }

    /// Returns the name, as on the wire.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Returns the name of the service in the IDL, as on the wire; empty if none was sent.
    pub fn service(&self) -> &Bytes {
        &self.service
    }

    /// Checks that a peer with these limits accepts the frames of the method.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), EncodeError> {
        self.data.check_header(limits)
    }

    /// Checks that a peer that accepts frames of `frame_len` bytes accepts a message of `payload_len`.
    #[inline]
    pub(super) fn check_data(&self, payload_len: usize, frame_len: usize) -> Result<(), EncodeError> {
        self.data.check_within(payload_len, frame_len)
    }

    pub(super) fn put_data(&self, id: StreamId, len: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.data.write(id.get(), len, out)
    }

    pub(super) fn put_frame(
        &self,
        id: i32,
        frame: &Frame<'_>,
        limits: &Limits,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let timeout = frame.timeout.map(|timeout| timeout.as_millis().to_string());
        let timeout = timeout.iter().map(|timeout| (key::RPC_TIMEOUT, timeout.as_bytes()));
        let offer = frame.offer.map(|window| window.to_string());
        let offer = offer.iter().map(|window| (key::FLOW_CREDITS, window.as_bytes()));
        let ints = ints(frame.frame_type, &self.name).into_iter().chain(timeout).chain(offer);
        let strings = frame.strings.as_slices();
        let head = Head::streaming(id);
        encode_header_within(limits, out, head, strings, ints, frame.payload.len())?;
        out.extend_from_slice(frame.payload);
        Ok(())
    }
}

/// A frame other than data.
pub(super) struct Frame<'a> {
    pub(super) frame_type: FrameType,
    pub(super) strings: &'a Metadata,
    pub(super) payload: &'a [u8],
    /// A client's header frame: the time left until its deadline. Kitex servers ignore it.
    pub(super) timeout: Option<Duration>,
    /// A client's header frame: the window of a stream, to offer flow control by credits.
    pub(super) offer: Option<u32>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(frame_type: FrameType, strings: &'a Metadata, payload: &'a [u8]) -> Self {
        Self { frame_type, strings, payload, timeout: None, offer: None }
    }
}

fn ints(frame_type: FrameType, name: &[u8]) -> [(u16, &[u8]); 2] {
    [(key::FRAME_TYPE, frame_type.as_bytes()), (key::TO_METHOD, name)]
}

/// The methods of a connection by name, shared by its streams. The number is bounded: beyond it each stream has its
/// own copy.
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// Few services of one connection have a method of the same name.
    by_name: HashMap<Bytes, Vec<Arc<Method>>, RandomState>,
    count: usize,
}

/// Methods that are kept for a connection.
const MAX_METHODS: usize = 256;
/// Bytes of the two names of a method that is kept: a peer chooses them.
const MAX_NAMES: usize = 512;

impl Methods {
    /// Returns the method `name` of `service`.
    ///
    /// # Errors
    /// [`EncodeError::ValueTooLarge`] if the name is longer than 65,535 bytes.
    pub(super) fn get(&mut self, service: Option<&[u8]>, name: &[u8]) -> Result<Arc<Method>, EncodeError> {
        let service = service.unwrap_or_default();
        let same_name = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        if let Some(method) = same_name.iter().find(|method| method.service == service) {
            return Ok(method.clone());
        }
        let (service, name) = (Bytes::copy_from_slice(service), Bytes::copy_from_slice(name));
        let method = Arc::new(Method::of_service(service, name)?);
        let names = method.name.len().saturating_add(method.service.len());
        if self.count < MAX_METHODS && names <= MAX_NAMES {
            self.count = self.count.saturating_add(1);
            self.by_name.entry(method.name.clone()).or_default().push(method.clone());
        }
        Ok(method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of a service and a method, and whether a second stream shares what the first has made.
    const SHARED: [(&str, &str, bool); 5] =
        [("A", "M", true), ("B", "M", true), ("", "M", true), ("A", "long", false), ("A", "N", true)];

    #[test]
    fn streams_share_methods_within_the_bounds() {
        let mut methods = Methods::default();
        for (service, name, shared) in SHARED {
            let name = if name == "long" { "x".repeat(MAX_NAMES) } else { name.to_owned() };
            let mut get = || methods.get(Some(service.as_bytes()), name.as_bytes()).unwrap();
            let (first, second) = (get(), get());
            assert_eq!((first.name(), first.service()), (&Bytes::from(name), &Bytes::from(service)));
            assert_eq!(Arc::ptr_eq(&first, &second), shared, "{service} {}", first.name().len());
        }
        for number in 0..2 * MAX_METHODS {
            methods.get(Some(b"A"), number.to_string().as_bytes()).unwrap();
        }
        assert_eq!(methods.by_name.values().map(Vec::len).sum::<usize>(), MAX_METHODS);
    }
}
