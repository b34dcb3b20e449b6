//! Every key of a TTHeader header, named once. Knows no rule of use beyond the name.

/// Version of the service mesh protocol.
pub const MESH_VERSION: u16 = 0;
/// `framed` or `unframed`: how the Thrift message in the payload is wrapped.
pub const TRANSPORT_TYPE: u16 = 1;
/// Log id.
pub const LOG_ID: u16 = 2;
/// Service name of the caller. A claim, not an identity.
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

/// IDL service name.
pub const IDL_SERVICE: &[u8] = b"isn";
/// Address of the caller as it claims it.
pub const REMOTE_ADDR: &[u8] = b"rip";
/// "I shall close this connection soon, do not reuse it."
pub const CONNECTION_RESET: &[u8] = b"crrst";
/// Cancel path of an Rst frame: service names parted by commas, the first canceler first.
pub const CANCEL_PATH: &[u8] = b"ttscp";

/// Prefix of metainfo that lives for one hop.
pub const TRANSIENT_PREFIX: &[u8] = b"RPC_TRANSIT_";
/// Prefix of metainfo that travels along the whole chain.
pub const PERSISTENT_PREFIX: &[u8] = b"RPC_PERSIST_";
/// Prefix of metainfo that travels back with the answer.
pub const BACKWARD_PREFIX: &[u8] = b"RPC_BACKWARD_";
/// The key under which an ACL token block surfaces among the string keys.
pub const ACL_TOKEN: &[u8] = b"RPC_TRANSIT_gdpr-token";

/// Code of a business error, decimal.
pub const BIZ_STATUS: &[u8] = b"biz-status";
/// Message of a business error.
pub const BIZ_MESSAGE: &[u8] = b"biz-message";
/// Extra of a business error: a JSON object of strings.
pub const BIZ_EXTRA: &[u8] = b"biz-extra";
