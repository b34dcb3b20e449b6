//! The books of a run: which streams have begun and ended, how calls ended, what was wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use interop::dial::Failure;
use kitex::Error;
use kitex::observe::{CallEnd, CallObserver, CallStart, Observer};

/// Far more than anything may take, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of all streams and calls.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    open: HashMap<u64, String>,
    calls: u64,
    ends: BTreeMap<String, u64>,
    deaths: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

impl Ledger {
    /// A call has ended so.
    pub(crate) fn call(&self, what: &str, result: &Result<(), Error>) {
        let end = match result {
            Ok(()) => "well".to_owned(),
            Err(error) => error.code().map_or_else(|| kind(error), |code| code.number().to_string()),
        };
        self.with(|books| *books.ends.entry(format!("{what} {end}")).or_default() += 1);
    }

    /// A part has died.
    pub(crate) fn death(&self, of: &'static str) {
        self.with(|books| *books.deaths.entry(of).or_default() += 1);
    }

    pub(crate) fn wrong(&self, what: String) {
        self.with(|books| books.wrong.push(what));
    }

    pub(crate) fn summary(&self) -> String {
        self.with(|books| {
            format!("{} ends of calls; deaths: {:?}\ncalls: {:?}", books.calls, books.deaths, books.ends)
        })
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.with(|books| {
            if !books.wrong.is_empty() {
                let first = books.wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
                return Err(format!("{} faults:\n{first}", books.wrong.len()).into());
            }
            let open = books.open.len();
            match books.open.values().next() {
                Some(call) => Err(format!("{open} calls have no outcome, {call} is one").into()),
                None => Ok(()),
            }
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        change(&mut self.0.lock().expect("no code panics under it"))
    }
}

fn kind(error: &Error) -> String {
    let shown = error.to_string();
    shown.split([':', '(']).next().unwrap_or_default().chars().take(40).collect()
}

/// Writes each call's start and end into the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Clerk(pub(crate) Arc<Ledger>);

/// The same for one call.
struct Entry {
    ledger: Arc<Ledger>,
    number: u64,
}

impl Observer for Clerk {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        let what = format!("{:?} {:?} {:?}", call.side, call.kind, call.names);
        let number = self.0.with(|books| {
            books.calls += 1;
            books.open.insert(books.calls, what);
            books.calls
        });
        Some(Box::new(Entry { ledger: self.0.clone(), number }))
    }
}

impl CallObserver for Entry {
    fn finish(&self, _: &CallEnd<'_>) {
        self.ledger.with(|books| {
            if books.open.remove(&self.number).is_none() {
                books.wrong.push(format!("call {} ends twice", self.number));
            }
        });
    }
}
