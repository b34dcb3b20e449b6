//! A command of the system, as one value: shown as a person would type it, run without standard input.
//!
//! Always `cargo` by its name in `PATH`, never by path: `cargo +nightly` needs rustup's own.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::Result;

/// The exit code of `timeout` if the time is up.
const TIMED_OUT: i32 = 124;

/// What to run, where, and with what in its environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cmd {
    words: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<String>,
    limit: Option<Duration>,
}

impl Cmd {
    /// Returns a command from words separated by spaces; the first is the program.
    pub(crate) fn new(line: &str) -> Self {
        Self { words: line.split_whitespace().map(str::to_owned).collect(), ..Self::default() }
    }

    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn path(self, path: &Path) -> Self {
        self.arg(path.display().to_string())
    }

    pub(crate) fn args(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.display().to_string());
        self
    }

    /// Ends it, and what it has started, after `limit`, where the machine has `timeout` of coreutils.
    pub(crate) fn within(self, limit: Duration) -> Self {
        let limit = Self::new("timeout --version").probe().map(|_| limit);
        Self { limit, ..self }
    }

    /// Runs it; its output is ours.
    pub(crate) fn run(&self) -> Result {
        let status = self.command().status().map_err(|error| self.cannot_start(&error))?;
        self.judge(status)
    }

    /// Prints it as a person would type it, and runs it.
    pub(crate) fn start(&self) -> Result {
        println!("   $ {self}");
        self.run()
    }

    /// Runs it, passes its output on, and shows every line of it to `see`.
    pub(crate) fn run_seen(&self, mut see: impl FnMut(&str)) -> Result {
        let mut child =
            self.command().stdout(Stdio::piped()).spawn().map_err(|error| self.cannot_start(&error))?;
        for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            let line = line?;
            println!("{line}");
            see(&line);
        }
        self.judge(child.wait()?)
    }

    /// Runs it and returns its output.
    pub(crate) fn read(&self) -> Result<String> {
        let output =
            self.command().stderr(Stdio::inherit()).output().map_err(|error| self.cannot_start(&error))?;
        self.judge(output.status)?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns its output, or nothing if it cannot be run or fails; to find out which tools are installed.
    pub(crate) fn probe(&self) -> Option<String> {
        let output = self.command().output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    }

    fn command(&self) -> Command {
        let seconds = self.limit.map(|limit| limit.as_secs().to_string());
        let bound = seconds.as_deref().map(|seconds| ["timeout", "--kill-after=10", seconds]);
        let mut words = bound.iter().flatten().copied().chain(self.words.iter().map(String::as_str));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn judge(&self, status: ExitStatus) -> Result {
        match (status.code(), self.limit) {
            (Some(0), _) => Ok(()),
            (Some(TIMED_OUT), Some(limit)) => {
                Err(format!("`{self}` did not end within {} s", limit.as_secs()).into())
            }
            _ => Err(format!("`{self}` failed: {status}").into()),
        }
    }

    fn cannot_start(&self, error: &io::Error) -> String {
        format!("`{self}` cannot be started: {error}")
    }
}

/// Installs Debian packages where that is possible: by root, with a package index that can be reached. Whether it worked is
/// seen by what needs them.
pub(crate) fn install(packages: &str) {
    let is_root = Cmd::new("id -u").probe().is_some_and(|id| id.trim() == "0");
    if is_root && Cmd::new("apt-get update -qq").probe().is_some() {
        let install = "apt-get install -y -qq --no-install-recommends";
        let _ = Cmd::new(&format!("{install} {packages}")).probe();
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {dir} && ")?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        let words: Vec<String> = self.words.iter().map(|word| quoted(word)).collect();
        f.write_str(&words.join(" "))
    }
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains([' ', '<', '>', '*', ';']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}
