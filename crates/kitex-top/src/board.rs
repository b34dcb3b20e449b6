//! What is known of all services. Owns the joined tree and which services answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kitex::inspect::Joined;
use serde_json::{Value, json};
use tokio::sync::watch;

/// A service that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Its name, or its address.
    pub(crate) name: String,
    /// The address of its inspection, `host:port`.
    pub(crate) address: String,
}

/// Whether a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Up,
    Lost(String),
}

/// What is known of all services.
#[derive(Debug)]
pub(crate) struct Board {
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Known {
    joined: Joined,
    services: Vec<(Service, State)>,
}

/// What is known at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) services: Vec<(Service, State)>,
    /// As [`Joined::trees`] has them.
    pub(crate) trees: Vec<Value>,
    /// As [`Joined::cascades`] has them.
    pub(crate) cascades: Vec<Value>,
}

impl Board {
    pub(crate) fn new(services: &[Service]) -> Self {
        let services = services.iter().map(|service| (service.clone(), State::Waiting)).collect();
        let known = Mutex::new(Known { joined: Joined::new(), services });
        Self { known, changes: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a receiver that is notified after each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Applies what a service says of its streams.
    pub(crate) fn apply(&self, name: &str, change: &Value) {
        let mut known = self.lock();
        known.joined.apply(name, change);
        known.set(name, State::Up);
        drop(known);
        self.notify();
    }

    /// Removes the streams of a service that does not answer.
    pub(crate) fn lose(&self, name: &str, why: String) {
        let mut known = self.lock();
        known.joined.remove(name);
        known.set(name, State::Lost(why));
        drop(known);
        self.notify();
    }

    fn notify(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Returns whether each service has answered or failed.
    pub(crate) fn is_settled(&self) -> bool {
        self.lock().services.iter().all(|(_, state)| *state != State::Waiting)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let known = self.lock();
        let list = |value: Value| match value {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        Snapshot {
            services: known.services.clone(),
            trees: list(known.joined.trees()),
            cascades: list(known.joined.cascades()),
        }
    }
}

impl Known {
    fn set(&mut self, name: &str, state: State) {
        let of = self.services.iter_mut().find(|(service, _)| service.name == name);
        if let Some((_, known)) = of {
            *known = state;
        }
    }
}

impl Snapshot {
    /// Returns the services that do not answer, with the reason.
    pub(crate) fn missing(&self) -> Vec<String> {
        let missing = self.services.iter().filter_map(|(Service { name, address }, state)| match state {
            State::Up => None,
            State::Waiting => Some(format!("{name} at {address} has not answered")),
            State::Lost(why) => Some(format!("{name} at {address}: {why}")),
        });
        missing.collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let services = self.services.iter().map(|(Service { name, address }, state)| {
            let (state, error) = match state {
                State::Waiting => ("waiting", None),
                State::Up => ("up", None),
                State::Lost(why) => ("lost", Some(why.as_str())),
            };
            json!({"name": name, "address": address, "state": state, "error": error})
        });
        json!({"services": services.collect::<Vec<_>>(), "streams": self.trees, "cascades": self.cascades})
    }
}
