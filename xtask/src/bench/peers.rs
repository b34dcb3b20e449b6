//! Who is measured: how each peer is built, and the words it is started with. Knows nothing of figures.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::Cmd;
use crate::interop::build_peer;
use crate::process::{Lines, Running, Server};
use crate::workspace::Workspace;

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Ours,
    /// Ours on a runtime and a connection for each core.
    OursCores,
    /// Ours with connections that look for more for a while before they sleep.
    OursBusy,
    /// Ours over gRPC.
    OursGrpc,
    /// Ours over gRPC with the pool that is its default.
    OursGrpcPool,
    Kitex,
    /// Kitex over gRPC.
    KitexGrpc,
    /// Kitex over gRPC with the pool that is its default.
    KitexGrpcPool,
    Tonic,
    /// The bare loop on a runtime of two workers.
    Bare,
    /// The bare loop on a runtime of the current thread.
    BareCurrent,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) client: Peer,
    pub(super) server: Peer,
}

/// Where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    AllCores,
    /// All who say so share it.
    OneCore,
}

impl Place {
    /// What a command line begins with.
    fn words(self) -> Vec<String> {
        let words = if self == Self::OneCore { "taskset -c 0" } else { "" };
        words.split_whitespace().map(str::to_owned).collect()
    }
}

impl Peer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursCores => "ours, a runtime per core",
            Self::OursBusy => "ours, busy polling",
            Self::OursGrpc => "ours, gRPC",
            Self::OursGrpcPool => "ours, gRPC, default pool",
            Self::Kitex => "Kitex",
            Self::KitexGrpc => "Kitex, gRPC",
            Self::KitexGrpcPool => "Kitex, gRPC, default pool",
            Self::Tonic => "tonic",
            Self::Bare => "bare loop",
            Self::BareCurrent => "bare loop, one thread",
        }
    }

    /// The program, and the arguments that it always gets.
    const fn program(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ours => ("release/lab-peer", &[]),
            Self::OursCores => ("release/lab-peer", &["--cores", "0"]),
            Self::OursBusy => ("release/lab-peer", &["--busy-poll", "100"]),
            Self::OursGrpc | Self::OursGrpcPool => ("release/lab-peer", &["--proto", "grpc"]),
            Self::Kitex => ("kitex-lab-peer", &[]),
            Self::KitexGrpc | Self::KitexGrpcPool => ("kitex-lab-peer", &["--proto", "grpc"]),
            Self::Tonic => ("release/tonic-peer", &[]),
            Self::Bare => ("release/bare", &["--runtime", "workers"]),
            Self::BareCurrent => ("release/bare", &["--runtime", "current"]),
        }
    }
}

impl Pair {
    pub(super) const fn of(peer: Peer) -> Self {
        Self { client: peer, server: peer }
    }

    pub(super) fn name(self) -> String {
        if self.client == self.server {
            return self.client.name().to_owned();
        }
        format!("{} calls {}", self.client.name(), self.server.name())
    }
}

/// The programs, built.
#[derive(Debug)]
pub(super) struct Programs {
    root: PathBuf,
    target: PathBuf,
    /// Commands that built them, as a person would type them.
    pub(super) built_by: Vec<String>,
}

impl Programs {
    /// Builds everyone for release.
    pub(super) fn build(workspace: &Workspace) -> Result<Self> {
        let gopkg = workspace.root.join("crates/bench/gopkg-bench");
        let commands = [
            Cmd::new("cargo build --release --package interop --package bench --bins"),
            Cmd::new("go build -o")
                .path(&workspace.target.join("gopkg-bench"))
                .path(Path::new("."))
                .dir(&gopkg),
        ];
        build_peer(workspace)?;
        for command in &commands {
            command.start()?;
        }
        let programs =
            Self { root: workspace.root.clone(), target: workspace.target.clone(), built_by: Vec::new() };
        let mut built_by = vec![
            "cd crates/interop/kitex-peer && go tool kitex -streamx -module kitex-peer ../idl/lab.thrift"
                .to_owned(),
            "cd crates/interop/kitex-peer && go build -o target/kitex-lab-peer .".to_owned(),
        ];
        built_by.extend(commands.iter().map(|command| programs.shown(&command.to_string())));
        std::fs::create_dir_all(programs.folder())?;
        Ok(Self { built_by, ..programs })
    }

