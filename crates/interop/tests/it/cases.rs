//! Calls whose every line is known: what Kitex alone prints of them is in `tests/data`. A file is proved
//! by each run that has the Go twin, and written anew by one that has `INTEROP_RECORD=1` too.

use std::collections::HashMap;
use std::env;
use std::fs;

use serde_json::{Value, json};

use crate::chain::{Chain, Told};
use crate::peer::Peer;

/// Words of a client whose call goes through a whole chain.
///
/// Nothing in them is a race: where a peer acts after some time, what it waits for is there long before.
/// Kitex may lose messages that an error follows closely, so a pause stands between.
pub(crate) const STREAMS: &[&str] = &[
    "--what up --msg hello",
    "--what bidi --msg hello",
    "--what down --msg n=3",
    "--what down --msg n=0",
    "--what down --msg n=2;hdr",
    "--what down --msg n=2;size=70000",
    "--what down --msg n=1;delay=50;fail",
    "--what down --msg n=3;delay=50;biz=404",
    "--what down --msg n=1;delay=50;panic",
    "--what down --msg fail",
    "--what down --msg biz=404",
    "--what down --msg panic",
    "--what cancel --msg n=-1;delay=300 --after 2",
    "--what cancel --msg n=3;idle --after 3",
    "--what timeout --msg n=-1;delay=400 --after 600",
    "--what timeout --msg n=2;idle --after 600",
    "--what recvtimeout --msg n=-1;delay=900 --after 400",
    "--what recvtimeout --msg n=1;idle --after 400",
];

/// Words of a client whose call ends at the first server.
pub(crate) const CALLS: &[&str] = &[
    "--what ping --msg hello",
    "--what unary --msg hello",
    UNARY_BIZ,
    "--what unary --msg fail",
    "--proto framed --what ping --msg hello",
    "--proto framed --what unary --msg hello",
    UNARY_BIZ_FRAMED,
    "--proto framed --what unary --msg fail",
    "--proto framed --what cancel --msg n=3;idle --after 3",
    "--proto ttheader --what ping --msg hello",
    "--proto ttheader --what unary --msg hello",
    UNARY_BIZ_TTHEADER,
    "--proto ttheader --what unary --msg fail",
    "--proto ttheader --what cancel --msg n=3;idle --after 3",
];

/// Words of a client whose call goes by gRPC, through one server or a whole chain. Without deadlines: each hop has a
/// timer of its own, and which is first is open.
pub(crate) const GRPC_STREAMS: &[&str] = &[
    "--proto grpc --what up --msg hello",
    "--proto grpc --what bidi --msg hello",
    "--proto grpc --what down --msg n=3",
    "--proto grpc --what down --msg n=0",
    "--proto grpc --what down --msg n=2;hdr",
    "--proto grpc --what down --msg n=2;size=70000",
    "--proto grpc --what down --msg n=1;delay=50;fail",
    "--proto grpc --what down --msg n=3;delay=50;biz=404",
    "--proto grpc --what down --msg n=1;delay=50;panic",
    "--proto grpc --what down --msg fail",
    "--proto grpc --what down --msg biz=404",
    "--proto grpc --what down --msg panic",
    "--proto grpc --what cancel --msg n=-1;delay=300 --after 2",
    "--proto grpc --what cancel --msg n=3;idle --after 3",
    "--proto grpc --what cancelcause --msg n=-1;delay=300 --after 2",
    "--proto grpc --what recvtimeout --msg n=-1;delay=900 --after 400",
    "--proto grpc --what recvtimeout --msg n=1;idle --after 400",
];

/// The same of calls that end at the first server.
pub(crate) const GRPC_CALLS: &[&str] = &[
    "--proto grpc --what ping --msg hello",
    "--proto grpc --what unary --msg hello",
    "--proto grpc --what unary --msg biz=404",
    "--proto grpc --what unary --msg fail",
    "--proto grpc --what down --msg n=0;hdr",
    "--proto grpc --what down --msg n=3 --pool long",
    "--proto grpc --what down --msg n=3 --pool short",
    "--proto grpc --what down --msg n=3;size=1000000",
];

const UNARY_BIZ: &str = "--what unary --msg biz=404";
const UNARY_BIZ_FRAMED: &str = "--proto framed --what unary --msg biz=404";
const UNARY_BIZ_TTHEADER: &str = "--proto ttheader --what unary --msg biz=404";

/// What Kitex alone prints, by the words of the client.
pub(crate) struct Recorded {
    file: &'static str,
    told: HashMap<String, Told>,
}

impl Recorded {
    /// Of one server.
    pub(crate) fn pair() -> Self {
        Self::read("pair.jsonl")
    }

    /// Of three servers in a row.
    pub(crate) fn chain() -> Self {
        Self::read("chain.jsonl")
    }

    /// Of one server, by gRPC.
    pub(crate) fn grpc_pair() -> Self {
        Self::read("grpc_pair.jsonl")
    }

    /// Of three servers in a row, all by gRPC.
    pub(crate) fn grpc_chain() -> Self {
        Self::read("grpc_chain.jsonl")
    }

    /// What a call prints if `client` makes it: what it prints if Kitex does, with two exceptions.
    fn of(&self, client: Peer, case: &str) -> Told {
        let recorded = |case| self.told.get(case).unwrap_or_else(|| panic!("{} has no {case:?}", self.file));
        match (client, case) {
            // Kitex sends calls framed if it is not told otherwise, and so loses business errors. We do not.
            (Peer::Rust, UNARY_BIZ) => recorded(UNARY_BIZ_TTHEADER).clone(),
            // Where they are lost, a call has neither answer nor error. In Go that is two nils.
            (Peer::Rust, UNARY_BIZ_FRAMED) => {
                let mut told = recorded(UNARY_BIZ_FRAMED).clone();
                told[0][0]["err"] = "remote or network error[remote]: Unary failed: unknown result".into();
                told
            }
            _ => recorded(case).clone(),
        }
    }

    /// Makes each call on Kitex alone: what it prints is what the file says.
    pub(crate) fn prove(&self, mut chain: Chain, cases: &[&str]) {
        if env::var("INTEROP_RECORD").is_ok_and(|value| value == "1") {
            let told = cases.iter().map(|case| row(case, &chain.record(Peer::Go, case)));
            fs::write(path(self.file), told.collect::<String>()).expect("tests/data can be written");
            return chain.finish();
        }
        self.check(&mut chain, Peer::Go, "", cases);
        assert_eq!(self.told.len(), cases.len(), "{} has rows that no case needs", self.file);
        chain.finish();
    }

    /// Makes each call, by words that change nothing of what is printed: it prints what Kitex alone
    /// prints.
    pub(crate) fn check(&self, chain: &mut Chain, client: Peer, words: &str, cases: &[&str]) {
        for case in cases {
            chain.check(client, &format!("{case} {words}"), &self.of(client, case));
        }
    }

    fn read(file: &'static str) -> Self {
        let text = fs::read_to_string(path(file)).unwrap_or_default();
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
        let told = rows.map(|mut row| {
            let told = serde_json::from_value(row["told"].take()).expect("a list of lines for each place");
            (row["case"].as_str().expect("a row names its case").to_owned(), told)
        });
        Self { file, told: told.collect() }
    }
}

fn path(file: &str) -> String {
    format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn row(case: &str, told: &Told) -> String {
    format!("{}\n", json!({"case": case, "told": told}))
}
