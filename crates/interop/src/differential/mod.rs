//! The same frames decoded by `ttheader-codec` and by gopkg, the library that Kitex decodes with: each is accepted by both
//! with the same content, or refused by both, or in the list of divergences.

mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Command, Stdio};
use std::thread;

use kitex::bytes::BytesMut;
use ttheader_codec::{DecodeError, Header, Limits, decode_frame, decode_header};

use self::generate::{Input, Origin};

/// A difference that is meant: what gopkg accepts and we refuse.
struct Divergence {
    name: &'static str,
    is: fn(&DecodeError) -> bool,
    /// Printed with its count.
    why: &'static str,
}

const DIVERGENCES: &[Divergence] = &[
    Divergence {
        name: "transforms",
        is: |error| matches!(error, DecodeError::Transforms { .. }),
        why: "gopkg skips the ids of transforms and reads the payload as it is; ours does not read what it cannot undo",
    },
    Divergence {
        name: "length smaller than the header",
        is: |error| matches!(error, DecodeError::HeaderOverrun { .. }),
        why: "gopkg counts a negative payload",
    },
    Divergence {
        name: "frame over the limit",
        is: |error| matches!(error, DecodeError::FrameTooLarge { .. }),
        why: "gopkg has no limit; ours is 16 MiB by default, and 1 GiB at most",
    },
    Divergence {
        name: "pairs over the limit",
        is: |error| matches!(error, DecodeError::TooManyPairs { .. }),
        why: "gopkg has no limit; ours is 1,024 by default",
    },
];

/// Runs of so many frames must see each listed divergence.
const MANY: u64 = 50_000;

/// What a run has counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Accepted by both, with the same content.
    pub accepted: u64,
    /// Refused by both.
    pub refused: u64,
    /// In the list of divergences, by name.
    pub diverged: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// One line a count.
    pub fn show(&self) -> String {
        let mut out = format!("accepted by both, with the same content: {}\n", self.accepted);
        // A `String` takes any text.
        let _ = writeln!(out, "refused by both: {}", self.refused);
        for Divergence { name, why, .. } in DIVERGENCES {
            let count = self.diverged.get(name).copied().unwrap_or_default();
            let _ = writeln!(out, "accepted by gopkg alone, {name}: {count} ({why})");
        }
        out
    }
}

/// Decodes `frames` frames of `seed` here and with the Go program `peer` (its mode `frames`).
///
/// # Errors
/// A frame is decoded otherwise and no divergence lists it; a listed one was not seen; the program fails.
pub fn run(peer: &str, seed: u64, frames: u64) -> Result<Counts, String> {
    let mut child = Command::new(peer);
    let child = child.arg("frames").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().map_err(|error| format!("{peer}: {error}"))?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(format!("{peer} has no pipes"));
    };
    let writer = thread::spawn(move || {
        let mut out = BufWriter::new(stdin);
        for number in 0..frames {
            let Input { bytes, .. } = generate::input(seed, number);
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            // A program that has ended prints fewer lines, which is seen.
            let _ = out.write_all(&length.to_be_bytes()).and_then(|()| out.write_all(&bytes));
        }
    });
    let mut counts = Counts::default();
    let mut lines = BufReader::new(stdout).lines();
    let compared = (0..frames).try_for_each(|number| {
        let line = lines
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| format!("seed {seed}, frame {number}: {peer} printed no line"))?;
        let input = generate::input(seed, number);
        counts.compare(&input, &line).map_err(|what| {
            let hex: String = input.bytes.iter().take(400).map(|byte| format!("{byte:02x}")).collect();
            format!(
                "seed {seed}, frame {number} ({:?}): {what}\n  gopkg: {line:.300}\n  bytes: {hex}",
                input.origin
            )
        })
    });
    if compared.is_err() {
        // It may have ended.
        let _ = child.kill();
    }
    drop(lines);
    let _ = writer.join();
    let _ = child.wait();
    compared?;
    counts
        .outdated(frames)
        .map_or(Ok(()), |name| Err(format!("seed {seed}: the divergence \"{name}\" was not seen")))?;
    Ok(counts)
}

impl Counts {
    fn compare(&mut self, input: &Input, theirs: &str) -> Result<(), String> {
        let decoded = decode_header(&input.bytes, &Limits::default());
        whole_frame_agrees(&input.bytes, &decoded)?;
        if input.origin == Origin::Encoder && theirs == "refused" {
            return Err("what our encoder wrote is refused".to_owned());
        }
        match decoded {
            Ok(Some(header)) => {
                let ours = canonical(&header);
                if ours != theirs {
                    return Err(format!("ours is {ours:.300}"));
                }
                self.accepted += 1;
            }
            Ok(None) | Err(_) if theirs == "refused" => self.refused += 1,
            Ok(None) => return Err("ours waits for more".to_owned()),
            Err(error) => {
                let listed = DIVERGENCES.iter().find(|divergence| (divergence.is)(&error));
                let name = listed.ok_or_else(|| format!("ours refuses it: {error}"))?.name;
                *self.diverged.entry(name).or_default() += 1;
            }
        }
        Ok(())
    }

    fn outdated(&self, frames: u64) -> Option<&'static str> {
        let mut unseen = DIVERGENCES.iter().filter(|listed| !self.diverged.contains_key(listed.name));
        unseen.next().filter(|_| frames >= MANY).map(|listed| listed.name)
    }
}

/// A complete frame is taken whole, with the same header and the payload behind it.
fn whole_frame_agrees(bytes: &[u8], decoded: &Result<Option<Header<'_>>, DecodeError>) -> Result<(), String> {
    let mut buffer = BytesMut::from(bytes);
    match (decoded, decode_frame(&mut buffer, &Limits::default())) {
        (Ok(Some(header)), Ok(Some(frame))) => {
            let same = canonical(&frame.header()) == canonical(header);
            let payload = bytes.get(header.header_len..header.frame_len()) == Some(&frame.payload[..]);
            if same && payload { Ok(()) } else { Err("decode_frame and decode_header differ".to_owned()) }
        }
        (Ok(Some(header)), Ok(None)) if bytes.len() < header.frame_len() => Ok(()),
        (Ok(None), Ok(None)) | (Err(_), Err(_) | Ok(None)) => Ok(()),
        (_, frame) => Err(format!("decode_frame says {frame:?}")),
    }
}

/// All that a decoder says of a frame, as the Go program prints it. A later duplicate wins.
fn canonical(header: &Header<'_>) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    };
    let ints: BTreeMap<u16, &[u8]> = header.ints().collect();
    let strings: BTreeMap<&[u8], &[u8]> = header.strings().collect();
    let pairs = ints.iter().map(|(key, value)| format!("i{key:05}={}", hex(value)));
    let pairs = pairs.chain(strings.iter().map(|(key, value)| format!("s{}={}", hex(key), hex(value))));
    let pairs: BTreeSet<String> = pairs.collect();
    format!(
        "flags={} seq={} protocol={} header={} payload={} {}",
        header.flags.bits(),
        header.sequence_id,
        header.protocol_id.as_u8(),
        header.header_len,
        header.payload_len,
        pairs.into_iter().collect::<Vec<_>>().join(" ")
    )
}
