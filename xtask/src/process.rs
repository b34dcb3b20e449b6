//! Programs that are measured: started, listened to, looked at, and ended when they are dropped. Knows
//! nothing of what they do.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;

/// A program that runs, and the lines that it prints.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// A server, and where it listens.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) addr: SocketAddr,
}

/// What becomes of a server's lines. Those who measure throughput throw them away: to read them takes time
/// from who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Read,
    Discard,
}

/// Lines that may be queued for the reader.
const LINES: usize = 200_000;
/// The unit in which the system counts processor time.
const TICK: Duration = Duration::from_millis(10);
/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);

impl Server {
    /// Starts a server; `words` makes its command line from its address.
    pub(crate) fn start(
        words: impl FnOnce(SocketAddr) -> Vec<String>,
        lines: Lines,
        log: &Path,
    ) -> Result<Self> {
        // Another may take the port before the server does: then the server ends, and so does the run.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut running = Running::start(&words(addr), lines, log)?;
        let started = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = running.child.try_wait()? {
                return Err(format!("server ended: {status}; see {}", log.display()).into());
            }
            if started.elapsed() > START {
                return Err(format!("server does not listen; see {}", log.display()).into());
            }
            pause(Duration::from_millis(5));
        }
        Ok(Self { running, addr })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory in bytes since [`Self::reset_peak`], or the start.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    pub(crate) fn reset_peak(&self) -> Result {
        // The number of this order in proc(5).
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")?)
    }

    fn status(&self, line: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let kb = status.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next());
        let kb: u64 = kb.ok_or("the system does not tell a process' memory")?.parse()?;
        Ok(kb * 1024)
    }
}

impl Running {
    /// Starts a program; what it says to people goes to `log`.
    pub(crate) fn start(words: &[String], lines: Lines, log: &Path) -> Result<Self> {
        let (program, words) = words.split_first().ok_or("no program")?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stderr(File::options().create(true).append(true).open(log)?);
        let stdout = if lines == Lines::Read { Stdio::piped() } else { Stdio::null() };
        let mut child = command
            .stdout(stdout)
            .spawn()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        let (sender, lines) = sync_channel(LINES);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(std::result::Result::ok);
                // The receiver was dropped: the rest is read all the same, so that the program can end.
                lines.for_each(|line| drop(sender.send(line)));
            });
        }
        Ok(Self { child, lines })
    }

    /// The next line of JSON whose `ev` is `event`; nothing if the program ends without it.
    pub(crate) fn event(&self, event: &str, until: Instant) -> Result<Option<Value>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => match serde_json::from_str::<Value>(&line) {
                    Ok(value) if value["ev"] == event => return Ok(Some(value)),
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => return Err(format!("no line `{event}` in time").into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Processor time so far; nothing if the program has ended.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The name of the program may have spaces; behind it, the times are the 12th and the 13th.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut ticks = rest.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
        Some(TICK * u32::try_from(ticks.next()? + ticks.next()?).ok()?)
    }

    /// Lines of JSON that have been printed and not yet been looked at.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.lines.try_iter().filter_map(|line| serde_json::from_str(&line).ok()).collect()
    }

    /// Waits until the program has ended by itself, and well.
    pub(crate) fn wait(&mut self, until: Instant) -> Result {
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("it ended with {status}").into()),
                None if Instant::now() > until => return Err("it does not end".into()),
                None => pause(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended by itself, or has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "another program gives no event that could be waited for")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}
