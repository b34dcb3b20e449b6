//! Encoding and decoding of one message of 1 KiB.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use interop::lab::Req;
use kitex::kitex_thrift::Payload;

/// The request of every benchmark.
#[derive(Debug)]
pub struct Message {
    req: Req,
    wire: Bytes,
    out: BytesMut,
}

impl Default for Message {
    fn default() -> Self {
        let req = Req { msg: Some("".into()), seq: Some(0), payload: Some(vec![0; 1024].into()) };
        let mut out = BytesMut::new();
        req.encode(&mut out).expect("it is short");
        Self { req, wire: Bytes::copy_from_slice(&out), out }
    }
}

impl Message {
    /// Encodes it into a reused buffer.
    pub fn encode(&mut self) {
        self.out.clear();
        black_box(&self.req).encode(&mut self.out).expect("it is short");
        black_box(&self.out);
    }

    /// Decodes it.
    pub fn decode(&self) {
        black_box(Req::decode(black_box(self.wire.clone())).expect("ours"));
    }
}
