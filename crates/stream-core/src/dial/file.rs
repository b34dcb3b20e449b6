//! Instances listed in a file, which is read again while the client is used.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tracing::warn;

use super::discover::{Discover, Instance, InstanceSet, Sets};
use crate::clock;
use crate::sync::Mutex;

/// Instances listed in a file: one per line, its address and then `weight=NUMBER` and tags as `KEY=VALUE`, separated by
/// spaces; `#` begins a comment. The file is read again at most once a second, when a call is made. A file that cannot be read or
/// parsed is logged and changes nothing.
///
/// ```text
/// # model servers
/// 10.0.0.1:8888 weight=20 zone=a
/// 10.0.0.2:8888
/// ```
#[derive(Clone)]
pub struct InstanceFile(Arc<Shared>);

struct Shared {
    path: PathBuf,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sets: Sets,
    is_reading: bool,
    next_read: Option<Instant>,
}

impl InstanceFile {
    /// Returns a source of the instances in the file `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::every(path, Duration::from_secs(1))
    }

    /// As [`new`](Self::new), read again after `interval`.
    pub fn every(path: impl Into<PathBuf>, interval: Duration) -> Self {
        Self(Arc::new(Shared { path: path.into(), interval, state: Mutex::default() }))
    }
}

impl Discover for InstanceFile {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        let (polled, due) = {
            let mut state = self.0.state.lock();
            let polled = state.sets.poll(cx, seen);
            let now = clock::now();
            let due = !state.is_reading && state.next_read.is_none_or(|next| next <= now);
            if due {
                state.is_reading = true;
                state.next_read = now.checked_add(self.0.interval);
            }
            (polled, due)
        };
        if due {
            let reading = Reading(self.0.clone());
            // Outside of a runtime the next call reads it.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn_blocking(move || reading.finish());
            }
        }
        polled
    }
}

/// A read that is under way. Its drop permits the next one, also if its runtime was shut down before it began.
struct Reading(Arc<Shared>);

impl Reading {
    fn finish(self) {
        let Shared { path, state, .. } = &*self.0;
        let read = std::fs::read_to_string(path).and_then(|text| parse(&text));
        match read {
            Ok(instances) => {
                let wakers = {
                    let mut state = state.lock();
                    let is_same = !instances.is_empty() && state.sets.instances() == instances;
                    (!is_same).then(|| state.sets.replace(instances))
                };
                wakers.into_iter().flatten().for_each(Waker::wake);
            }
            Err(error) => warn!(path = %path.display(), %error, "the file of instances was not read"),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.state.lock().is_reading = false;
    }
}

/// Returns the instances that `text` lists.
fn parse(text: &str) -> io::Result<Vec<Instance>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(parse_line).collect()
}

fn parse_line(line: &str) -> io::Result<Instance> {
    let mut words = line.split_whitespace();
    let mut instance = Instance::new(words.next().unwrap_or_default());
    for word in words {
        let invalid = || {
            let text = format!("{word:?} in {line:?} is neither weight=NUMBER nor KEY=VALUE");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        instance = match word.split_once('=') {
            Some(("weight", number)) => instance.with_weight(number.parse().map_err(|_| invalid())?),
            Some((key, value)) => instance.with_tag(key, value),
            None => return Err(invalid()),
        };
    }
    Ok(instance)
}

impl fmt::Debug for InstanceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceFile").field("path", &self.0.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_file_lines_have_an_address_a_weight_and_tags() {
        let rows = [
            ("", Some(vec![])),
            ("# none\n\n", Some(vec![])),
            ("a:1\n b:2 # here\n", Some(vec![Instance::new("a:1"), Instance::new("b:2")])),
            (
                "a:1 weight=20 zone=x tier=1",
                Some(vec![Instance::new("a:1").with_weight(20).with_tag("zone", "x").with_tag("tier", "1")]),
            ),
            ("a:1 weight=0", Some(vec![Instance::new("a:1").with_weight(1)])),
            ("a:1 weight=many", None),
            ("a:1 fast", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
    }
}
