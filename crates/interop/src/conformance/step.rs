//! The steps of a script: what is sent, and what is waited for. Owns their text form.
//!
//! `H1 Down pk=1 / D1 n=3 / T1`: steps separated by ` / `, each a kind of frame, its stream, and arguments.

use std::collections::BTreeMap;

use super::wire::{Raw, call, exception, framed_exception, message, reply};

/// One step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends bytes in one write.
    Send(Vec<u8>),
    /// Waits until the peer has sent so many frames of a kind on a stream.
    Wait(i32, char, usize),
    /// Ends the sending side of the connection.
    Finish,
}

/// Reads the steps of `text`:
///
/// | step | what it sends |
/// |---|---|
/// | `H1 Down k=v` | the header that opens stream 1: a method of Lab, or `Service/Method`, and strings |
/// | `D1 text` | data: a message with this `msg` |
/// | `P1 0b00` | data with this payload, in hex |
/// | `T1 k=v` | a trailer with strings |
/// | `E1 6 text` | a trailer with an error |
/// | `B1 404 text` | a trailer with a business error |
/// | `R1 12007 k=v text` | an Rst; without a code it has no payload |
/// | `G1` `GR1` | a trailer, an Rst, whose payload is no Thrift message |
/// | `M1 k=v` | a meta frame |
/// | `X1` `N1` | a frame of an unknown type, of none |
/// | `F7 Ping text` | a framed call with sequence id 7 |
/// | `C7 Unary text` | a call over TTHeader |
/// | `FA7 Ping text` `FX7 Ping 6 text` | a framed reply, a framed exception |
/// | `CA7` `CX7` | the same over TTHeader |
/// | `Z1 17` | data of so many MiB of zeroes |
/// | `hex 2f00` | these bytes |
/// | `wait 1 D 3` | waits for three data frames on stream 1 |
/// | `fin` | ends the sending side |
///
/// # Panics
/// The text is none: a mistake in a row.
pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut methods = BTreeMap::new();
    let parts = text.split(" / ").map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| step(part, &mut methods)).collect()
}

fn step(text: &str, methods: &mut BTreeMap<i32, String>) -> Step {
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    match head {
        "fin" => return Step::Finish,
        "hex" => return Step::Send(from_hex(rest).unwrap_or_else(|| panic!("hex digits: {text}"))),
        "wait" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let [sid, kind, ref count @ ..] = words[..] else { panic!("what to wait for: {text}") };
            let count = count.first().map_or(1, |count| count.parse().expect("how many to wait for"));
            let kind = kind.chars().next().expect("a kind of frame");
            return Step::Wait(sid.parse().expect("a stream id"), kind, count);
        }
        _ => {}
    }
    let at = head.find(|letter: char| letter == '-' || letter.is_ascii_digit());
    let (kind, sid) = head.split_at(at.unwrap_or_else(|| panic!("a stream id: {text}")));
    let sid = sid.parse().unwrap_or_else(|_| panic!("a stream id: {text}"));
    if kind == "H" {
        let method = rest.split(' ').next().unwrap_or_default();
        methods.insert(sid, method.rsplit('/').next().unwrap_or_default().to_owned());
    }
    let method = methods.get(&sid).map_or("Bidi", String::as_str);
    Step::Send(bytes(kind, sid, method, rest).unwrap_or_else(|| panic!("a step: {text}")))
}

fn bytes(kind: &str, sid: i32, method: &str, rest: &str) -> Option<Vec<u8>> {
    let raw = |kind| Raw::of_stream(kind, sid, method);
    Some(match kind {
        "H" => {
            let (target, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let service = target.rsplit_once('/').map_or("Lab", |(service, _)| service);
            let strings = vec![("isn".to_owned(), service.to_owned())];
            let strings = strings.into_iter().chain(pairs(rest).0).collect();
            // A server's header names no service.
            let strings = if target.is_empty() { pairs(rest).0 } else { strings };
            Raw { strings, ..raw("2") }.encode()
        }
        "D" => Raw { payload: message(rest, 0), ..raw("3") }.encode(),
        "P" => Raw { payload: from_hex(rest)?, ..raw("3") }.encode(),
        "Z" => Raw { payload: vec![0; rest.parse::<usize>().ok()? << 20], ..raw("3") }.encode(),
        "T" => Raw { strings: pairs(rest).0, ..raw("4") }.encode(),
        "E" => {
            let (code, text) = rest.split_once(' ')?;
            Raw { payload: exception(method, code.parse().ok()?, text), ..raw("4") }.encode()
        }
        "B" => {
            let (code, text) = rest.split_once(' ')?;
            let strings =
                [("biz-status", code), ("biz-message", text)].map(|(k, v)| (k.to_owned(), v.to_owned()));
            Raw { strings: strings.to_vec(), ..raw("4") }.encode()
        }
        "R" => {
            let (code, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let (strings, text) = pairs(rest);
            let payload =
                if code.is_empty() { Vec::new() } else { exception(method, code.parse().ok()?, &text) };
            Raw { strings, payload, ..raw("5") }.encode()
        }
        "G" => Raw { payload: b"no Thrift".to_vec(), ..raw("4") }.encode(),
        "GR" => Raw { payload: b"no Thrift".to_vec(), ..raw("5") }.encode(),
        "M" => Raw { strings: pairs(rest).0, ..raw("1") }.encode(),
        "X" => raw("9").encode(),
        "N" => Raw { ints: vec![(9, method.to_owned())], ..raw("") }.encode(),
        _ => of_call(kind, sid, rest)?,
    })
}

fn of_call(kind: &str, sequence: i32, rest: &str) -> Option<Vec<u8>> {
    let (target, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let (service, method) = target.rsplit_once('/').unwrap_or(("Lab", target));
    let framed = match kind.get(1..)? {
        "" => call(method, sequence, text),
        "A" => reply(method, sequence, text),
        "X" => {
            let (code, text) = text.split_once(' ')?;
            framed_exception(method, sequence, code.parse().ok()?, text)
        }
        _ => return None,
    };
    match kind.get(..1)? {
        "F" => Some(framed),
        "C" => Some(Raw::of_call(sequence, service, method, framed).encode()),
        _ => None,
    }
}

/// The pairs at the start of `text`, and what follows them.
fn pairs(text: &str) -> (Vec<(String, String)>, String) {
    let (mut found, mut rest) = (Vec::new(), Vec::new());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some((key, value)) if rest.is_empty() => found.push((key.to_owned(), value.to_owned())),
            _ => rest.push(word),
        }
    }
    (found, rest.join(" "))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
