//! A configuration that can be replaced while it is in use. A handshake takes the configuration of its start.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use stream_core::sync::Mutex;
use tracing::{info, warn};

use crate::error::TlsError;
use crate::pem::{Identity, Roots};

/// The certificates that a configuration is built from.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    pub(crate) identity: Option<Identity>,
    pub(crate) roots: Option<Roots>,
}

/// Builds a configuration.
pub(crate) type Build<C> = Box<dyn Fn(&Material) -> Result<C, TlsError> + Send + Sync>;

pub(crate) struct Reloadable<C> {
    build: Build<C>,
    /// Locked during a replacement, so that replacements follow one another; handshakes do not wait for it.
    material: Mutex<Material>,
    config: Mutex<Arc<C>>,
}

impl<C> Reloadable<C> {
    pub(crate) fn new(material: Material, build: Build<C>) -> Result<Self, TlsError> {
        let config = Mutex::new(Arc::new(build(&material)?));
        Ok(Self { build, material: Mutex::new(material), config })
    }

    pub(crate) fn get(&self) -> Arc<C> {
        self.config.lock().clone()
    }

    /// Replaces the given parts. If the result cannot be used, nothing changes.
    pub(crate) fn replace(&self, identity: Option<Identity>, roots: Option<Roots>) -> Result<(), TlsError> {
        self.replace_in(&mut self.material.lock(), identity, roots)
    }

    /// Reads the files again. Returns whether anything has changed.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let mut material = self.material.lock();
        let identity = material.identity.as_ref().map(Identity::reread).transpose()?.flatten();
        let roots = material.roots.as_ref().map(Roots::reread).transpose()?.flatten();
        let changed = identity.is_some() || roots.is_some();
        if changed {
            self.replace_in(&mut material, identity, roots)?;
        }
        Ok(changed)
    }

    fn replace_in(
        &self,
        material: &mut Material,
        identity: Option<Identity>,
        roots: Option<Roots>,
    ) -> Result<(), TlsError> {
        let replaced = Material {
            identity: identity.or_else(|| material.identity.clone()),
            roots: roots.or_else(|| material.roots.clone()),
        };
        let config = Arc::new((self.build)(&replaced)?);
        *self.config.lock() = config;
        *material = replaced;
        Ok(())
    }
}

/// Calls `reload` after each `period`, on a thread for blocking work, and logs changes and errors.
pub(crate) async fn watch<T>(shared: T, period: Duration, reload: fn(&T) -> Result<bool, TlsError>)
where
    T: Clone + Send + 'static,
{
    loop {
        tokio::time::sleep(period).await;
        let shared = shared.clone();
        match tokio::task::spawn_blocking(move || reload(&shared)).await {
            Ok(Ok(true)) => info!("TLS certificates reloaded"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => warn!(%error, "TLS certificates not reloaded; the previous ones stay in use"),
            Err(error) => warn!(%error, "TLS certificates not reloaded"),
        }
    }
}

impl<C> fmt::Debug for Reloadable<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.material.lock().fmt(f)
    }
}
