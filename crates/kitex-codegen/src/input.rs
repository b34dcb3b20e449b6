//! IDLs of either language behind one door. Owns which reader takes which file; the readers know nothing of each
//! other.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use syn::ItemMod;

#[cfg(feature = "protobuf")]
use crate::proto::Proto;
use crate::{Error, generate, idl::Idl, options::Options};

/// Some IDLs of one language, with all that they include.
#[derive(Debug)]
pub(crate) enum Input {
    Thrift(Idl),
    #[cfg(feature = "protobuf")]
    Proto(Proto),
}

impl Input {
    /// Reads `paths` and what they include: those that end with `.proto` as Protobuf, all others as Thrift.
    pub(crate) fn read(paths: &[PathBuf], include_dirs: &[PathBuf]) -> Result<Self, Error> {
        match paths.iter().filter(|path| is_proto(path)).count() {
            0 => Idl::read(paths, include_dirs).map(Self::Thrift),
            count if count == paths.len() => Self::read_proto(paths, include_dirs),
            _ => Err(Error::Usage(
                "a .proto and a .thrift have the same outermost module, give each a builder and an out_dir",
            )),
        }
    }

    #[cfg(feature = "protobuf")]
    fn read_proto(paths: &[PathBuf], include_dirs: &[PathBuf]) -> Result<Self, Error> {
        Proto::read(paths, include_dirs).map(Self::Proto)
    }

    #[cfg(not(feature = "protobuf"))]
    fn read_proto(_: &[PathBuf], _: &[PathBuf]) -> Result<Self, Error> {
        Err(Error::Usage("a .proto needs the feature `protobuf` of kitex-codegen, add it to your Cargo.toml"))
    }

    /// The outermost modules of its own and of what it includes.
    pub(crate) fn roots(&self) -> HashSet<String> {
        match self {
            Self::Thrift(idl) => {
                let root = |namespace: String| namespace.split('.').next().unwrap_or_default().to_owned();
                idl.sources.iter().map(|source| root(source.namespace())).collect()
            }
            #[cfg(feature = "protobuf")]
            Self::Proto(proto) => proto.roots(),
        }
    }

    /// The files that were read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Thrift(idl) => idl.sources.iter().map(|source| source.shown.clone()).collect(),
            #[cfg(feature = "protobuf")]
            Self::Proto(proto) => proto.inputs.clone(),
        }
    }

    /// Its code, the outermost modules.
    pub(crate) fn modules(&self, options: &Options) -> Result<Vec<ItemMod>, Error> {
        match self {
            Self::Thrift(idl) => generate::modules(idl, options),
            #[cfg(feature = "protobuf")]
            Self::Proto(proto) => proto.modules(options),
        }
    }
}

fn is_proto(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "proto")
}
