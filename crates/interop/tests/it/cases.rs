//! Calls with recorded output: the lines that Kitex alone prints are in `tests/data`. Each run with the
//! Kitex peer checks the files, and one with `INTEROP_RECORD=1` writes them again. The output of an older version of Kitex,
//! where it differs, is in a folder named after the version.

use std::collections::HashMap;
use std::env;
use std::fs;

use serde_json::{Value, json};

use crate::chain::{Chain, Output};
use crate::peer::{Peer, older_kitex};

/// Arguments of clients whose calls go through a whole chain.
///
/// They have no races: where a peer acts after some time, the awaited event has happened long before. Kitex
/// may lose messages just before an error, so there is a pause between them.
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

/// Arguments of clients whose calls end at the first server.
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

/// Arguments of clients whose calls use gRPC, through one server or a whole chain. Without deadlines: each
/// hop has a timer of its own, and any may be first.
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

/// The same for calls that end at the first server.
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

/// The recorded output of Kitex alone, by the arguments of the client.
pub(crate) struct Recorded {
    file: &'static str,
    outputs: HashMap<String, Output>,
    /// With a Kitex peer on an older Kitex: the output of its client where it differs, and `None` for a call that it cannot
    /// make.
    older: HashMap<String, Option<Output>>,
}

impl Recorded {
    /// Returns the output of one server.
    pub(crate) fn pair() -> Self {
        Self::read("pair.jsonl")
    }

    /// Returns the output of a chain of three servers.
    pub(crate) fn chain() -> Self {
        Self::read("chain.jsonl")
    }

    /// Returns the output of one server, over gRPC.
    pub(crate) fn grpc_pair() -> Self {
        Self::read("grpc_pair.jsonl")
    }

    /// Returns the output of a chain of three servers, over gRPC.
    pub(crate) fn grpc_chain() -> Self {
        Self::read("grpc_chain.jsonl")
    }

    /// Returns the expected output of a call made by `client`: that of Kitex, with two exceptions. `None`: this client
    /// cannot make it.
    fn of(&self, client: Peer, case: &str) -> Option<Output> {
        let recorded =
            |case| self.outputs.get(case).unwrap_or_else(|| panic!("{} has no {case:?}", self.file));
        if client == Peer::Go
            && let Some(older) = self.older.get(case)
        {
            return older.clone();
        }
        Some(match (client, case) {
            // By default Kitex sends calls framed, and so loses business errors. We do not.
            (Peer::Rust, UNARY_BIZ) => recorded(UNARY_BIZ_TTHEADER).clone(),
            // Where they are lost, a call has neither response nor error. In Go that is two nils.
            (Peer::Rust, UNARY_BIZ_FRAMED) => {
                let mut output = recorded(UNARY_BIZ_FRAMED).clone();
                output[0][0]["err"] = "remote or network error[remote]: Unary failed: unknown result".into();
                output
            }
            _ => recorded(case).clone(),
        })
    }

    /// Makes each call on Kitex alone, and checks that the output is that of the file.
    pub(crate) fn prove(&self, mut chain: Chain, cases: &[&str]) {
        if env::var("INTEROP_RECORD").is_ok_and(|value| value == "1") {
            self.record(&chain, cases);
            return chain.finish();
        }
        self.check(&mut chain, Peer::Go, "", cases);
        assert_eq!(self.outputs.len(), cases.len(), "{} has rows that no case needs", self.file);
        chain.finish();
    }

    /// Writes the output of Kitex alone; of an older version only what differs.
    fn record(&self, chain: &Chain, cases: &[&str]) {
        let older = older_kitex();
        let cases = cases.iter().filter(|case| self.older.get(**case) != Some(&None));
        let outputs = cases.map(|case| (case, chain.record(Peer::Go, case)));
        let outputs =
            outputs.filter(|(case, output)| older.is_none() || self.outputs.get(**case) != Some(output));
        let rows: String = outputs.map(|(case, output)| row(case, &output)).collect();
        fs::write(path(older.as_deref(), self.file), rows).expect("the folder of tests/data is there");
    }

    /// Makes each call, with additional `words` that do not change the output, and checks that the output is
    /// that of Kitex alone.
    pub(crate) fn check(&self, chain: &mut Chain, client: Peer, words: &str, cases: &[&str]) {
        for case in cases {
            if let Some(expected) = self.of(client, case) {
                chain.check(client, &format!("{case} {words}"), &expected);
            }
        }
    }

    fn read(file: &'static str) -> Self {
        let older = older_kitex().map(|version| rows(&path(Some(&version), file)));
        let outputs = rows(&path(None, file)).into_iter();
        let outputs = outputs.filter_map(|(case, output)| Some((case, output?))).collect();
        Self { file, outputs, older: older.unwrap_or_default() }
    }
}

fn rows(path: &str) -> HashMap<String, Option<Output>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    let printed = rows.map(|mut row| {
        let printed = serde_json::from_value(row["printed"].take()).expect("a list of lines for each place");
        (row["case"].as_str().expect("a row names its case").to_owned(), printed)
    });
    printed.collect()
}

fn path(version: Option<&str>, file: &str) -> String {
    format!("{}/tests/data/{}/{file}", env!("CARGO_MANIFEST_DIR"), version.unwrap_or("."))
}

fn row(case: &str, output: &Output) -> String {
    format!("{}\n", json!({"case": case, "printed": output}))
}
