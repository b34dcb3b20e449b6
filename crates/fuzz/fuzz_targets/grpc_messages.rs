//! Any bytes as the body of a gRPC stream, and as the frames of a connection: what is found does not depend on how
//! they are parted, and no message is longer than the limit.
#![no_main]

use fuzz::{Script, check_text};
use kitex_grpc::fuzz as grpc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let step = usize::from(script.byte());
    let limit = script.pick(&[0, 5, 100, 1 << 20]);
    let gzip = script.pick(&[false, true]);
    let bytes = script.rest();
    let whole = grpc::messages(bytes, bytes.len(), limit, gzip);
    assert_eq!(grpc::messages(bytes, step, limit, gzip), whole, "{step}");
    match whole {
        Ok(messages) => {
            assert!(messages.iter().all(|message| message.len() <= limit));
            let len: usize = messages.iter().map(|message| message.len() + 5).sum();
            assert!(gzip || len == bytes.len(), "every byte is of a message");
        }
        Err(text) => check_text(&text),
    }
    let cancels = grpc::cancels(bytes, bytes.len());
    assert_eq!(grpc::cancels(bytes, step), cancels, "{step}");
    for (_, error) in cancels {
        check_text(&error.to_string());
        assert!(error.message().len() <= 4096);
    }
});
