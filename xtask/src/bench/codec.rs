//! The codec alone, beside gopkg's.

use super::matrix::median;
use super::peers::Programs;
use super::scale::Scale;
use crate::Result;
use crate::command::Cmd;

/// One piece of work.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    pub(super) what: String,
    pub(super) ns: f64,
    pub(super) allocs: f64,
}

#[derive(Debug)]
pub(super) struct Codec {
    pub(super) ours: Vec<Timing>,
    pub(super) gopkg: Vec<Timing>,
}

pub(super) fn run(programs: &Programs, scale: &Scale) -> Result<Codec> {
    let (mut ours, mut gopkg) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        ours.extend(timings(&programs.words("release/bench-codec", &[]))?);
        gopkg.extend(timings(&programs.words("gopkg-bench", &[]))?);
    }
    let codec = Codec { ours: middle(&ours), gopkg: middle(&gopkg) };
    for what in ["decode", "encode"] {
        let (ours, gopkg) = (codec.ours(what), codec.gopkg(what));
        println!("codec: {what}: ours {:.1?} ns, gopkg {:.1?} ns", ours.map(|t| t.ns), gopkg.map(|t| t.ns));
    }
    Ok(codec)
}

impl Codec {
    pub(super) fn ours(&self, what: &str) -> Option<&Timing> {
        self.ours.iter().find(|timing| timing.what == what)
    }

    pub(super) fn gopkg(&self, what: &str) -> Option<&Timing> {
        self.gopkg.iter().find(|timing| timing.what == what)
    }

    /// How many times as fast ours is.
    pub(super) fn ratio(&self, what: &str) -> Option<f64> {
        let (ours, gopkg) = (self.ours(what)?, self.gopkg(what)?);
        (ours.ns > 0.0).then(|| gopkg.ns / ours.ns)
    }
}

fn timings(words: &[String]) -> Result<Vec<Timing>> {
    let printed = words.iter().fold(Cmd::default(), Cmd::arg).read()?;
    let timings = printed.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let (ns, allocs) = line["ns"].as_f64().zip(line["allocs"].as_f64())?;
        Some(Timing { what: line["what"].as_str()?.to_owned(), ns, allocs })
    });
    timings.collect::<Option<_>>().ok_or_else(|| "the codec's lines have an unknown form".into())
}

/// Of each piece of work the median, in the order in which they came.
fn middle(rounds: &[Timing]) -> Vec<Timing> {
    let mut middles: Vec<Timing> = Vec::new();
    for Timing { what, .. } in rounds {
        if middles.iter().all(|known| known.what != *what) {
            let same = || rounds.iter().filter(|timing| timing.what == *what);
            let of = |of: fn(&Timing) -> f64| median(&same().map(of).collect::<Vec<_>>()).unwrap_or_default();
            middles.push(Timing { what: what.clone(), ns: of(|one| one.ns), allocs: of(|one| one.allocs) });
        }
    }
    middles
}
