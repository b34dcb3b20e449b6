//! The trait of typed values that are encoded as payloads. The reader does the checks.

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, EncodeError, Fault, Limits, Reader, Writer};

/// A value that is sent as one payload.
///
/// Implemented for every struct, union and exception that `kitex-codegen` generates.
pub trait Payload: Sized + Send + 'static {
    /// Appends the value to `buf`, which should be reused.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the value is longer than a Thrift length can express. `buf` is then unchanged.
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError>;

    /// Reads a value within `limits`. Bytes after the value's end are ignored, as Kitex ignores them.
    ///
    /// Strings and binaries above 512 bytes are slices of `bytes` and keep all of it alive.
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
        Self::decode_within(bytes, &Limits::new())
    }
}

/// A generated type that may be the whole of a payload. For generated code.
pub trait Message: Sized {
    /// The name in the IDL.
    const NAME: &'static str;

    /// Returns the number of bytes that [`write`](Self::write) writes.
    fn size(&self) -> usize;

    /// Writes the value.
    fn write(&self, to: &mut Writer<'_>);

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// The reader keeps the error.
    fn read(from: &mut Reader) -> crate::Decoded<Self>;
}

impl<T: Message + Send + 'static> Payload for T {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        let size = self.size();
        // No length inside is longer than the whole.
        if i32::try_from(size).is_err() {
            return Err(EncodeError::TooLarge { size });
        }
        buf.reserve(size);
        self.write(&mut Writer::new(buf));
        Ok(())
    }

    fn decode_within(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(Fault::Empty.into());
        }
        let mut reader = Reader::new(bytes, limits);
        T::read(&mut reader).map_err(|_| reader.into_error(T::NAME))
    }
}
