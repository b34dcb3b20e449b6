//! Reads an IDL and all that it includes. Owns files, paths and syntax errors; judges nothing that is written
//! in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pilota_thrift_parser::{self as ast, Error as ParseError, File, FileParser, FileSource, Item};

use crate::{Error, place::Places, quiet};

/// An IDL file with all that it includes, each file once, the one that was asked for first.
#[derive(Debug)]
pub(crate) struct Idl {
    pub(crate) sources: Vec<Source>,
}

/// One IDL file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path without links and dots, as pilota-build knows it.
    pub(crate) path: PathBuf,
    /// The path as a person wrote it, for messages.
    pub(crate) shown: PathBuf,
    pub(crate) file: File,
    pub(crate) places: Places,
    /// The prefix of an included file's names, and where that file is in [`Idl::sources`].
    pub(crate) includes: Vec<(String, usize)>,
}

impl Idl {
    /// Reads `path` and what it includes, looked for beside the including file and then in `include_dirs`.
    pub(crate) fn read(path: &Path, include_dirs: &[PathBuf]) -> Result<Self, Error> {
        let mut reader = Reader { include_dirs, sources: Vec::new(), open: Vec::new() };
        reader.read(path)?;
        Ok(Self { sources: reader.sources.into_iter().flatten().collect() })
    }

    pub(crate) fn root(&self) -> &Source {
        &self.sources[0]
    }
}

impl Source {
    /// What is wrong at `line` of this file, and what to do about it.
    pub(crate) fn error(&self, line: usize, problem: impl Into<String>) -> Error {
        Error::Idl { file: self.shown.clone(), line, problem: problem.into() }
    }

    /// The namespace, as pilota-build chooses it: of Rust, else of Go, else of all, else the file's name.
    pub(crate) fn namespace(&self) -> String {
        match &self.file.package {
            Some(path) => names(path).join("."),
            None => stem(&self.path).replace('.', "_"),
        }
    }
}

/// The names that a path is made of.
pub(crate) fn names(path: &ast::Path) -> Vec<&str> {
    path.segments.iter().map(ast::Ident::as_str).collect()
}

/// A file's slot is taken before its includes are read, so that the root is first.
struct Reader<'a> {
    include_dirs: &'a [PathBuf],
    sources: Vec<Option<Source>>,
    /// The files that are being read, each included by the one before it.
    open: Vec<(PathBuf, usize)>,
}

impl Reader<'_> {
    fn read(&mut self, shown: &Path) -> Result<usize, Error> {
        let path = fs::canonicalize(shown).map_err(cannot_read(shown))?;
        if let Some(at) = self.known(&path) {
            return Ok(at);
        }
        let text = fs::read_to_string(&path).map_err(cannot_read(shown))?;
        let file = parse(shown, &text)?;
        let at = self.sources.len();
        self.sources.push(None);
        self.open.push((path.clone(), at));
        let mut source =
            Source { path, shown: shown.into(), file, places: Places::new(&text), includes: Vec::new() };
        source.includes = self.read_includes(&source)?;
        self.open.pop();
        self.sources[at] = Some(source);
        Ok(at)
    }

    fn known(&self, path: &Path) -> Option<usize> {
        self.sources.iter().position(|source| source.as_ref().is_some_and(|source| source.path == path))
    }

    fn read_includes(&mut self, source: &Source) -> Result<Vec<(String, usize)>, Error> {
        let mut includes = Vec::new();
        for item in &source.file.items {
            let Item::Include(include) = item else { continue };
            let name = include.path.to_string();
            let line = source.places.include(&name);
            let found = self.find(source, &name).ok_or_else(|| source.error(line, not_found(&name)))?;
            self.refuse_circle(source, line, &found)?;
            includes.push((stem(Path::new(&name)), self.read(&found)?));
        }
        Ok(includes)
    }

    fn find(&self, source: &Source, name: &str) -> Option<PathBuf> {
        let beside = source.shown.parent().unwrap_or(Path::new(""));
        let dirs = std::iter::once(beside).chain(self.include_dirs.iter().map(PathBuf::as_path));
        dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
    }

    fn refuse_circle(&self, source: &Source, line: usize, found: &Path) -> Result<(), Error> {
        let path = fs::canonicalize(found).map_err(cannot_read(found))?;
        if self.open.iter().any(|(open, _)| *open == path) {
            let problem = format!(
                "`{}` includes this file in turn, move what both need to a third file",
                found.display()
            );
            return Err(source.error(line, problem));
        }
        Ok(())
    }
}

fn not_found(name: &str) -> String {
    format!("included file `{name}` not found, correct the path or name its directory with include_dir")
}

fn cannot_read(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { path: path.into(), action: "cannot read", source }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn parse(shown: &Path, text: &str) -> Result<File, Error> {
    let parsed = quiet::catch(|| FileParser::new(FileSource::new(text)).parse());
    let (line, problem) = match parsed {
        Ok(Ok(file)) => return Ok(file),
        Ok(Err(ParseError::Syntax { summary, .. })) => first_error(&summary),
        Ok(Err(other)) => (1, format!("{other:?}")),
        Err(panic) => (1, panic),
    };
    Err(Error::Idl { file: shown.into(), line, problem: format!("syntax error: {problem}") })
}

/// The first place in the parser's summary: `… at line 3:7 - reason`, or of many errors `  1. Line 3:7 -
/// reason`.
fn first_error(summary: &str) -> (usize, String) {
    let place = [" at line ", " Line "].iter().find_map(|word| summary.find(word).map(|at| at + word.len()));
    let first = summary[place.unwrap_or(0)..].lines().next().unwrap_or_default();
    match first.split_once(" - ") {
        Some((place, reason)) => {
            let line = place.split(':').next().and_then(|line| line.parse().ok()).unwrap_or(1);
            (line, reason.to_owned())
        }
        None => (1, first.to_owned()),
    }
}
