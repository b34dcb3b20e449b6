//! The registration of one instance: a key with a lease, which is renewed as long as the process runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use stream_core::client::Instance;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::warn;

use crate::error::EtcdError;
use crate::http::{Gateway, encode, number};
use crate::record;

/// The pause after a renewal that has failed.
const AGAIN: Duration = Duration::from_secs(1);

/// A registered instance. If it is dropped without [`deregister`](Self::deregister), its lease expires by itself.
#[derive(Debug)]
pub struct Registration {
    entry: Arc<Entry>,
    task: AbortHandle,
    refresh: Duration,
}

/// A key and its value.
#[derive(Debug)]
struct Entry {
    gateway: Arc<Gateway>,
    key: String,
    value: String,
    lease: Duration,
    /// The id of the current lease.
    id: Mutex<String>,
}

impl Registration {
    pub(crate) async fn start(
        gateway: Arc<Gateway>,
        prefix: &str,
        instance: &Instance,
        lease: Duration,
        refresh: Duration,
    ) -> Result<Self, EtcdError> {
        let key = encode(format!("{prefix}{}", instance.address));
        let value = encode(record::encode(instance));
        let lease = lease.max(Duration::from_secs(1));
        let entry = Arc::new(Entry { gateway, key, value, lease, id: Mutex::default() });
        entry.put().await?;
        let kept = entry.clone();
        let task = tokio::spawn(async move { kept.keep().await }).abort_handle();
        Ok(Self { entry, task, refresh })
    }

    /// Removes the registration, and waits until clients know it (see [`Etcd::refresh`](crate::Etcd::refresh)). To be called
    /// before the server drains, so that no client meets a closed port. Not cancel-safe: if the future is
    /// dropped, the key may stay until its lease expires.
    ///
    /// # Errors
    /// etcd cannot be reached or refuses. Then the registration remains until its lease expires.
    pub async fn deregister(self) -> Result<(), EtcdError> {
        self.task.abort();
        let Entry { gateway, key, .. } = &*self.entry;
        gateway.call("/v3/kv/deleterange", &json!({ "key": key })).await?;
        // What is left is a lease without a key, which would expire.
        let _ = gateway.call("/v3/lease/revoke", &json!({ "ID": self.entry.id() })).await;
        sleep(self.refresh).await;
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Entry {
    fn id(&self) -> String {
        self.id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the key, with a new lease.
    async fn put(&self) -> Result<(), EtcdError> {
        let lease = json!({ "TTL": self.lease.as_secs().to_string() });
        let granted = self.gateway.call("/v3/lease/grant", &lease).await?;
        let id = granted.get("ID").and_then(Value::as_str).unwrap_or_default().to_owned();
        let pair = json!({ "key": self.key, "value": self.value, "lease": id });
        self.gateway.call("/v3/kv/put", &pair).await?;
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
        Ok(())
    }

    /// Renews the lease every third of its time, and writes the key again if it is gone.
    async fn keep(&self) {
        let third = self.lease.checked_div(3).unwrap_or(self.lease);
        let mut pause = third;
        loop {
            sleep(pause).await;
            let is_there = match self.renew().await {
                Ok(true) => self.is_there().await,
                renewed => renewed,
            };
            let kept = match is_there {
                Ok(true) => Ok(()),
                Ok(false) => self.put().await,
                Err(error) => Err(error),
            };
            pause = third;
            if let Err(error) = kept {
                warn!(%error, "the registration could not be renewed: tried again");
                pause = third.min(AGAIN);
            }
        }
    }

    /// Renews the lease. Returns whether there still is one.
    async fn renew(&self) -> Result<bool, EtcdError> {
        let answer = self.gateway.call("/v3/lease/keepalive", &json!({ "ID": self.id() })).await;
        match answer {
            Ok(answer) => Ok(number(answer.pointer("/result/TTL")).is_some_and(|seconds| seconds > 0)),
            // A cluster that was set up anew does not know it.
            Err(EtcdError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn is_there(&self) -> Result<bool, EtcdError> {
        let answer =
            self.gateway.call("/v3/kv/range", &json!({ "key": self.key, "count_only": true })).await?;
        Ok(number(answer.get("count")).is_some_and(|count| count > 0))
    }
}
