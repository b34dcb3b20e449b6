//! Instances listed in a file, which is read again while the client is used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::discover::{Discover, Instance, InstanceSet, SharedInstances};
use super::watch::WatchedInstances;

/// Instances listed in a file: one per line, its address and then `weight=NUMBER` and tags as `KEY=VALUE`, separated by
/// spaces; `#` begins a comment. Clones are the same source.
///
/// The file is read every second, on a task that begins with the first call and ends when the last clone is dropped. A file
/// that cannot be read or parsed, or lists nothing, is logged and changes nothing; before the first one that does list
/// instances it is read every 100 ms, and calls wait for that, for the time of their `connect_timeout`. To change the
/// file, write another and rename it: one that is written in place may be read half written.
///
/// ```text
/// # model servers
/// 10.0.0.1:8888 weight=20 zone=a
/// 10.0.0.2:8888
/// ```
#[derive(Clone)]
pub struct InstanceFile {
    path: Arc<Path>,
    instances: WatchedInstances,
}

/// The time between two reads.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time between two reads before one has succeeded.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);

impl InstanceFile {
    /// Returns a source of the instances in the file `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::every(path, INTERVAL)
    }

    /// As [`new`](Self::new), read every `interval`, at least every 10 ms.
    pub fn every(path: impl Into<PathBuf>, interval: Duration) -> Self {
        let path: Arc<Path> = path.into().into();
        let interval = interval.max(Duration::from_millis(10));
        let read = path.clone();
        let instances = WatchedInstances::new(move |instances| watch(read.clone(), interval, instances));
        Self { path, instances }
    }
}

impl Discover for InstanceFile {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        self.instances.poll_instances(cx, seen)
    }
}

async fn watch(path: Arc<Path>, interval: Duration, instances: SharedInstances) {
    let mut known = Vec::new();
    let mut last_fault = None;
    loop {
        let file = path.clone();
        let read = spawn_blocking(move || read(&file)).await;
        match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(listed) => {
                if known != listed {
                    instances.set(listed.iter().cloned());
                    known = listed;
                }
                last_fault = None;
            }
            Err(fault) => {
                let fault = Some(fault.to_string());
                // Once, as long as it stays the same.
                if last_fault != fault {
                    let text = fault.as_deref();
                    warn!(path = %path.display(), error = text, "the file of instances was not read: the last ones stay");
                    last_fault = fault;
                }
            }
        }
        sleep(if known.is_empty() { interval.min(FIRST_INTERVAL) } else { interval }).await;
    }
}

/// Returns the instances that the file `path` lists, of which there is one at least.
fn read(path: &Path) -> io::Result<Vec<Instance>> {
    let instances = parse(&std::fs::read_to_string(path)?)?;
    if instances.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it lists no instance"));
    }
    Ok(instances)
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
        f.debug_struct("InstanceFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

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

    /// Returns the addresses of the current set.
    fn listed(source: &InstanceFile) -> Vec<String> {
        match source.poll_instances(&mut Context::from_waker(Waker::noop()), None) {
            Poll::Ready(set) => set.instances().iter().map(|instance| instance.address.to_string()).collect(),
            Poll::Pending => Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn instance_file_is_read_every_interval_and_one_without_instances_changes_nothing() {
        let path = std::env::temp_dir().join(format!("stream-core-instances-{}", std::process::id()));
        let source = InstanceFile::new(&path);
        let rows: [(Option<&str>, &[&str]); 9] = [
            (None, &[]),
            // As a file is between the call that truncates it and the one that writes it.
            (Some(""), &[]),
            (Some("a:1\n"), &["a:1"]),
            (Some("a:1\nb:2"), &["a:1", "b:2"]),
            (Some(""), &["a:1", "b:2"]),
            (Some("# none\n"), &["a:1", "b:2"]),
            (Some("c:3 fast"), &["a:1", "b:2"]),
            (None, &["a:1", "b:2"]),
            (Some("c:3 # the last"), &["c:3"]),
        ];
        for (at, (text, expected)) in rows.into_iter().enumerate() {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => drop(std::fs::remove_file(&path)),
            }
            listed(&source);
            let interval = if expected.is_empty() { FIRST_INTERVAL } else { INTERVAL };
            sleep(interval + interval).await;
            assert_eq!(listed(&source), expected, "row {at}: {text:?}");
        }
        let _ = std::fs::remove_file(&path);
    }

    #[tokio::test(start_paused = true)]
    async fn instance_file_that_appears_later_ends_the_wait_of_the_first_call() {
        let path = std::env::temp_dir().join(format!("stream-core-instances-later-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let source = InstanceFile::new(&path);
        let waiting = source.clone();
        let first = tokio::spawn(async move { poll_fn(|cx| waiting.poll_instances(cx, None)).await });
        sleep(Duration::from_secs(10)).await;
        std::fs::write(&path, "a:1\n").unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(first.await.unwrap().instances(), [Instance::new("a:1")]);
        assert!(began.elapsed() <= FIRST_INTERVAL + FIRST_INTERVAL, "{:?}", began.elapsed());
        let _ = std::fs::remove_file(&path);
    }
}
