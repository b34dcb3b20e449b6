//! The percent encoding of `grpc-message`.

/// Returns `text` with every byte but printable ASCII, and `%`, as `%XX`.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                out.push('%');
                out.push(hex(byte >> 4));
                out.push(hex(byte & 0x0f));
            }
            byte => out.push(char::from(byte)),
        }
    }
    out
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or_default().to_ascii_uppercase()
}

/// Returns the bytes that `text` encodes. Malformed escapes are kept unchanged.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = if byte == b'%' { after.first_chunk::<2>().and_then(unescape) } else { None };
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out
}

fn unescape(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high?.checked_mul(16)?.checked_add(low?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_message_is_encoded_and_decoded_as_by_kitex() {
        let rows = [
            ("", ""),
            ("handler failed [biz error]", "handler failed [biz error]"),
            ("100%", "100%25"),
            ("a\nb\t\u{7f}~", "a%0Ab%09%7F~"),
            ("é 世", "%C3%A9 %E4%B8%96"),
        ];
        for (text, encoded) in rows {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn grpc_message_keeps_malformed_escapes() {
        let rows: [(&[u8], &[u8]); 5] = [
            (b"%zz%2", b"%zz%2"),
            (b"%", b"%"),
            (b"%%41", b"%A"),
            (b"%c3%A9", "é".as_bytes()),
            (b"\xff", b"\xff"),
        ];
        for (encoded, text) in rows {
            assert_eq!(decode(encoded), text);
        }
    }
}
