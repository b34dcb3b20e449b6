//! Where a service is. Knows nothing of how an address is reached.

use std::fmt;

/// A source of addresses. One address is the simple case of many; a registry or DNS may stand behind it.
pub trait AddressSource: fmt::Debug + Send + Sync + 'static {
    /// The addresses at which the service can be reached now, as `host:port`. Called for each new
    /// connection; must not block.
    fn addresses(&self) -> Vec<String>;
}

/// A list that does not change.
#[derive(Clone, Debug)]
pub struct StaticAddresses(Vec<String>);

impl StaticAddresses {
    /// The addresses, as `host:port`.
    pub fn new(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(addresses.into_iter().map(Into::into).collect())
    }
}

impl AddressSource for StaticAddresses {
    fn addresses(&self) -> Vec<String> {
        self.0.clone()
    }
}

impl AddressSource for Box<dyn AddressSource> {
    fn addresses(&self) -> Vec<String> {
        (**self).addresses()
    }
}
