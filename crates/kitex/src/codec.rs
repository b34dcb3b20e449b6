//! Encodings of messages. Owns the traits by which an encoding other than Thrift is added.

use bytes::{Bytes, BytesMut};
use kerrors::{Error, Result};
use kitex_thrift::Limits;
use stream_core::PayloadCodec;

/// Thrift binary, the default encoding.
#[derive(Clone, Copy, Debug)]
pub struct Thrift;

/// An encoding of messages of type `T`. Implement it for a marker type of your own, and name that type where a stream
/// type takes one: `ServerStreamingServer<Token, MyCodec>`.
pub trait Codec<T>: 'static {
    /// The encoding as a transport names it.
    const CODEC: PayloadCodec;

    /// Appends `message` to `buf`.
    ///
    /// # Errors
    /// The message cannot be encoded. `buf` may then contain a part of it.
    fn encode(message: &T, buf: &mut BytesMut) -> Result<()>;

    /// Decodes the message in `bytes`.
    ///
    /// # Errors
    /// The bytes are not a valid message, or it would exceed `limits`.
    fn decode(bytes: Bytes, limits: &Limits) -> Result<T>;
}

impl<T: kitex_thrift::Payload> Codec<T> for Thrift {
    const CODEC: PayloadCodec = PayloadCodec::Thrift;

    fn encode(message: &T, buf: &mut BytesMut) -> Result<()> {
        message.encode(buf).map_err(Error::codec)
    }

    fn decode(bytes: Bytes, limits: &Limits) -> Result<T> {
        T::decode_within(bytes, limits).map_err(Error::codec)
    }
}

/// Protobuf. A message nests at most 100 levels deep. What its values take in memory is bound by the size of a message
/// alone (`max_message_size`), of which it may be several hundred times: an empty element of a repeated field is two bytes
/// of a message, and a whole struct in memory. [`Limits`] does not apply.
#[cfg(feature = "protobuf")]
#[derive(Clone, Copy, Debug)]
pub struct Protobuf;

#[cfg(feature = "protobuf")]
impl<T: prost::Message + Default + 'static> Codec<T> for Protobuf {
    const CODEC: PayloadCodec = PayloadCodec::Protobuf;

    fn encode(message: &T, buf: &mut BytesMut) -> Result<()> {
        message.encode(buf).map_err(Error::codec)
    }

    fn decode(bytes: Bytes, _: &Limits) -> Result<T> {
        T::decode(bytes).map_err(Error::codec)
    }
}

/// A value that is sent as one message in the encoding `C`. Implemented for every type that [`Codec`] is implemented
/// for; with Thrift, for every struct that `kitex-codegen` generates.
pub trait Payload<C = Thrift>: Sized + Send + 'static {
    /// Appends the value to `buf`.
    ///
    /// # Errors
    /// As [`Codec::encode`].
    fn encode(&self, buf: &mut BytesMut) -> Result<()>;

    /// Decodes the value in `bytes`.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn decode_within(bytes: Bytes, limits: &Limits) -> Result<Self>;

    /// Decodes the value in `bytes`, within the default limits.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn decode(bytes: Bytes) -> Result<Self> {
        Self::decode_within(bytes, &Limits::new())
    }
}

impl<T: Send + 'static, C: Codec<T>> Payload<C> for T {
    fn encode(&self, buf: &mut BytesMut) -> Result<()> {
        C::encode(self, buf)
    }

    fn decode_within(bytes: Bytes, limits: &Limits) -> Result<Self> {
        C::decode(bytes, limits)
    }
}
