//! The lab service as Protobuf: the fields of `crates/interop/idl/lab.thrift`, and the generated code of its
//! methods.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Req {
    #[prost(string, tag = "1")]
    pub(crate) msg: String,
    #[prost(int64, tag = "2")]
    pub(crate) seq: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) payload: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resp {
    #[prost(string, tag = "1")]
    pub(crate) msg: String,
    #[prost(int64, tag = "2")]
    pub(crate) seq: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) payload: Bytes,
}

#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::semicolon_if_nothing_returned)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/lab.Lab.rs"));
}

pub(crate) use generated::lab_client::LabClient;
pub(crate) use generated::lab_server::{Lab, LabServer};
