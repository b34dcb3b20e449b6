//! Where the workspace stands and which crates it has, as `cargo metadata` says.

use std::path::PathBuf;

use serde_json::Value;

use crate::Result;
use crate::command::Cmd;

/// The workspace this automation was called in.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// A crate of ours.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Path of its manifest, from the root.
    pub(crate) manifest: String,
    pub(crate) uses: Vec<Use>,
}

/// One dependency that a manifest names.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// Which section of a manifest a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let metadata = Cmd::new("cargo metadata --format-version 1 --no-deps").read()?;
        Self::parse(&serde_json::from_str(&metadata)?)
            .ok_or_else(|| "cargo metadata has an unknown form".into())
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let root = metadata["workspace_root"].as_str()?;
        let packages = metadata["packages"].as_array()?;
        Some(Self {
            root: root.into(),
            target: metadata["target_directory"].as_str()?.into(),
            packages: packages.iter().map(|package| Package::parse(package, root)).collect::<Option<_>>()?,
        })
    }
}

impl Package {
    fn parse(package: &Value, root: &str) -> Option<Self> {
        let manifest = package["manifest_path"].as_str()?.strip_prefix(root)?;
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            manifest: manifest.trim_start_matches(['/', '\\']).replace('\\', "/"),
            uses: package["dependencies"].as_array()?.iter().map(Use::parse).collect::<Option<_>>()?,
        })
    }

    /// Folder of the crate, from the root.
    pub(crate) fn folder(&self) -> &str {
        self.manifest.strip_suffix("/Cargo.toml").unwrap_or_default()
    }
}

impl Use {
    fn parse(dependency: &Value) -> Option<Self> {
        let kind = match dependency["kind"].as_str() {
            None => Kind::Normal,
            Some("dev") => Kind::Dev,
            Some(_) => Kind::Build,
        };
        Some(Self { name: dependency["name"].as_str()?.to_owned(), kind })
    }
}
