//! Names that were replaced by the field's standard terms. Owns the table; a row says what to write instead.

use super::text::is_in;
use super::tree::{Spot, Tree};
use super::words::{Look, Place, find_words};

/// Names that were replaced together.
struct Term {
    old: &'static [&'static str],
    /// What to write instead.
    new: &'static str,
    scope: Scope,
}

/// Where the old names must not be.
#[derive(Clone, Copy)]
enum Scope {
    /// In all text, file names included.
    Everywhere,
    /// In the code of libraries, except tests: elsewhere these are ordinary words.
    Libraries,
    /// In the driver of `ttstream`.
    Driver,
}

/// Pages that record history, this table and its tests, and texts for a language model.
const EXCEPT: &[&str] = &["CHANGELOG.md", "docs/decisions.md", "xtask/src/tidy", "crates/chat/data"];
const LIBRARIES: &[&str] = &[
    "crates/kerrors/src",
    "crates/kitex/src",
    "crates/kitex-codegen/src",
    "crates/kitex-grpc/src",
    "crates/kitex-thrift/src",
    "crates/kitex-tls/src",
    "crates/stream-core/src",
    "crates/ttheader-codec/src",
    "crates/ttstream/src",
];
const DRIVER: &[&str] = &["crates/ttstream/src/driver"];

#[rustfmt::skip]
const TERMS: &[Term] = &[
    Term { old: &["intake", "Intake"], new: "recv_flow, RecvFlow", scope: Scope::Everywhere },
    Term { old: &["spare::take", "spare::give", "spare.rs"], new: "buffer_pool, acquire, release", scope: Scope::Everywhere },
    Term { old: &["told_deadline"], new: "wire_deadline", scope: Scope::Everywhere },
    Term { old: &["told_timeout"], new: "peer_timeout", scope: Scope::Everywhere },
    Term { old: &["finish_told"], new: "finish_reported", scope: Scope::Everywhere },
    Term { old: &["tell_finish", "tell_if_ended"], new: "notify_*", scope: Scope::Everywhere },
    Term { old: &["told_to_end"], new: "shutdown_signal", scope: Scope::Everywhere },
    Term { old: &["recv_connection", "recv_stream"], new: "receive_window, stream_receive_window", scope: Scope::Everywhere },
    Term { old: &["send_connection"], new: "send_buffer, stream_send_buffer", scope: Scope::Everywhere },
    Term { old: &["stall_shared", "stall_solo"], new: "slow_consumer_timeout", scope: Scope::Everywhere },
    Term { old: &["write_stall"], new: "write_timeout", scope: Scope::Everywhere },
    Term { old: &["stream_idle"], new: "stream_idle_timeout", scope: Scope::Everywhere },
    Term { old: &["misdeed", "misdeeds"], new: "protocol violation", scope: Scope::Everywhere },
    Term { old: &["impostors"], new: "misbehaving servers", scope: Scope::Everywhere },
    Term { old: &["strangers"], new: "misbehaving clients", scope: Scope::Everywhere },
    Term { old: &["hole", "Hole"], new: "unreachable", scope: Scope::Everywhere },
    Term { old: &["ignore_received"], new: "discard_incoming", scope: Scope::Everywhere },
    Term { old: &["CallAnswer", "UnaryAnswer", "Answering"], new: "Response, ResponseFuture", scope: Scope::Everywhere },
    Term { old: &["BoundServer"], new: "Server", scope: Scope::Everywhere },
    Term { old: &["Few", "few"], new: "InlineSlab", scope: Scope::Libraries },
    Term { old: &["News", "heard"], new: "ReadOutcome, on_received", scope: Scope::Libraries },
    Term { old: &["Answer"], new: "Response", scope: Scope::Libraries },
    Term { old: &["Caller"], new: "Invoke", scope: Scope::Libraries },
    Term { old: &["Served", "Admitted"], new: "Routed, ConnectionPermit", scope: Scope::Libraries },
    Term { old: &["Handles", "halves"], new: "StreamParts, split", scope: Scope::Libraries },
    Term { old: &["Above", "Ending", "Leaving"], new: "ClientLinks, FinishGuard, Grace", scope: Scope::Libraries },
    Term { old: &["Fate"], new: "Action", scope: Scope::Libraries },
    Term { old: &["Cores"], new: "ThreadPerCore", scope: Scope::Libraries },
    Term { old: &["let_go", "hold", "Turn", "DIRECT"], new: "uncork, cork, WriterState, INLINE_WRITES", scope: Scope::Driver },
    Term { old: &["peek", "locked"], new: "lock, update, update_connection", scope: Scope::Driver },
];

pub(super) fn find(tree: &Tree) -> Vec<Spot> {
    TERMS.iter().flat_map(|term| term.find(tree)).collect()
}

impl Term {
    fn find(&self, tree: &Tree) -> Vec<Spot> {
        let place = Place { look: self.scope.look(), within: self.scope.within(), except: EXCEPT };
        let names =
            tree.files.iter().filter(|file| self.names(&file.path)).map(|file| file.spot(0, "its name"));
        let spots = find_words(tree, self.old, &place).into_iter().chain(names);
        spots.map(|spot| Spot { what: format!("{}: now {}", spot.what, self.new), ..spot }).collect()
    }

    /// Whether a part of `path` is one of the old names.
    fn names(&self, path: &str) -> bool {
        let is_old = |part: &str| self.old.contains(&part.split('.').next().unwrap_or_default());
        let excepted = EXCEPT.iter().any(|place| is_in(path, place));
        !excepted && matches!(self.scope, Scope::Everywhere) && path.split('/').any(is_old)
    }
}

impl Scope {
    fn look(self) -> Look {
        match self {
            Self::Everywhere => Look::Text,
            Self::Libraries | Self::Driver => Look::Product,
        }
    }

    fn within(self) -> &'static [&'static str] {
        match self {
            Self::Everywhere => &[],
            Self::Libraries => LIBRARIES,
            Self::Driver => DRIVER,
        }
    }
}
