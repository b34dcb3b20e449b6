//! The root of the workspace and its crates, from `cargo metadata`.

use std::path::PathBuf;

use serde_json::Value;

use crate::Result;
use crate::command::Cmd;

/// The workspace this automation was called in.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// The lowest Rust that the libraries declare.
    pub(crate) rust_version: String,
    pub(crate) packages: Vec<Package>,
}

/// A crate of ours.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Path of its manifest, from the root.
    pub(crate) manifest: String,
    pub(crate) uses: Vec<Use>,
    /// Whether it is published; others have `publish = false`.
    pub(crate) published: bool,
}

/// One dependency that a manifest names.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The section of a manifest that a dependency is in.
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

    /// Names and versions of the crates that are published.
    pub(crate) fn published(&self) -> impl Iterator<Item = (&str, &str)> {
        let packages = self.packages.iter().filter(|package| package.published);
        packages.map(|package| (package.name.as_str(), package.version.as_str()))
    }

    /// Names of the crates that are not published.
    pub(crate) fn private(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter(|package| !package.published).map(|package| package.name.as_str())
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let root = metadata["workspace_root"].as_str()?;
        let packages = metadata["packages"].as_array()?;
        Some(Self {
            root: root.into(),
            target: metadata["target_directory"].as_str()?.into(),
            rust_version: packages.iter().find_map(|package| package["rust_version"].as_str())?.to_owned(),
            packages: packages.iter().map(|package| Package::parse(package, root)).collect::<Option<_>>()?,
        })
    }
}

impl Package {
    fn parse(package: &Value, root: &str) -> Option<Self> {
        let manifest = package["manifest_path"].as_str()?.strip_prefix(root)?;
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            version: package["version"].as_str()?.to_owned(),
            manifest: manifest.trim_start_matches(['/', '\\']).replace('\\', "/"),
            uses: package["dependencies"].as_array()?.iter().map(Use::parse).collect::<Option<_>>()?,
            published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
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
