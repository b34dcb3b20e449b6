//! A parsed request, and the response to one that is not valid.

use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use http::header::CONTENT_TYPE;
use kerrors::GrpcStatus;
use stream_core::PayloadCodec;
use stream_core::call::CallHead;

use crate::compression::Compression;
use crate::{header, trailer};

/// A parsed request.
pub(super) struct Opening {
    pub(super) head: CallHead,
    pub(super) codec: PayloadCodec,
    /// The encoding of the requests.
    pub(super) compression: Option<Compression>,
    /// The encoding of the responses.
    pub(super) answer: Option<Compression>,
    /// The name of the client's service, for the text of a cancel.
    pub(super) source: String,
    pub(super) timeout: Option<Duration>,
}

/// Responds to an invalid request.
pub(super) fn refuse(mut respond: SendResponse<Bytes>, status: &GrpcStatus) {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, header::content_type(PayloadCodec::Thrift));
    trailer::put_plain(response.headers_mut(), status);
    // Fails if the client has reset the stream meanwhile.
    let _ = respond.send_response(response, true);
}
