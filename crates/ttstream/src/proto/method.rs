//! The frames of one method. What they share is encoded once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foldhash::fast::RandomState;
use ttheader_codec::{EncodeError, FrameType, Head, HeaderTemplate, Limits, encode_header_within, key};

use super::id::StreamId;
use crate::Metadata;

/// A method's name and the encoded header of its data frames.
#[derive(Debug)]
pub struct Method {
    name: Bytes,
    data: HeaderTemplate,
}

impl Method {
    /// Encodes what the frames of the method `name` share.
    ///
    /// # Errors
    /// [`EncodeError::ValueTooLarge`] if the name is longer than 65,535 bytes.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, EncodeError> {
        let name = name.into();
        let data = HeaderTemplate::new(Head::streaming(0), ints(FrameType::Data, &name))?;
        Ok(Self { name, data })
    }

    /// Returns the name, as on the wire.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Checks that a peer with these limits takes the frames of the method.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), EncodeError> {
        self.data.check_header(limits)
    }

    /// Checks that a peer which takes frames of `frame_len` bytes takes a message of `payload_len`.
    #[inline]
    pub(super) fn check_data(&self, payload_len: usize, frame_len: usize) -> Result<(), EncodeError> {
        self.data.check_within(payload_len, frame_len)
    }

    pub(super) fn put_data(&self, id: StreamId, len: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.data.write(id.get(), len, out)
    }

    pub(super) fn put_frame(
        &self,
        id: StreamId,
        frame: &Frame<'_>,
        limits: &Limits,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let timeout = frame.timeout.map(|timeout| timeout.as_millis().to_string());
        let timeout = timeout.iter().map(|timeout| (key::RPC_TIMEOUT, timeout.as_bytes()));
        let ints = ints(frame.frame_type, &self.name).into_iter().chain(timeout);
        let strings = frame.strings.as_slices();
        let head = Head::streaming(id.get());
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
}

impl<'a> Frame<'a> {
    pub(super) fn new(frame_type: FrameType, strings: &'a Metadata, payload: &'a [u8]) -> Self {
        Self { frame_type, strings, payload, timeout: None }
    }
}

fn ints(frame_type: FrameType, name: &[u8]) -> [(u16, &[u8]); 2] {
    [(key::FRAME_TYPE, frame_type.as_bytes()), (key::TO_METHOD, name)]
}

/// The methods that a peer has named, so that streams share them. The number is bounded: a peer that sends
/// more names gets a copy for each stream.
#[derive(Debug, Default)]
pub(super) struct Methods(HashMap<Bytes, Arc<Method>, RandomState>);

const MAX_METHODS: usize = 256;

impl Methods {
    pub(super) fn get(&mut self, name: &[u8]) -> Result<Arc<Method>, EncodeError> {
        if let Some(method) = self.0.get(name) {
            return Ok(method.clone());
        }
        let method = Arc::new(Method::new(Bytes::copy_from_slice(name))?);
        if self.0.len() < MAX_METHODS {
            self.0.insert(method.name.clone(), method.clone());
        }
        Ok(method)
    }
}
