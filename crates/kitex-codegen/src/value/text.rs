//! The contents of a string literal. Owns escapes: those of Go, because Kitex's generator copies them into Go source.

/// Returns the text between the quotes.
pub(super) fn text(written: &str) -> Result<String, String> {
    String::from_utf8(bytes(written)?)
        .map_err(|_| "string is not utf-8, use the type binary or another escape".to_owned())
}

/// Returns the bytes between the quotes.
pub(super) fn bytes(written: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = escape(&rest[at + 1..], &mut bytes)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Appends the meaning of an escape, and returns the rest of the text.
fn escape<'a>(escape: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let Some(kind) = escape.chars().next() else { return Err(unknown("")) };
    let rest = &escape[kind.len_utf8()..];
    let byte = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '\'' => b'\'',
        '"' => b'"',
        'x' => {
            let (value, rest) = number(rest, 2, 16).ok_or_else(|| unknown("x"))?;
            bytes.push(u8::try_from(value).map_err(|_| unknown("x"))?);
            return Ok(rest);
        }
        '0'..='7' => {
            let (value, rest) = number(escape, 3, 8).ok_or_else(|| unknown("0"))?;
            bytes.push(u8::try_from(value).map_err(|_| unknown("0"))?);
            return Ok(rest);
        }
        'u' | 'U' => {
            let digits = if kind == 'u' { 4 } else { 8 };
            let found = number(rest, digits, 16);
            let (c, rest) = found
                .and_then(|(value, rest)| Some((char::from_u32(value)?, rest)))
                .ok_or_else(|| unknown("u"))?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        other => return Err(unknown(&other.to_string())),
    };
    bytes.push(byte);
    Ok(rest)
}

fn number(text: &str, digits: usize, radix: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(digits)?;
    Some((u32::from_str_radix(digits, radix).ok()?, rest))
}

fn unknown(escape: &str) -> String {
    format!("escape `\\{escape}` in a string is not valid in Go, write `\\\\` for a backslash")
}

/// Returns the bytes of a uuid as Rust text.
pub(super) fn uuid(text: &str) -> Option<String> {
    let digits = text.replace('-', "");
    let bytes: Option<Vec<String>> = (0..16)
        .map(|at| Some(format!("0x{:02x}", u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?)))
        .collect();
    (digits.len() == 32).then_some(())?;
    Some(format!("[{}]", bytes?.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{bytes, text};

    #[test]
    fn escapes_are_those_of_go() {
        for (written, expected) in [
            (r"a\n\t\\\'b", "a\n\t\\'b"),
            (r#"say \"hi\""#, "say \"hi\""),
            (r"\u00e9\x41\101\U0001F600", "éAA😀"),
            ("plain é", "plain é"),
        ] {
            assert_eq!(text(written).unwrap(), expected);
        }
        assert_eq!(bytes(r"\xff").unwrap(), [0xff]);
        for wrong in [r"\q", r"\x4", r"\uD800", r"\xff"] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
    }
}
