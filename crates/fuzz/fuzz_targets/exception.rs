//! Any bytes as a peer's error: a decoded error is bounded, safe to display, and survives encoding and
//! decoding. Any encoded error decodes to the same.
#![no_main]

use fuzz::{Script, check_text};
use kerrors::{ApplicationException, ExceptionError, MessageBegin, MessageKind};
use libfuzzer_sys::fuzz_target;

/// The largest text of a peer that is read, in bytes.
const MAX_MESSAGE: usize = 4096;
/// The largest depth of an unknown field that is skipped.
const MAX_DEPTH: usize = 64;

fuzz_target!(|input: &[u8]| {
    check_begin(input);
    check_message(input);
    check_body(input);
    check_written(&mut Script::new(input));
    check_depth(&mut Script::new(input));
});

fn check_begin(input: &[u8]) {
    let Ok((begin, rest)) = MessageBegin::read(input) else { return };
    assert!(input.ends_with(rest));
    let mut written = Vec::new();
    begin.write(&mut written);
    assert_eq!(written.len() + rest.len(), input.len());
    assert_eq!(MessageBegin::read(&written), Ok((begin, &[][..])));
}

/// A message is its envelope and its struct, without other bytes.
fn check_message(input: &[u8]) {
    let expected = MessageBegin::read(input).and_then(|(begin, body)| match begin.kind {
        MessageKind::Exception => ApplicationException::decode_body(body),
        kind => Err(ExceptionError::NotAnException(kind)),
    });
    let decoded = ApplicationException::decode(input);
    assert_eq!(decoded, expected);
    match decoded {
        Ok(exception) => check_exception(&exception),
        Err(error) => check_text(&error.to_string()),
    }
}

fn check_body(input: &[u8]) {
    if let Ok(exception) = ApplicationException::decode_body(input) {
        check_exception(&exception);
    }
}

fn check_exception(exception: &ApplicationException) {
    check_text(&exception.to_string());
    assert!(!exception.text().is_empty());
    // A byte that is not UTF-8 is displayed as three.
    assert!(exception.message.len() <= 3 * MAX_MESSAGE);
    check_round_trip(exception);
}

fn check_round_trip(exception: &ApplicationException) {
    let read = ApplicationException::decode_body(&exception.encode_body()).unwrap();
    assert_eq!(read.type_id, exception.type_id);
    if exception.message.len() <= MAX_MESSAGE {
        assert_eq!(read, *exception);
    } else {
        // A letter that is cut in the middle is lost.
        let kept = read.message.trim_end_matches(char::REPLACEMENT_CHARACTER);
        assert!(exception.message.starts_with(kept) && read.message.len() <= MAX_MESSAGE + 2);
    }
}

fn check_written(script: &mut Script<'_>) {
    let (type_id, sequence_id) = (script.int(), script.int());
    let method = script.text();
    let exception = ApplicationException::new(type_id, String::from_utf8_lossy(&script.swollen()));
    let written = exception.encode(&method, sequence_id);
    let (begin, body) = MessageBegin::read(&written).unwrap();
    let expected = MessageBegin { name: method.as_bytes(), kind: MessageKind::Exception, sequence_id };
    assert_eq!(begin, expected);
    assert_eq!(body, exception.encode_body());
    assert_eq!(ApplicationException::decode(&written), ApplicationException::decode_body(body));
    check_round_trip(&exception);
}

/// Checks an unknown field of any depth before the others.
fn check_depth(script: &mut Script<'_>) {
    let depth = usize::from(script.byte());
    let exception = ApplicationException::new(script.int(), "text");
    let mut body = [12, 0, 5].repeat(depth);
    body.resize(body.len() + depth, 0);
    body.extend(exception.encode_body());
    let expected = if depth <= MAX_DEPTH { Ok(exception) } else { Err(ExceptionError::TooDeep) };
    assert_eq!(ApplicationException::decode_body(&body), expected);
}
