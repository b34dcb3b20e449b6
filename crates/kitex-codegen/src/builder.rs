//! The door: which IDLs, where to look, where to write. Owns files and the order of the steps; each step is
//! elsewhere.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Error, check, emit, idl::Idl, pass, pilota};

/// Generates Rust from Thrift IDLs.
///
/// Each IDL becomes one file `<name>.rs` that also holds everything the IDL includes, so give only IDLs that
/// no other one of the same crate includes.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    idls: Vec<PathBuf>,
    include_dirs: Vec<PathBuf>,
    out_dir: Option<PathBuf>,
}

/// The code that was made of one IDL. Nothing is written before [`write`](Self::write).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Where it belongs.
    pub path: PathBuf,
    /// The formatted code.
    pub text: String,
    /// The IDL and all that it includes.
    pub inputs: Vec<PathBuf>,
}

impl Builder {
    /// A builder without an IDL.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an IDL.
    #[must_use]
    pub fn idl(mut self, path: impl Into<PathBuf>) -> Self {
        self.idls.push(path.into());
        self
    }

    /// Adds a directory where included files are looked for. The including file's own directory comes first.
    #[must_use]
    pub fn include_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.include_dirs.push(path.into());
        self
    }

    /// Sets the directory where the code belongs. Default: `OUT_DIR`, as cargo sets it for a `build.rs`.
    #[must_use]
    pub fn out_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(path.into());
        self
    }

    /// Generates the code of all IDLs and writes nothing.
    ///
    /// pilota-build prints cargo's `rerun-if-changed` lines on the standard output as it reads; outside of a
    /// `build.rs` they mean nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Idl`] with file and line for what is wrong in an IDL, [`Error::Io`] for files that cannot be
    /// read, [`Error::Usage`] without an IDL or without a place to write to.
    pub fn generate(&self) -> Result<Vec<Generated>, Error> {
        if self.idls.is_empty() {
            return Err(Error::Usage("no idl given, name one with idl"));
        }
        let out_dir = self.destination()?;
        self.idls.iter().map(|idl| self.generate_one(idl, &out_dir)).collect()
    }

    /// Generates and writes the code of all IDLs: what a `build.rs` calls. Tells cargo to run it again when
    /// an IDL changes.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate), and [`Error::Io`] for files that cannot be written.
    pub fn compile(&self) -> Result<(), Error> {
        for generated in self.generate()? {
            for input in &generated.inputs {
                println!("cargo:rerun-if-changed={}", input.display());
            }
            generated.write()?;
        }
        Ok(())
    }

    fn destination(&self) -> Result<PathBuf, Error> {
        let from_cargo = || env::var_os("OUT_DIR").map(PathBuf::from);
        let missing =
            Error::Usage("no place to write to, name one with out_dir or call this from a build.rs");
        self.out_dir.clone().or_else(from_cargo).ok_or(missing)
    }

    fn generate_one(&self, path: &Path, out_dir: &Path) -> Result<Generated, Error> {
        let idl = Arc::new(Idl::read(path, &self.include_dirs)?);
        check::check(&idl)?;
        let (text, catalog) = pilota::run(Arc::clone(&idl), &self.include_dirs)?;
        let (modules, _) = pass::run(path, &text, &catalog)?;
        let name = Path::new(path.file_stem().unwrap_or_default()).with_extension("rs");
        Ok(Generated {
            path: out_dir.join(name),
            text: emit::text(path, modules),
            inputs: idl.sources.iter().map(|source| source.shown.clone()).collect(),
        })
    }
}

impl Generated {
    /// Whether the file at [`path`](Self::path) holds this code already.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it is there and cannot be read.
    pub fn is_current(&self) -> Result<bool, Error> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(bytes == self.text.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io("cannot read", source)),
        }
    }

    /// Writes the file, and its directory if need be. Leaves a current file as it is, so that nothing is
    /// built again.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self) -> Result<(), Error> {
        if self.is_current()? {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&self.path, &self.text))
            .map_err(|e| self.io("cannot write", e))
    }

    fn io(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), action, source }
    }
}
