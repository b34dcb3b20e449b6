//! Any strings and any payload in a trailer: the stream ends with exactly the error that they encode, and a
//! decoded business error survives encoding and decoding.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use fuzz::{Script, check_text};
use kerrors::{ApplicationException, BizStatusError, Code, Error, Side};
use libfuzzer_sys::fuzz_target;
use stream_core::Metadata;
use ttheader_codec::{FrameType, Head, encode_header, key};
use ttstream::proto::{Config, Connection, Method, Open};

/// The largest JSON that is read, in bytes.
const MAX_EXTRA: usize = 64 * 1024;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let payload = script.pick(&[&b""[..], b"", b"", b"garbage"]);
    let spaces = script.pick(&[0, 0, 0, 0, 0, 7000, 60_000, 65_530]);
    let code = script.blob().to_vec();
    let message = script.blob().to_vec();
    let mut extra = script.rest().to_vec();
    extra.resize(extra.len() + spaces, b' ');
    check(&[(key::BIZ_STATUS, code), (key::BIZ_MESSAGE, message), (key::BIZ_EXTRA, extra)], payload);
});

fn check(trailer: &[(&[u8], Vec<u8>)], payload: &[u8]) {
    let Some(outcome) = end_with(trailer, payload) else { return };
    let [(_, code), (_, message), (_, extra)] = trailer else { panic!("three strings") };
    let code = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok()).unwrap_or(0);
    let error = match outcome {
        Ok(()) => return assert!(payload.is_empty() && code == 0),
        Err(error) => error,
    };
    check_text(&error.to_string());
    match error {
        Error::Biz(biz) => {
            assert!(payload.is_empty());
            assert_eq!((biz.code, &*biz.message), (code, &*String::from_utf8_lossy(message)));
            assert!(extra.len() <= MAX_EXTRA);
            check_again(&biz);
        }
        Error::Stream(error) if !payload.is_empty() => {
            let readable = ApplicationException::decode(payload).is_ok();
            assert_eq!(error.code(), if readable { Code::APPLICATION } else { Code::ILLEGAL_FRAME });
        }
        Error::Stream(error) => {
            assert_eq!(error.code(), Code::ILLEGAL_BIZ_ERROR);
            assert!(code != 0 && !extra.is_empty());
            // Every object of strings was decoded.
            assert!(extra.len() > MAX_EXTRA || !is_flat(extra), "{error}");
        }
        other => panic!("{other}"),
    }
}

/// Ends a client's stream with this trailer. `None` if the strings do not fit into a frame.
fn end_with(trailer: &[(&[u8], Vec<u8>)], payload: &[u8]) -> Option<Result<(), Error>> {
    let (mut connection, now) = (Connection::new(Side::Client, Config::default()), Instant::now());
    let method = Arc::new(Method::new("M").unwrap());
    let open = Open {
        method: &method,
        metadata: &Metadata::new(),
        service: &Arc::from("ServiceA"),
        deadline: None,
        wire_deadline: None,
        recv_timeout: None,
    };
    let stream = connection.open(&open, now).unwrap().unwrap();

    let mut wire = BytesMut::new();
    let strings = trailer.iter().map(|(key, value)| (*key, &value[..]));
    let ints = [(key::FRAME_TYPE, FrameType::Trailer.as_bytes()), (key::TO_METHOD, &b"M"[..])];
    encode_header(&mut wire, Head::streaming(stream.id().get()), strings, ints, payload.len()).ok()?;
    wire.extend_from_slice(payload);
    connection.handle_read(&mut wire, now).expect("a trailer does not close the connection");
    Some(connection.outcome(stream).expect("a trailer ends a stream"))
}

/// Checks the encoding of a business error by our server.
fn check_again(biz: &BizStatusError) {
    let extra = serde_json::to_vec(&biz.extra).expect("strings");
    let trailer = [
        (key::BIZ_STATUS, biz.code.to_string().into_bytes()),
        (key::BIZ_MESSAGE, biz.message.clone().into_bytes()),
        (key::BIZ_EXTRA, extra),
    ];
    let [.., (_, extra)] = &trailer;
    let fits = extra.len() <= MAX_EXTRA;
    if let Some(Err(Error::Biz(again))) = end_with(&trailer, &[]) {
        assert_eq!(again, *biz);
    } else {
        // Control characters take six bytes as JSON, and invalid bytes of a message three each.
        assert!(!fits || biz.message.len() > usize::from(u16::MAX) || extra.len() > usize::from(u16::MAX));
    }
}

fn is_flat(extra: &[u8]) -> bool {
    let value = serde_json::from_slice(extra);
    let Ok(serde_json::Value::Object(pairs)) = value else { return false };
    pairs.values().all(serde_json::Value::is_string)
}
