//! `cargo xtask outside`: builds and tests `crates/outside` with packaged libraries, as a user without a checkout would.
//! Owns where packages are unpacked and how the crate is made to use them.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

const OUTSIDE: &str = "crates/outside";
const GENERATOR: &str = "kitex-codegen";

/// Packages the libraries, and tests a copy of `crates/outside` that depends on them by version only.
pub(crate) fn run() -> Result {
    let workspace = Workspace::load()?;
    package(&workspace).run()?;
    let folder = workspace.target.join("packaged");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let packages = workspace.target.join("package");
    // A patch that is not used would change the lock file.
    let lock = fs::read_to_string(workspace.root.join(OUTSIDE).join("Cargo.lock"))?;
    let mut patches = String::new();
    for (name, version) in workspace.published() {
        let package = packages.join(format!("{name}-{version}.crate"));
        Cmd::new("tar --extract --gzip --file").path(&package).arg("--directory").path(&folder).run()?;
        if lock.contains(&format!("name = \"{name}\"\n")) {
            patches.push_str(&format!("{name} = {{ path = \"../{name}-{version}\" }}\n"));
        }
    }
    let copy = folder.join("outside");
    copy_folder(&workspace.root.join(OUTSIDE), &copy)?;
    let manifest = copy.join("Cargo.toml");
    // A user's manifest, and the packages in place of the registry that they are not yet in.
    let text = as_user(&fs::read_to_string(&manifest)?);
    fs::write(&manifest, format!("{text}\n[patch.crates-io]\n{patches}"))?;
    let test = Cmd::new("cargo test --locked --manifest-path").path(&manifest);
    test.arg("--target-dir").path(&workspace.target.join("outside")).run()?;
    generate(&workspace, &copy)
}

/// Installs the generator as a program, as README says, and lets it write the code of an IDL of `user`.
fn generate(workspace: &Workspace, user: &Path) -> Result {
    let root = workspace.target.join("packaged").join("installed");
    let install = Cmd::new("cargo install --debug --locked --quiet --path");
    let install = install.path(&workspace.root.join("crates").join(GENERATOR)).arg("--root").path(&root);
    install.arg("--target-dir").path(&workspace.target.join("outside")).run()?;
    let program = Cmd::default().path(&root.join("bin").join(GENERATOR)).dir(user);
    let printed = program.args(&["--idl", "idl/story.thrift", "--out", "generated"]).read()?;
    match printed == "generated/story.rs\n" && user.join("generated/story.rs").exists() {
        true => Ok(()),
        false => Err(format!("{GENERATOR} printed {printed:?}").into()),
    }
}

/// The command that packages every library, without building them again.
fn package(workspace: &Workspace) -> Cmd {
    let package = Cmd::new("cargo package --workspace --allow-dirty --no-verify --quiet");
    workspace.private().fold(package, |package, name| package.args(&["--exclude", name]))
}

/// A manifest without the paths into this checkout.
fn as_user(manifest: &str) -> String {
    let line = |line: &str| match line.split_once(", path = \"") {
        Some((before, after)) => format!("{before}{}\n", after.split_once('"').map_or("", |(_, rest)| rest)),
        None => format!("{line}\n"),
    };
    manifest.lines().map(line).collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{OUTSIDE, as_user};

    const PAGE: &str = include_str!("../../docs/first-service.md");
    const FILES: &[&str] = &[
        "Cargo.toml",
        "build.rs",
        "idl/common.thrift",
        "idl/review.thrift",
        "idl/story.thrift",
        "src/lib.rs",
        "src/main.rs",
        "tests/cancel.rs",
        "tests/fakes.rs",
        "tests/words.rs",
    ];

    #[test]
    fn the_page_of_the_first_service_shows_what_outside_has() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(OUTSIDE);
        let files: Vec<String> =
            FILES.iter().map(|name| as_user(&fs::read_to_string(folder.join(name)).expect(name))).collect();
        let files: Vec<Vec<&str>> = files.iter().map(|text| text.lines().map(str::trim).collect()).collect();
        let blocks = PAGE.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
        let blocks = blocks.filter(|(language, _)| ["rust", "toml", "thrift"].contains(language));
        let mut seen = 0;
        for (_, block) in blocks {
            let lines: Vec<&str> = block.lines().map(str::trim).collect();
            let is_present = files.iter().any(|file| file.windows(lines.len()).any(|found| found == lines));
            assert!(is_present, "no file of {OUTSIDE} has:\n{block}");
            seen += 1;
        }
        assert!(seen >= 10, "{seen} blocks: the page is not read as it should be");
    }

    #[test]
    fn a_users_manifest_has_no_paths() {
        for (manifest, expected) in [
            ("a = { version = \"1\", path = \"../a\" }\n", "a = { version = \"1\" }\n"),
            (
                "a = { version = \"1\", path = \"../a\", features = [] }\n",
                "a = { version = \"1\", features = [] }\n",
            ),
            ("tokio = \"1\"\n", "tokio = \"1\"\n"),
        ] {
            assert_eq!(as_user(manifest), expected);
        }
    }
}
