//! The public API: inputs, include directories, output. Owns files and the order of the steps; each step is a module.

use std::{
    collections::HashSet,
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, emit, input::Input, options::Options};

/// Generates Rust from Thrift IDLs and, with the feature `protobuf`, from `.proto` files.
///
/// Each IDL becomes one file `<name>.rs` with a module for each namespace or package, including those of the files that it includes.
/// IDLs that include the same file, or whose namespaces begin with the same name, share modules: their code is in the file
/// of the first of them, and the files of the others contain only a comment. So all files can be included.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    idls: Vec<PathBuf>,
    include_dirs: Vec<PathBuf>,
    out_dir: Option<PathBuf>,
    options: Options,
}

/// The code generated from one IDL. Nothing is written before [`write`](Self::write).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The path of the file.
    pub path: PathBuf,
    /// The formatted code.
    pub text: String,
    /// The IDL and all files that it includes.
    pub inputs: Vec<PathBuf>,
}

impl Builder {
    /// Returns a builder without an IDL.
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

    /// Sets the directory for the code. Default: `OUT_DIR`, as cargo sets it for a `build.rs`.
    #[must_use]
    pub fn out_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(path.into());
        self
    }

    /// Adds an attribute to the type that the IDL calls `name`, or to all structs, unions, exceptions and enums if
    /// it is `.`. Derives are attributes.
    ///
    /// ```
    /// # use kitex_codegen::Builder;
    /// let builder = Builder::new().type_attribute(".", "#[derive(MyTrait)]");
    /// ```
    #[must_use]
    pub fn type_attribute(mut self, name: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.options.types.push((name.into(), attribute.into()));
        self
    }

    /// Adds an attribute to a field or variant, called `Type.field` as in the IDL.
    #[must_use]
    pub fn field_attribute(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.options.fields.push((path.into(), attribute.into()));
        self
    }

    /// Generates the code of all IDLs without writing files or output.
    ///
    /// # Errors
    ///
    /// [`Error::Idl`] with file and line for an error in an IDL, [`Error::Io`] for files that cannot be read,
    /// [`Error::Usage`] without an IDL, without an output directory, or with two IDLs of one file name.
    pub fn generate(&self) -> Result<Vec<Generated>, Error> {
        if self.idls.is_empty() {
            return Err(Error::Usage("no idl given, name one with idl"));
        }
        let mut names = HashSet::new();
        if !self.idls.iter().all(|idl| names.insert(file_name(idl))) {
            return Err(Error::Usage("two idls have the same file name, give each a builder and an out_dir"));
        }
        let out_dir = self.destination()?;
        let idls = self.idls.iter().map(|path| Input::read(std::slice::from_ref(path), &self.include_dirs));
        let idls: Vec<Input> = idls.collect::<Result<_, _>>()?;
        let first = first_of_each(&idls);
        let mut generated = Vec::new();
        for (at, (path, idl)) in self.idls.iter().zip(&idls).enumerate() {
            let text = if first[at] == at {
                let together = self.idls.iter().zip(&first).filter(|(_, first)| **first == at);
                let paths: Vec<PathBuf> = together.map(|(path, _)| path.clone()).collect();
                self.text(path, &paths)?
            } else {
                let other = file_name(&self.idls[first[at]]);
                emit::elsewhere(path, &other.display().to_string())
            };
            generated.push(Generated { path: out_dir.join(file_name(path)), text, inputs: idl.files() });
        }
        Ok(generated)
    }

    /// Generates and writes the code of all IDLs, for a `build.rs`. Makes cargo run it again when an IDL changes.
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

    /// Returns the code of IDLs that share modules, in the file of `path`.
    fn text(&self, path: &Path, paths: &[PathBuf]) -> Result<String, Error> {
        let idl = Input::read(paths, &self.include_dirs)?;
        Ok(emit::text(path, idl.modules(&self.options)?))
    }
}

fn file_name(idl: &Path) -> PathBuf {
    Path::new(idl.file_stem().unwrap_or_default()).with_extension("rs")
}

/// Returns for each IDL the first one that shares modules with it, or itself.
fn first_of_each(idls: &[Input]) -> Vec<usize> {
    let mut groups: Vec<(usize, HashSet<String>)> = Vec::new();
    let mut first: Vec<usize> = (0..idls.len()).collect();
    for (at, idl) in idls.iter().enumerate() {
        let mut mine = (at, idl.roots());
        let (shared, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(_, roots)| !roots.is_disjoint(&mine.1));
        groups = apart;
        for (other, roots) in shared {
            let joined = mine.0.min(other);
            for known in &mut first {
                if *known == mine.0 || *known == other {
                    *known = joined;
                }
            }
            mine.0 = joined;
            mine.1.extend(roots);
        }
        groups.push(mine);
    }
    first
}

impl Generated {
    /// Returns whether the file at [`path`](Self::path) is up to date.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it exists and cannot be read.
    pub fn is_current(&self) -> Result<bool, Error> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(bytes == self.text.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io("cannot read", source)),
        }
    }

    /// Writes the file, and creates its directory. Does not touch a file that is up to date, so that nothing is rebuilt.
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
