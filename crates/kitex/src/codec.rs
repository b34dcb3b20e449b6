//! How messages become bytes. Owns the seam at which an encoding stands beside Thrift.

use bytes::{Bytes, BytesMut};
use kerrors::{Error, Result};
use kitex_thrift::Limits;
use stream_core::PayloadCodec;

/// Thrift binary, the encoding that is used unless a type says otherwise.
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
    /// The message cannot be encoded. `buf` may hold a part of it then.
    fn encode(message: &T, buf: &mut BytesMut) -> Result<()>;

    /// Returns the message in `bytes`.
    ///
    /// # Errors
    /// The bytes are no such message, or it would cost more than `limits` allow.
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

/// A value that travels as one message in the encoding `C`. Implemented for every type that [`Codec`] is implemented
/// for; with Thrift, every struct that `kitex-codegen` makes.
pub trait Payload<C = Thrift>: Sized + Send + 'static {
    /// Appends the value to `buf`.
    ///
    /// # Errors
    /// As [`Codec::encode`].
    fn encode(&self, buf: &mut BytesMut) -> Result<()>;

    /// Returns the value in `bytes`.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn decode_within(bytes: Bytes, limits: &Limits) -> Result<Self>;

    /// Returns the value in `bytes`, within the default limits.
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
