//! Any headers, trailers and timeouts of a gRPC peer: they are read or refused with a clear text, and what was read
//! is the same when it was written and read again.
#![no_main]

use fuzz::{Script, check_text};
use kitex_grpc::fuzz as grpc;
use libfuzzer_sys::fuzz_target;

const NAMES: &[&[u8]] = &[
    b"grpc-status",
    b"grpc-message",
    b"grpc-status-details-bin",
    b"grpc-encoding",
    b"grpc-timeout",
    b"biz-status",
    b"biz-extra",
    b"content-type",
    b"user-agent",
    b"source-service",
    b"rpc-persist-a_b",
    b"rpc-transit-",
    b"data-bin",
    b"hk",
];

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (status, path) = (script.short() % 1000, script.text());
    let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
    while !script.is_empty() && pairs.len() < 64 {
        let name = if script.byte() == 0 { script.blob() } else { script.pick(NAMES) };
        pairs.push((name, script.blob()));
    }
    for ended in [grpc::trailers(&pairs), grpc::response(status, &pairs)] {
        if let Err(error) = ended {
            check_text(&error.to_string());
            assert!(error.grpc_status().is_some() || error.biz().is_some());
        }
    }
    let (metadata, metainfo) = grpc::request(&pairs);
    assert!(metadata.get("grpc-status").is_none(), "what belongs to the protocol is not shown");
    let metainfo = metainfo.unwrap_or_default();
    for (key, _) in metainfo.persistent.iter().chain(&metainfo.transient) {
        assert!(!key.iter().any(u8::is_ascii_lowercase), "metainfo comes in capitals");
    }
    if let Some((service, method)) = grpc::names(&path) {
        assert!(!method.contains('/') && !service.contains('.'), "{path:?}");
    }
    for (_, value) in &pairs {
        if let Some((read, again)) = grpc::timeout(value) {
            // Rounded up, to eight digits of its unit.
            let again = again.expect("what we write is read");
            assert!(again >= read && again - read <= read / 1_000_000, "{read:?} {again:?}");
        }
        let text = String::from_utf8_lossy(value);
        let (decoded, same) = grpc::message(value, &text);
        assert!(decoded.len() <= value.len());
        assert_eq!(same, text.as_bytes());
    }
});