    /// Where logs and quick results go.
    pub(super) fn folder(&self) -> PathBuf {
        self.target.join("bench")
    }

    pub(super) fn log(&self, peer: Peer) -> PathBuf {
        let (program, _) = peer.program();
        self.folder().join(format!("{}.log", program.rsplit('/').next().unwrap_or(program)))
    }

    /// Command line of a program of this run, by its path from the target folder.
    pub(super) fn words(&self, program: &str, words: &[&str]) -> Vec<String> {
        let program = self.target.join(program).display().to_string();
        std::iter::once(program).chain(words.iter().map(|&word| word.to_owned())).collect()
    }

    pub(super) fn server(&self, peer: Peer, lines: Lines) -> Result<Server> {
        self.server_on(Place::AllCores, peer, lines)
    }

    pub(super) fn server_on(&self, place: Place, peer: Peer, lines: Lines) -> Result<Server> {
        let words = |addr: SocketAddr| [place.words(), self.server_words(peer, &addr.to_string())].concat();
        Server::start(words, lines, &self.log(peer))
    }

    /// Starts a server of the name `name` that calls `next`.
    pub(super) fn server_in_chain(
        &self,
        peer: Peer,
        lines: Lines,
        name: &str,
        next: Option<(SocketAddr, String)>,
    ) -> Result<Server> {
        let next =
            next.map(|(addr, name)| ["--next".to_owned(), addr.to_string(), "--nextname".to_owned(), name]);
        let more: Vec<String> =
            ["--name".to_owned(), name.to_owned()].into_iter().chain(next.into_iter().flatten()).collect();
        let words = |addr: SocketAddr| [self.server_words(peer, &addr.to_string()), more].concat();
        Server::start(words, lines, &self.log(peer))
    }

    fn server_words(&self, peer: Peer, addr: &str) -> Vec<String> {
        let (program, extra) = peer.program();
        self.words(program, &[&["server", "--addr", addr], extra].concat())
    }

    /// Command line of a client: a subcommand and its words.
    pub(super) fn client_words(&self, peer: Peer, addr: SocketAddr, words: &str) -> Vec<String> {
        let (program, extra) = peer.program();
        let addr = addr.to_string();
        let words: Vec<&str> = words.split_whitespace().chain(["--addr", &addr]).collect();
        self.words(program, &[&words, extra].concat())
    }

    pub(super) fn client(&self, peer: Peer, addr: SocketAddr, words: &str) -> Result<Running> {
        self.client_on(Place::AllCores, peer, addr, words)
    }

    pub(super) fn client_on(
        &self,
        place: Place,
        peer: Peer,
        addr: SocketAddr,
        words: &str,
    ) -> Result<Running> {
        let words = [place.words(), self.client_words(peer, addr, words)].concat();
        Running::start(&words, Lines::Read, &self.log(peer))
    }

    /// What a server and a client of each peer are started with, as a person would type it.
    pub(super) fn lines(&self, words: impl Fn(Peer) -> String) -> Vec<String> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9001));
        let peers = [
            Peer::Ours,
            Peer::OursCores,
            Peer::OursBusy,
            Peer::OursGrpc,
            Peer::OursGrpcPool,
            Peer::Kitex,
            Peer::KitexGrpc,
            Peer::KitexGrpcPool,
            Peer::Tonic,
            Peer::Bare,
        ];
        let lines = peers.into_iter().flat_map(|peer| {
            [self.server_words(peer, &addr.to_string()), self.client_words(peer, addr, &words(peer))]
        });
        lines.map(|words| self.shown(&words.join(" "))).collect()
    }

    /// A command line without the folders of this machine.
    pub(super) fn shown(&self, line: &str) -> String {
        let target = self.target.display().to_string();
        let line = line.replace(&target, "target");
        line.replace(&format!("{}/", self.root.display()), "").replace(&self.root.display().to_string(), ".")
    }
}
