//! The request of each kind of call, and its response.

use bytes::Bytes;
use interop::lab::{Req, Resp};
use interop::words::Words;

use crate::args::{BenchArgs, What};
use crate::wire::Method;

/// Returns the method and the request of a call.
pub(crate) fn request(BenchArgs { what, b, .. }: BenchArgs) -> (Method, Req) {
    let words = |msg: String| Req { msg: Some(msg.into()), seq: Some(0), payload: None };
    match what {
        What::Echo => {
            let payload = Some(Bytes::from(vec![0; b]));
            (Method::bidi(), Req { payload, ..words(String::new()) })
        }
        What::Down => (Method::down(), words(format!("n=-1;size={b}"))),
        What::Open => (Method::down(), words(format!("n=1;size={b}"))),
    }
}

/// Returns the words of a request of Down, and the first message of the response.
pub(crate) fn respond(req: &Req) -> (Words, Resp) {
    let words = Words::parse(req.msg.as_deref().unwrap_or_default());
    let payload = Bytes::from(vec![0; words.size]);
    (words, Resp { msg: Some("pk=;tk=".into()), seq: Some(0), payload: Some(payload) })
}
