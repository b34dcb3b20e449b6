//! A command of the system, as one value: shown as a person would type it, run without standard input.
//!
//! Always `cargo` by its name in `PATH`, never by path: `cargo +nightly` needs rustup's own.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::Result;

/// What to run, where, and with what in its environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cmd {
    words: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<String>,
}

impl Cmd {
    /// A command of words parted by spaces; the first names the program.
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

    /// Runs it; its output is ours.
    pub(crate) fn run(&self) -> Result {
        let status = self.command().status().map_err(|error| self.cannot_start(&error))?;
        self.judge(status)
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

    /// Runs it and gives what it prints.
    pub(crate) fn read(&self) -> Result<String> {
        let output =
            self.command().stderr(Stdio::inherit()).output().map_err(|error| self.cannot_start(&error))?;
        self.judge(output.status)?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it prints, or nothing if it cannot be run or fails: asks what a machine has.
    pub(crate) fn probe(&self) -> Option<String> {
        let output = self.command().output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn judge(&self, status: ExitStatus) -> Result {
        if status.success() { Ok(()) } else { Err(format!("`{self}` failed: {status}").into()) }
    }

    fn cannot_start(&self, error: &io::Error) -> String {
        format!("`{self}` cannot be started: {error}")
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
