//! Explains why a text is not a valid address.

/// Returns what is wrong with `address` and how to correct it, if it is not `host:port`. Names are not
/// resolved.
pub fn address_fault(address: &str) -> Option<&'static str> {
    if address.contains("://") {
        return Some("it is a URL: leave out the scheme and the path");
    }
    if address.contains('/') {
        return Some("it has a path: leave it out");
    }
    if address.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Some("it has a space or a control character: remove it");
    }
    let Some((host, port)) = address.rsplit_once(':') else { return Some("it has no port") };
    if address.starts_with('[') && address.ends_with(']') {
        return Some("it has no port");
    }
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !is_bracketed {
        return Some("it is an IPv6 address without brackets: write [address]:port");
    }
    match port.parse::<u16>() {
        Err(_) => Some("its port is not a number up to 65535"),
        Ok(_) if host.is_empty() => Some("it has no host"),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_fault_explains_an_invalid_address() {
        let rows = [
            ("127.0.0.1:80", ""),
            ("[::1]:80", ""),
            ("[::1%lo]:80", ""),
            ("localhost:80", ""),
            ("a-name.example:0", ""),
            ("http://127.0.0.1:80", "URL"),
            ("unix:///tmp/x", "URL"),
            ("127.0.0.1:80/path", "path"),
            (" 127.0.0.1:80", "space"),
            ("127.0.0.1:80\n", "control"),
            ("::1:80", "IPv6"),
            ("127.0.0.1", "no port"),
            ("8080", "no port"),
            ("[::1]", "no port"),
            ("", "no port"),
            ("127.0.0.1:99999", "65535"),
            ("127.0.0.1:", "65535"),
            (":80", "no host"),
        ];
        for (address, word) in rows {
            let fault = address_fault(address).unwrap_or_default();
            assert_eq!(fault.is_empty(), word.is_empty(), "{address:?}: {fault}");
            assert!(fault.contains(word), "{address:?}: {fault}");
        }
    }
}
