//! What a key and its value say of an instance, as Kitex's registry-etcd v0.3.0 writes them. Does no IO.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use serde_json::{Value, json};
use stream_core::client::Instance;

use crate::error::EtcdError;

/// The weight of an instance without one, as in Kitex.
const DEFAULT_WEIGHT: u32 = 10;

/// Returns the prefix of the keys of a service.
///
/// # Errors
/// The name has a `/`, as Kitex refuses it.
pub(crate) fn prefix(root: &str, service: &str) -> Result<String, EtcdError> {
    match service.is_empty() || service.contains('/') {
        true => Err(EtcdError::BadService(service.to_owned())),
        false => Ok(format!("{}/{service}/", root.trim_end_matches('/'))),
    }
}

/// Returns the value of an instance.
pub(crate) fn encode(instance: &Instance) -> String {
    let tags = match instance.tags.is_empty() {
        true => Value::Null,
        false => json!(instance.tags),
    };
    json!({ "network": "tcp", "address": &*instance.address, "weight": instance.weight, "tags": tags })
        .to_string()
}

/// Returns the instance that a value describes; `None` if it is none.
pub(crate) fn decode(value: &[u8]) -> Option<Instance> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let address = value.get("address")?.as_str().filter(|address| !address.is_empty())?;
    let weight = value.get("weight").and_then(Value::as_i64).and_then(|weight| u32::try_from(weight).ok());
    let tags = value.get("tags").and_then(Value::as_object).into_iter().flatten();
    let tags: BTreeMap<_, _> =
        tags.filter_map(|(key, tag)| Some((key.clone(), tag.as_str()?.to_owned()))).collect();
    let weight = weight.filter(|weight| *weight > 0).unwrap_or(DEFAULT_WEIGHT);
    let instance = Instance::new(address).with_weight(weight);
    Some(tags.into_iter().fold(instance, |instance, (key, tag)| instance.with_tag(key, tag)))
}

/// Returns the end of the range of all keys that begin with `prefix`, which ends with `/`.
pub(crate) fn range_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    end.pop();
    // The byte after `/`.
    end.push(b'0');
    end
}

/// Returns the address under which a server that listens on `address` is registered: an unspecified host becomes that of
/// this machine's default route. `ip` and `port` replace its parts, as `KITEX_IP_TO_REGISTRY` and `KITEX_PORT_TO_REGISTRY`.
pub(crate) fn public_address(
    address: &str,
    ip: Option<&str>,
    port: Option<&str>,
) -> Result<String, EtcdError> {
    let bad = || EtcdError::BadAddress(address.to_owned());
    let address = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    let address: SocketAddr = address.parse().map_err(|_| bad())?;
    let ip = match ip {
        Some(ip) => ip.parse::<IpAddr>().map_err(|_| bad())?,
        None if address.ip().is_unspecified() => own_address().ok_or_else(bad)?,
        None => address.ip(),
    };
    let port = port.map_or(Ok(address.port()), str::parse).map_err(|_| bad())?;
    Ok(SocketAddr::new(ip, port).to_string())
}

/// Returns the address of this machine on its default route. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_registry_etcd_writes() {
        let instance = || Instance::new("1.2.3.4:8888");
        // A value, and its instance.
        let rows = [
            (
                r#"{"network":"tcp","address":"1.2.3.4:8888","weight":20,"tags":null}"#,
                Some(instance().with_weight(20)),
            ),
            (r#"{"network":"tcp","address":"1.2.3.4:8888","weight":0,"tags":{}}"#, Some(instance())),
            (r#"{"address":"1.2.3.4:8888","weight":-3}"#, Some(instance())),
            (
                r#"{"network":"tcp","address":"1.2.3.4:8888","weight":10,"tags":{"zone":"a"}}"#,
                Some(instance().with_tag("zone", "a")),
            ),
            (r#"{"network":"tcp","address":"","weight":10,"tags":null}"#, None),
            ("1.2.3.4:8888", None),
        ];
        for (text, expected) in rows {
            assert_eq!(decode(text.as_bytes()), expected, "{text}");
            if let Some(instance) = expected {
                assert_eq!(decode(encode(&instance).as_bytes()), Some(instance));
            }
        }
        let text: Value = serde_json::from_str(&encode(&instance())).unwrap();
        let expected = json!({ "network": "tcp", "address": "1.2.3.4:8888", "weight": 10, "tags": null });
        assert_eq!(text, expected);
    }

    #[test]
    fn prefix_refuses_names_with_a_slash() {
        assert_eq!(prefix("kitex/registry-etcd", "echo").unwrap(), "kitex/registry-etcd/echo/");
        assert_eq!(prefix("own/", "echo").unwrap(), "own/echo/");
        assert!(prefix("own", "a/b").is_err() && prefix("own", "").is_err());
        assert_eq!(range_end("own/echo/"), b"own/echo0");
    }

    #[test]
    fn public_address_replaces_unspecified_hosts_and_follows_overrides() {
        let rows = [
            ("10.0.0.1:80", None, None, Some("10.0.0.1:80")),
            ("10.0.0.1:80", Some("10.0.0.2"), None, Some("10.0.0.2:80")),
            ("0.0.0.0:80", Some("10.0.0.2"), Some("81"), Some("10.0.0.2:81")),
            ("[::]:80", Some("fd00::1"), None, Some("[fd00::1]:80")),
            (":80", Some("10.0.0.2"), None, Some("10.0.0.2:80")),
            ("10.0.0.1:80", Some("here"), None, None),
            ("10.0.0.1:80", None, Some("99999"), None),
            ("echo.example:80", None, None, None),
        ];
        for (address, ip, port, expected) in rows {
            assert_eq!(
                public_address(address, ip, port).ok().as_deref(),
                expected,
                "{address} {ip:?} {port:?}"
            );
        }
    }
}
