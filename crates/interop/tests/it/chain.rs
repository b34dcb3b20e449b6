//! A chain of servers, ServiceB first, and sequential calls through all of them. Owns which parts of a line
//! are compared.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::peer::{Peer, Process, say};

/// The output of each peer for one call, without the parts that may differ: the client first, then each
/// server.
pub(crate) type Output = Vec<Vec<Value>>;

/// Names of the servers.
const SERVICES: [&str; 3] = ["ServiceB", "ServiceC", "ServiceD"];

/// Running servers, each calling the next one.
#[derive(Debug)]
pub(crate) struct Chain {
    servers: Vec<Process>,
    /// The address of ServiceB.
    pub(crate) address: String,
    /// Clients whose call has ended but which have not exited yet.
    lingering: Vec<Process>,
}

impl Chain {
    pub(crate) fn start(peers: &[Peer]) -> Self {
        Self::start_with(peers, "")
    }

    /// Starts a chain; `words` are the arguments for the connection to the next server.
    pub(crate) fn start_with(peers: &[Peer], words: &str) -> Self {
        let (mut servers, mut next) = (Vec::new(), None::<(&str, String)>);
        for (&peer, &name) in peers.iter().zip(&SERVICES).rev() {
            let next_words =
                next.map(|(name, address)| format!("--next {address} --nextname {name} {words}"));
            let words = format!("--name {name} {}", next_words.unwrap_or_default());
            let (server, address) = Process::serve(peer, &words);
            servers.insert(0, server);
            next = Some((name, address));
        }
        let address = next.expect("a chain has a server").1;
        Self { servers, address, lingering: Vec::new() }
    }

    /// Returns the servers, ServiceB first.
    pub(crate) fn servers(&self) -> &[Process] {
        &self.servers
    }

    /// Returns the last server.
    pub(crate) fn last(&self) -> &Process {
        self.servers.last().expect("a chain has a server")
    }

    /// Makes a call and checks the output of each peer. A call with a timeout is made again if the output differs: on a slow
    /// machine it may pass before a message has come, or at one hop before another.
    pub(crate) fn check(&mut self, client: Peer, case: &str, expected: &Output) {
        let mut attempts = if case.contains("timeout ") { ATTEMPTS } else { 1 };
        while let Err(difference) = self.compare(client, case, expected) {
            attempts -= 1;
            assert!(attempts > 0, "{difference}");
            say(&format!("made again: {case}"));
        }
    }

    /// Makes a call and compares the output of each peer. Returns the first difference.
    fn compare(&mut self, client: Peer, case: &str, expected: &Output) -> Result<(), String> {
        let client = Process::start(client, &self.words(case));
        let places = [&client].into_iter().chain(&self.servers);
        let mut differences = Vec::new();
        for (place, expected) in places.zip(expected) {
            let output = essence_of(&place.take(expected.len()));
            if output != *expected {
                let should = format!("should have printed {expected:#?}\nand printed {output:#?}");
                differences.push(format!("of {case} {place:?}\n{should}"));
            }
        }
        self.lingering.push(client);
        differences.into_iter().next().map_or(Ok(()), Err)
    }

    /// Makes a call, and waits until no peer can have further output.
    pub(crate) fn record(&self, client: Peer, case: &str) -> Output {
        let client = Process::start(client, &self.words(case)).ends().lines;
        let servers = self.servers.iter().map(|server| server.rest(SWEEP));
        [client].into_iter().chain(servers).map(|lines| essence_of(&lines)).collect()
    }

    /// Ends the chain. Checks that no peer has further output, and that every client has exited with success.
    pub(crate) fn finish(self) {
        for client in self.lingering {
            let ended = client.ends();
            assert!(ended.lines.is_empty() && ended.code == Some(0), "a client's end: {ended:?}");
        }
        let more: Vec<Value> = self.servers.into_iter().flat_map(Process::kill).collect();
        assert!(more.is_empty(), "unexpected lines: {more:#?}");
    }

    fn words(&self, case: &str) -> String {
        format!("client --addr {} {case}", self.address)
    }
}

/// How often a call with a timeout is made at most.
const ATTEMPTS: usize = 5;

/// Longer than Kitex takes to send the cancel of a stream without a pending Recv.
const SWEEP: Duration = Duration::from_secs(6);

fn essence_of(lines: &[Value]) -> Vec<Value> {
    lines.iter().filter_map(essence).collect()
}

/// Returns the value without times, empty parts and the digits of measured durations. `None` if nothing is
/// left.
fn essence(value: &Value) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| !LEFT_OUT.contains(&&***key));
            let fields: Map<_, _> =
                fields.filter_map(|(key, value)| Some((key.clone(), essence(value)?))).collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::String(text) if text.is_empty() => None,
        Value::String(text) if text.len() > LONG => Some(format!("{} characters", text.len()).into()),
        Value::String(text) => Some(without_measured(text).into()),
        Value::Null => None,
        other => Some(other.clone()),
    }
}

const LEFT_OUT: [&str; 3] = ["ts", "terr", "herr"];
/// From this length on, only the length of a payload is compared.
const LONG: usize = 1000;

fn without_measured(text: &str) -> String {
    const MEASURED: &str = "timeout in ctx: ";
    let Some((before, measured)) = text.split_once(MEASURED) else { return text.to_owned() };
    let unit = measured.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    format!("{before}{MEASURED}N{unit}")
}
