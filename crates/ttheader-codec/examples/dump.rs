//! Reads lines of hex from standard input and prints what the codec says of each, as one line of JSON:
//!
//! ```text
//! $ echo 0000001f100000020000000100051000100002001b00013300090004446f776e000000 | \
//!     cargo run -q -p ttheader-codec --example dump
//! {"flags":2,"header_len":34,"int":{"27":"33","9":"446f776e"},"ok":true,"payload_len":1,...}
//! ```

use std::io::{self, BufRead, Write};

use serde_json::{Map, Value, json};
use ttheader_codec::{Header, Limits, decode_header};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(out, "{}", verdict(line?.trim()))?;
    }
    Ok(())
}

fn verdict(line: &str) -> Value {
    let Some(bytes) = from_hex(line) else {
        return json!({"ok": false, "error": "line is not hex: give an even number of digits 0-9 a-f"});
    };
    match decode_header(&bytes, &Limits::default()) {
        Ok(Some(header)) => describe(&header),
        Ok(None) => json!({"ok": false, "error": "header is cut short: give all of its bytes"}),
        Err(error) => json!({"ok": false, "error": error.to_string()}),
    }
}

fn describe(header: &Header<'_>) -> Value {
    let ints: Map<_, _> = header.ints().map(|(key, value)| (key.to_string(), to_hex(value).into())).collect();
    let strings: Map<_, _> =
        header.strings().map(|(key, value)| (to_hex(key), to_hex(value).into())).collect();
    json!({
        "ok": true,
        "flags": header.flags.bits(),
        "seq": header.sequence_id,
        "protocol_id": header.protocol_id.as_u8(),
        "int": ints,
        "str": strings,
        "header_len": header.header_len,
        "payload_len": header.payload_len,
    })
}

fn from_hex(line: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        line.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
