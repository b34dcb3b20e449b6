//! The program on real Kitex, as server and client, and servers of the same service in this process.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use interop::lab::{Lab, LabPingError, LabServer, Req, Resp};
use kitex::client::Instance;
use kitex::{BidiStreamingServer, ClientStreamingServer, Context, Result, Server, ServerStreamingServer};
use kitex_etcd::{Etcd, Registration};
use serde_json::Value;

/// Names the program in `etcd-peer`.
pub(crate) const PROGRAM: &str = "ETCD_PEER";

/// The weight of a server that gives none.
const DEFAULT_WEIGHT: u32 = 10;

/// Returns the program, if this run has it. If not, prints that the test is skipped.
pub(crate) fn program() -> Option<String> {
    let program = env::var(PROGRAM).ok().filter(|path| !path.is_empty());
    if program.is_none() {
        // Past the capture of the test's output.
        let _ =
            writeln!(std::io::stderr(), "skipped: it needs Kitex with registry-etcd, and {PROGRAM} is unset");
    }
    program
}

/// The servers of a service, in the order of their start.
#[derive(Default)]
pub(crate) struct Peers(Vec<Peer>);

struct Peer {
    name: String,
    instance: Instance,
    running: Running,
}

enum Running {
    Kitex(Process),
    /// Serves until the test ends.
    Rust(Option<Registration>),
}

impl Peers {
    /// Starts a server on Kitex, which registers itself.
    pub(crate) fn kitex(&mut self, program: &str, etcd: &str, name: &str, weight: u32, zone: Option<&str>) {
        let mut command = Command::new(program);
        command.args(["server", "-service", "model", "-etcd", etcd, "-name", name]);
        command.args(["-weight", &weight.to_string()]);
        if let Some(zone) = zone {
            command.args(["-tag", &format!("zone={zone}")]);
        }
        let mut process = Process::start(command);
        let line = process.line();
        let address = line.strip_prefix("listening ").unwrap_or_else(|| panic!("it does not listen: {line}"));
        let instance = instance(address, weight, zone);
        self.0.push(Peer { name: name.to_owned(), instance, running: Running::Kitex(process) });
    }

    /// Starts a server of this library, and registers it.
    pub(crate) async fn rust(&mut self, etcd: &Etcd, name: &str, weight: u32, zone: Option<&str>) {
        let server = Server::builder("model").service(LabServer::new(Named(name.to_owned())));
        let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
        let instance = instance(&server.local_addr().to_string(), weight, zone);
        tokio::spawn(server.serve());
        let registration = etcd.register("model", instance.clone()).await.expect("etcd runs");
        self.0.push(Peer { name: name.to_owned(), instance, running: Running::Rust(Some(registration)) });
    }

    /// Returns the first `count` instances, as `address weight zone`.
    pub(crate) fn instances(&self, count: usize) -> Vec<String> {
        let mut lines: Vec<_> = self.0.iter().take(count).map(|peer| crate::line(&peer.instance)).collect();
        lines.sort();
        lines
    }

    /// Ends the registration of the last server. On Kitex it is a signal that does so, which ends the process too.
    pub(crate) async fn deregister_last(&mut self) {
        match &mut self.0.last_mut().expect("there is one").running {
            Running::Kitex(process) => process.terminate(),
            Running::Rust(registration) => {
                let registration = registration.take().expect("it is registered");
                registration.deregister().await.expect("etcd runs");
            }
        }
    }

    /// Returns how many of `calls` weighted round robin gives to each of the first `count`.
    pub(crate) fn shares(&self, count: usize, calls: usize) -> Shares {
        let peers = self.0.iter().take(count);
        let sum: u32 = peers.clone().map(|peer| peer.instance.weight).sum();
        let share = |peer: &Peer| calls * peer.instance.weight as usize / sum as usize;
        Shares(peers.map(|peer| (peer.name.clone(), share(peer))).collect())
    }
}

fn instance(address: &str, weight: u32, zone: Option<&str>) -> Instance {
    let weight = if weight == 0 { DEFAULT_WEIGHT } else { weight };
    let instance = Instance::new(address).with_weight(weight);
    zone.into_iter().fold(instance, |instance, zone| instance.with_tag("zone", zone))
}

/// How many calls each server has to get, by its name.
#[derive(Debug)]
pub(crate) struct Shares(BTreeMap<String, usize>);

impl Shares {
    /// Returns whether each server has its share, within a fifth: a round may begin at any server.
    pub(crate) fn fit(&self, counts: &BTreeMap<String, usize>) -> bool {
        let fits = |name: &String, share: usize| counts.get(name).unwrap_or(&0).abs_diff(share) <= share / 5;
        counts.len() == self.0.len() && self.0.iter().all(|(name, share)| fits(name, *share))
    }
}

/// A client on Kitex with the resolver of registry-etcd.
pub(crate) struct KitexClient(Process);

impl KitexClient {
    pub(crate) fn start(program: &str, etcd: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["client", "-service", "model", "-etcd", etcd]);
        Self(Process::start(command))
    }

    /// Returns the instances that its resolver returns, as `address weight zone`.
    pub(crate) fn instances(&mut self) -> Vec<String> {
        let answer = self.ask("instances");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |value: &Value| {
            format!("{} {} {}", text(&value["address"]), value["weight"], text(&value["tags"]["zone"]))
        };
        let mut lines: Vec<_> = answer.as_array().into_iter().flatten().map(line).collect();
        lines.sort();
        lines
    }

    /// Makes `calls`, or opens streams. Returns how many of them each server has answered.
    pub(crate) fn counts(&mut self, what: &str, calls: usize) -> BTreeMap<String, usize> {
        let answer = self.ask(&format!("{what} {calls}"));
        let count = |(name, count): (&String, &Value)| {
            (name.clone(), count.as_u64().and_then(|count| count.try_into().ok()).unwrap_or_default())
        };
        answer.as_object().into_iter().flatten().map(count).collect()
    }

    fn ask(&mut self, line: &str) -> Value {
        writeln!(self.0.input, "{line}").expect("it reads");
        serde_json::from_str(&self.0.line()).expect("it answers in JSON")
    }
}

/// A running program. Killed when dropped.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take().expect("stdin is a pipe");
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self { child, input, output }
    }

    /// Returns the next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints a line");
        line.trim_end().to_owned()
    }

    fn terminate(&self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(killed.expect("there is a program kill").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers with its name.
struct Named(String);

impl Named {
    fn resp(&self) -> Resp {
        Resp { msg: Some(self.0.clone().into()), ..Resp::default() }
    }
}

#[kitex::async_trait]
impl Lab for Named {
    async fn ping(&self, _: Context, _: Req) -> std::result::Result<Resp, LabPingError> {
        Ok(self.resp())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(self.resp())
    }

    async fn up(&self, _: Context, _: ClientStreamingServer<Req>) -> Result<Resp> {
        Ok(self.resp())
    }

    async fn down(&self, _: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.send(&self.resp()).await
    }

    async fn bidi(&self, _: Context, _: BidiStreamingServer<Req, Resp>) -> Result<()> {
        Ok(())
    }
}
