//! What is measured, and who measures it with whom: each work and each pair by its name.

use super::peers::{Pair, Peer};
use crate::machine;

/// What is done, by how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) what: &'static str,
    pub(super) tasks: usize,
    /// Both ends on one and the same core.
    pub(super) one_core: bool,
}

pub(super) const ECHO_1: Work = Work::of("echo", 1);
pub(super) const ECHO_1_CORE: Work = Work { one_core: true, ..ECHO_1 };
pub(super) const ECHO_100: Work = Work::of("echo", 100);
pub(super) const ECHO_1000: Work = Work::of("echo", 1000);
pub(super) const DOWN_1: Work = Work::of("down", 1);
pub(super) const OPEN_100: Work = Work::of("open", 100);
pub(super) const UNARY_100: Work = Work::of("unary", 100);

pub(super) const WORKS: [Work; 7] = [ECHO_1, ECHO_1_CORE, ECHO_100, ECHO_1000, DOWN_1, OPEN_100, UNARY_100];

pub(super) const OURS: Pair = Pair::of(Peer::Ours);
pub(super) const OURS_CORES: Pair = Pair::of(Peer::OursCores);
pub(super) const OURS_BUSY: Pair = Pair::of(Peer::OursBusy);
pub(super) const OURS_GRPC: Pair = Pair::of(Peer::OursGrpc);
pub(super) const OURS_GRPC_POOL: Pair = Pair::of(Peer::OursGrpcPool);
pub(super) const KITEX: Pair = Pair::of(Peer::Kitex);
pub(super) const KITEX_GRPC: Pair = Pair::of(Peer::KitexGrpc);
pub(super) const KITEX_GRPC_POOL: Pair = Pair::of(Peer::KitexGrpcPool);
pub(super) const TONIC: Pair = Pair::of(Peer::Tonic);
pub(super) const BARE: Pair = Pair::of(Peer::Bare);
pub(super) const BARE_CURRENT: Pair = Pair::of(Peer::BareCurrent);
pub(super) const TO_KITEX: Pair = Pair { client: Peer::Ours, server: Peer::Kitex };
pub(super) const FROM_KITEX: Pair = Pair { client: Peer::Kitex, server: Peer::Ours };

pub(super) const PAIRS: [Pair; 13] = [
    OURS,
    OURS_CORES,
    OURS_BUSY,
    OURS_GRPC,
    OURS_GRPC_POOL,
    KITEX,
    KITEX_GRPC,
    KITEX_GRPC_POOL,
    TONIC,
    BARE,
    BARE_CURRENT,
    TO_KITEX,
    FROM_KITEX,
];

/// Bytes of payload of each message.
pub(super) const BYTES: usize = 1024;

impl Work {
    const fn of(what: &'static str, tasks: usize) -> Self {
        Self { what, tasks, one_core: false }
    }

    pub(super) fn name(self) -> String {
        format!("{}, C={}{}", self.what, self.tasks, if self.one_core { ", one core" } else { "" })
    }

    /// The bare loop has streams only. On one core there is one runtime, without wake-ups across cores.
    pub(super) fn suits(self, pair: Pair) -> bool {
        match pair.client {
            Peer::Bare | Peer::BareCurrent => self.what != "unary",
            Peer::OursCores => !self.one_core,
            // With one stream, one connection of the pool is used.
            Peer::OursGrpcPool | Peer::KitexGrpcPool => self.tasks > 1,
            Peer::OursBusy => [ECHO_1, ECHO_100, DOWN_1].contains(&self),
            Peer::Ours | Peer::OursGrpc | Peer::Kitex | Peer::KitexGrpc | Peer::Tonic => true,
        }
    }

    /// The client's words.
    pub(super) fn words(self, pair: Pair, seconds: u64) -> String {
        let Self { what, tasks, one_core: _ } = self;
        let pool = match pair.client {
            Peer::Ours | Peer::OursBusy | Peer::OursGrpc | Peer::Kitex | Peer::KitexGrpc => {
                " --pool mux --psize 1".to_owned()
            }
            // The default of `ClientBuilder::pool`.
            Peer::OursCores | Peer::OursGrpcPool => format!(" --pool mux --psize {}", machine::cores()),
            // Kitex takes its default, which is one and a half connections for each processor.
            Peer::KitexGrpcPool => " --pool mux --psize 0".to_owned(),
            Peer::Tonic | Peer::Bare | Peer::BareCurrent => String::new(),
        };
        format!("bench --what {what} --c {tasks} --b {BYTES} --t {seconds}{pool}")
    }
}
