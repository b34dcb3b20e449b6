//! Reads an IDL and all that it includes. Owns files, paths and syntax errors; checks nothing else
//! in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, ast::File, parse};

/// IDL files with all that they include, each file once, an including file before the files it includes.
#[derive(Debug)]
pub(crate) struct Idl {
    pub(crate) sources: Vec<Source>,
}

/// One IDL file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path without links and dots.
    pub(crate) path: PathBuf,
    /// The path as the user wrote it, for messages.
    pub(crate) shown: PathBuf,
    pub(crate) file: File,
    /// The prefix of an included file's names, and where that file is in [`Idl::sources`]. Several files may
    /// have one prefix.
    pub(crate) includes: Vec<(String, usize)>,
}

impl Idl {
    /// Reads `paths` and what they include, looked for beside the including file, then in `include_dirs`, then
    /// where the process runs.
    pub(crate) fn read(paths: &[PathBuf], include_dirs: &[PathBuf]) -> Result<Self, Error> {
        let mut reader = Reader { include_dirs, sources: Vec::new(), open: Vec::new() };
        for path in paths {
            reader.read(path)?;
        }
        Ok(Self { sources: reader.sources.into_iter().flatten().collect() })
    }
}

impl Source {
    /// Returns what is wrong at `line` of this file, and what to do about it.
    pub(crate) fn error(&self, line: usize, problem: impl Into<String>) -> Error {
        Error::Idl { file: self.shown.clone(), line, problem: problem.into() }
    }

    /// Returns the namespace: of Rust, else of Go, else of all, else the file's name.
    pub(crate) fn namespace(&self) -> String {
        let of = |language: &str| self.file.namespaces.iter().rev().find(|(known, _)| known == language);
        match ["rs", "rust", "go", "*"].iter().find_map(|language| of(language)) {
            Some((_, name)) => name.clone(),
            None => stem(&self.path).replace('.', "_"),
        }
    }
}

impl Source {
    /// The package in the path of a gRPC request, as Kitex has it: the last part of the namespace of Go, else of that
    /// of all, else of the file's name, in lower case.
    pub(crate) fn package(&self) -> String {
        let namespaces = &self.file.namespaces;
        let go = namespaces.iter().find(|(language, _)| language == "go");
        let name = go.or_else(|| namespaces.iter().rev().find(|(language, _)| language == "*"));
        let name = name.map_or_else(|| stem(&self.path), |(_, name)| name.clone());
        name.rsplit('.').next().unwrap_or_default().to_lowercase()
    }
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
        let bytes = fs::read(&path).map_err(cannot_read(shown))?;
        let text = String::from_utf8_lossy(&bytes);
        let wrong = |(line, problem)| Error::Idl { file: shown.into(), line, problem };
        let file = parse::file(&text).map_err(wrong)?;
        let at = self.sources.len();
        self.sources.push(None);
        self.open.push((path.clone(), at));
        let mut source = Source { path, shown: shown.into(), file, includes: Vec::new() };
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
        for (name, line) in &source.file.includes {
            let found = self.find(source, name).ok_or_else(|| source.error(*line, not_found(name)))?;
            self.refuse_circle(source, *line, &found)?;
            let include = (stem(Path::new(name)), self.read(&found)?);
            if !includes.contains(&include) {
                includes.push(include);
            }
        }
        Ok(includes)
    }

    fn find(&self, source: &Source, name: &str) -> Option<PathBuf> {
        let beside = source.shown.parent().unwrap_or(Path::new(""));
        let dirs = std::iter::once(beside)
            .chain(self.include_dirs.iter().map(PathBuf::as_path))
            .chain(std::iter::once(Path::new("")));
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
