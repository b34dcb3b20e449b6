//! The seam between a typed value and a stream's bytes. Owns how a thrift struct becomes a payload and back;
//! the IDL's types are pilota's, the checks are the reader's.

use bytes::{Bytes, BytesMut};
use pilota::thrift::{Message, ThriftException, binary::TBinaryProtocol};

use crate::{DecodeError, EncodeError, Fault, Limits, Reader};

/// A value that travels as one payload.
///
/// Every pilota thrift struct is one. The streams above know only this trait, so another encoding may follow
/// as a type of its own around the message (`Protobuf<M>`), without a change there.
///
/// Types that `kitex-codegen` made are bounded by [`Limits`] in full. Types from pilota-build itself, as Volo
/// generates them, are checked length by length too, but their lists reserve room for all announced elements
/// at once: generate them with `kitex-codegen` before you show them to a peer that you do not trust.
pub trait Payload: Sized + Send + 'static {
    /// Appends the value to `buf`, which is worth reusing.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the value is longer than thrift's lengths can say. `buf` is as it was then.
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError>;

    /// Reads a value within `limits`. Bytes after the value's end are ignored, as Kitex ignores them.
    ///
    /// Strings and binaries above 512 bytes stay slices of `bytes` and keep all of it alive.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are not such a value, or would cost more than `limits` allow.
    fn decode_within(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError>;

    /// Reads a value within the default limits.
    ///
    /// # Errors
    ///
    /// As [`decode_within`](Self::decode_within).
    fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode_within(bytes, &Limits::default())
    }
}

impl<T: Message + Send + 'static> Payload for T {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        let size = self.size(&mut TBinaryProtocol::new((), false));
        // Pilota writes lengths with `as i32`. No length inside is longer than the whole.
        if i32::try_from(size).is_err() {
            return Err(EncodeError::TooLarge { size });
        }
        let before = buf.len();
        buf.reserve(size);
        Message::encode(self, &mut TBinaryProtocol::new(&mut *buf, false)).map_err(|error| {
            buf.truncate(before);
            EncodeError::Refused(error.message().clone())
        })
    }

    fn decode_within(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(Fault::Empty.into());
        }
        let mut reader = Reader::new(bytes, limits);
        // Not `Self::decode`, which would be this trait's.
        let decoded: Result<Self, ThriftException> = <Self as Message>::decode(&mut reader);
        decoded.map_err(|error| DecodeError::new(reader.into_refusal(), &error))
    }
}
