//! A method of a service, from generated code or a runtime IDL. Knows no transport: transports cache what
//! they derive from a name.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// The direction in which a method's messages flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamingMode {
    /// One request, one response, no mode in the IDL.
    PingPong,
    /// One request, one response, `streaming.mode="unary"`: the same as [`PingPong`](Self::PingPong) on a
    /// TTHeader connection.
    Unary,
    /// A stream of requests, one response.
    Client,
    /// One request, a stream of responses.
    Server,
    /// A stream in each direction.
    Bidirectional,
}

impl StreamingMode {
    /// Returns whether a TTHeader connection carries the method on a stream.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Client | Self::Server | Self::Bidirectional)
    }
}

/// The encoding of a method's messages: the protocol id of a TTHeader frame, the content subtype of gRPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadCodec {
    /// Thrift binary, protocol id 0 of TTHeader.
    #[default]
    Thrift,
    /// Protobuf.
    Protobuf,
}

/// A method: the service it belongs to, its name, how its messages flow and how they are encoded.
///
/// Generated code has one `static` for each method; a method that is known only at run time has owned names.
#[derive(Clone, PartialEq, Eq)]
pub struct Method {
    package: &'static str,
    service: Cow<'static, str>,
    name: Cow<'static, str>,
    mode: StreamingMode,
    oneway: bool,
    codec: PayloadCodec,
}

impl Method {
    /// Returns a method with Thrift messages.
    pub const fn new(service: &'static str, name: &'static str, mode: StreamingMode) -> Self {
        Self::with_names(Cow::Borrowed(service), Cow::Borrowed(name), mode)
    }

    /// Returns a method whose names are known only at run time, with Thrift messages.
    pub const fn with_names(
        service: Cow<'static, str>,
        name: Cow<'static, str>,
        mode: StreamingMode,
    ) -> Self {
        Self { package: "", service, name, mode, oneway: false, codec: PayloadCodec::Thrift }
    }

    /// Returns a ping-pong method without a response, with Thrift messages.
    pub const fn oneway(service: &'static str, name: &'static str) -> Self {
        let mut method = Self::new(service, name, StreamingMode::PingPong);
        method.oneway = true;
        method
    }

    /// Returns the service's name in the IDL.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Returns the package before the service's name in the path of a gRPC request; empty if there is
    /// none. TTHeader carries no package.
    pub const fn package(&self) -> &'static str {
        self.package
    }

    /// Returns the service's name in the IDL as bytes, without a copy if it is static.
    pub fn service_bytes(&self) -> Bytes {
        match &self.service {
            Cow::Borrowed(name) => Bytes::from_static(name.as_bytes()),
            Cow::Owned(name) => Bytes::copy_from_slice(name.as_bytes()),
        }
    }

    /// Returns the method's name in the IDL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the direction in which messages flow.
    pub const fn mode(&self) -> StreamingMode {
        self.mode
    }

    /// Returns whether the call has no response.
    pub const fn is_oneway(&self) -> bool {
        self.oneway
    }

    /// Returns the encoding of the messages.
    pub const fn codec(&self) -> PayloadCodec {
        self.codec
    }

    /// Returns the method with the package of its IDL: of Protobuf the `package`, of Thrift the last part of the
    /// `namespace go`. Default: none.
    #[must_use]
    pub const fn with_package(mut self, package: &'static str) -> Self {
        self.package = package;
        self
    }

    /// Returns the method with another encoding of its messages.
    #[must_use]
    pub const fn with_codec(mut self, codec: PayloadCodec) -> Self {
        self.codec = codec;
        self
    }
}

/// `Service.Method`, as error texts name a call.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.name)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.mode)
    }
}
