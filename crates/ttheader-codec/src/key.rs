//! Every key of a TTHeader header, defined once.

/// Version of the service mesh protocol.
pub const MESH_VERSION: u16 = 0;
/// `framed` or `unframed`: how the Thrift message in the payload is wrapped.
pub const TRANSPORT_TYPE: u16 = 1;
/// Log id.
pub const LOG_ID: u16 = 2;
/// Service name of the caller. A claim of the peer, not an identity.
pub const FROM_SERVICE: u16 = 3;
/// Service name of the callee.
pub const TO_SERVICE: u16 = 6;
/// Method that is called.
pub const TO_METHOD: u16 = 9;
/// Timeout of the call, decimal milliseconds.
pub const RPC_TIMEOUT: u16 = 12;
/// Timeout of the caller's dial, decimal milliseconds.
pub const CONNECT_TIMEOUT: u16 = 17;
/// Method of the caller that makes this call.
pub const FROM_METHOD: u16 = 20;
/// Thrift message type: `1` call, `2` reply, `3` exception, `4` oneway.
pub const MSG_TYPE: u16 = 22;
/// Frame type of TTHeader Streaming; see [`FrameType`](crate::FrameType).
pub const FRAME_TYPE: u16 = 27;
/// Flow control between peers of this project: the window of a new stream, decimal bytes. Not one of Kitex, which ignores it.
pub const FLOW_CREDITS: u16 = 20000;

/// IDL service name.
pub const IDL_SERVICE: &[u8] = b"isn";
/// Address that the caller claims to have.
pub const REMOTE_ADDR: &[u8] = b"rip";
/// The peer will close this connection soon; do not reuse it.
pub const CONNECTION_RESET: &[u8] = b"crrst";
/// In the response to a ping-pong call: a limit of the server was reached, and no handler has run. Only servers of this project
/// send it; the type of the exception beside it may come from further down.
pub const OVER_LIMIT: &[u8] = b"over-limit";
/// Cancel path of an Rst frame: service names separated by commas, the canceling service first.
pub const CANCEL_PATH: &[u8] = b"ttscp";

/// Prefix of transient metainfo, sent for one hop.
pub const TRANSIENT_PREFIX: &[u8] = b"RPC_TRANSIT_";
/// Prefix of persistent metainfo, sent along the whole chain.
pub const PERSISTENT_PREFIX: &[u8] = b"RPC_PERSIST_";
/// Prefix of backward metainfo, sent with the response.
pub const BACKWARD_PREFIX: &[u8] = b"RPC_BACKWARD_";
/// The string key under which an ACL token block is returned.
pub const ACL_TOKEN: &[u8] = b"RPC_TRANSIT_gdpr-token";

/// Code of a business error, decimal.
pub const BIZ_STATUS: &[u8] = b"biz-status";
/// Message of a business error.
pub const BIZ_MESSAGE: &[u8] = b"biz-message";
/// Extra of a business error: a JSON object of strings.
pub const BIZ_EXTRA: &[u8] = b"biz-extra";
