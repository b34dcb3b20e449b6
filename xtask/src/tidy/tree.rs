//! The tree that rules read: files that git has or would add, and the crates of `cargo metadata`. Rules do not read the
//! disk, so that a test can pass its own tree.

use std::collections::BTreeSet;
use std::fs;

use super::source::Source;
use super::text::is_in;
use crate::Result;
use crate::command::Cmd;
use crate::workspace::{Package, Workspace};

/// What rules read.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    pub(super) packages: Vec<Package>,
}

/// A text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the root, separated by `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// The text taken apart, if it is Rust.
    pub(super) source: Option<Source>,
    /// Nothing of it reaches a user: a test, a bench, or a module of tests.
    tests_only: bool,
}

/// Where a rule found something, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
}

/// Files written by tools.
const LOCK_FILES: &[&str] = &["Cargo.lock", "go.sum"];
/// In the first line of a generated file.
const GENERATED: &str = "@generated";

impl Tree {
    pub(super) fn read(workspace: Workspace) -> Result<Self> {
        let list =
            Cmd::new("git ls-files -z --cached --others --exclude-standard").dir(&workspace.root).read()?;
        let paths: BTreeSet<&str> = list.split_terminator('\0').collect();
        let paths = paths.into_iter().filter(|path| !LOCK_FILES.iter().any(|lock| path.ends_with(lock)));
        // A file that is deleted but not yet committed is on the list; one that is no text has no words.
        let files =
            paths.filter_map(|path| Some((path, fs::read_to_string(workspace.root.join(path)).ok()?)));
        Ok(Self::new(files, workspace.packages))
    }

    pub(super) fn new<'a>(files: impl Iterator<Item = (&'a str, String)>, packages: Vec<Package>) -> Self {
        let mut files: Vec<File> = files.map(|(path, text)| File::new(path, text)).collect();
        let modules: Vec<String> = files.iter().flat_map(File::test_modules).collect();
        for file in &mut files {
            file.tests_only |= modules.iter().any(|module| is_in(&file.path, module));
        }
        Self { files, packages }
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rust files with what they hold.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.source.as_ref()?)))
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::new(&text));
        let tests_only = path.split('/').any(|folder| matches!(folder, "tests" | "benches"));
        Self { path: path.to_owned(), text, source, tests_only }
    }

    pub(super) fn is_generated(&self) -> bool {
        self.text.lines().next().is_some_and(|line| line.contains(GENERATED))
    }

    pub(super) fn is_example(&self) -> bool {
        self.path.contains("/examples/")
    }

    /// Whether the byte at `at` belongs to a test.
    pub(super) fn is_test(&self, at: usize) -> bool {
        self.tests_only || self.source.iter().flat_map(Source::test_items).any(|item| item.contains(&at))
    }

    pub(super) fn spot(&self, at: usize, what: impl Into<String>) -> Spot {
        let line = self.text[..at].matches('\n').count() + 1;
        Spot { path: self.path.clone(), line, what: what.into() }
    }

    /// Paths, without their ending, of the modules that this file declares under `#[cfg(test)]`.
    fn test_modules(&self) -> Vec<String> {
        let Some((source, path)) = self.source.as_ref().zip(self.path.strip_suffix(".rs")) else {
            return Vec::new();
        };
        let (folder, stem) = path.rsplit_once('/').unwrap_or(("", path));
        let base = if matches!(stem, "mod" | "lib" | "main") { folder } else { path };
        source.test_modules().map(|module| format!("{base}/{module}")).collect()
    }
}
