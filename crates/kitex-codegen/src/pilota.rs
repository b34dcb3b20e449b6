//! Runs pilota-build. Owns its files, its threads and its ways to fail; what it writes is read by the pass.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use pilota_build::{Builder, Output};

use crate::{Error, backend::MakeKitex, catalog::Catalog, idl::Idl, quiet};

/// Types nest and each level costs stack there.
const STACK: usize = 64 << 20;

/// The text that pilota-build and our templates make of an IDL, and what each item in it is.
pub(crate) fn run(idl: Arc<Idl>, include_dirs: &[PathBuf]) -> Result<(String, Catalog), Error> {
    let root = idl.root();
    let (path, shown) = (root.path.clone(), root.shown.clone());
    let include_dirs = include_dirs.to_vec();
    let work = move || generate(idl, &path, include_dirs);
    let thread = thread::Builder::new().stack_size(STACK).spawn(move || quiet::catch(work));
    let thread = thread.map_err(|source| Error::Io {
        path: shown.clone(),
        action: "cannot start a thread",
        source,
    })?;
    let gave_up = |message| Error::Generator { idl: shown.clone(), message };
    thread.join().map_err(|_| gave_up("no reason given".to_owned()))?.map_err(gave_up)?
}

fn generate(idl: Arc<Idl>, path: &Path, include_dirs: Vec<PathBuf>) -> Result<(String, Catalog), Error> {
    let dir = tempfile::tempdir().map_err(cannot_write(&std::env::temp_dir()))?;
    // With any other extension than this it would run the rustfmt that it finds, by the rules that it finds.
    let out = dir.path().join("out.gen");
    let catalog = Arc::new(Mutex::new(Catalog::new()));
    Builder::thrift()
        .with_backend(MakeKitex { idl, catalog: Arc::clone(&catalog) })
        .include_dirs(include_dirs)
        .ignore_unused(false)
        .compile([path], Output::File(out.clone()));
    let text =
        fs::read_to_string(&out).map_err(|source| Error::Io { path: out, action: "cannot read", source })?;
    let catalog = std::mem::take(&mut *catalog.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((text, catalog))
}

fn cannot_write(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { path: path.into(), action: "cannot write", source }
}
