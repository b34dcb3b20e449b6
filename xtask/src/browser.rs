//! `cargo xtask browser`: the page of the chat in a real browser, and OpenAI's own client libraries against its gateway.
//! The tests are small Python programs beside the chat; this builds it, finds what they need, and runs them.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;
use crate::command::{Cmd, install};
use crate::workspace::Workspace;

/// Words of `cargo xtask browser`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Builds the chat with optimizations, and checks the times from a click: to the last hop 20 ms at the 99th
    /// percentile, to the end of the request to an OpenAI endpoint 50 ms. Needs a quiet machine.
    #[arg(long)]
    release: bool,
    /// Replies that are stopped by a click while the time is taken.
    #[arg(long, default_value_t = 100)]
    stops: u32,
    /// Replies that are stopped before what is left of them is counted.
    #[arg(long, default_value_t = 1000)]
    chats: u32,
    /// Runs without OpenAI's client libraries, which come from their registries.
    #[arg(long)]
    without_clients: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    if let Some(obstacle) = obstacle() {
        return Err(obstacle.into());
    }
    let mut commands = commands(&workspace, options);
    if !options.without_clients {
        match clients(&workspace, options.release) {
            Ok(client) => commands.push(client),
            Err(reason) => println!("   without OpenAI's client libraries: {reason}"),
        }
    }
    for command in commands {
        command.start()?;
    }
    println!("   screenshots: {}", workspace.target.join("browser").display());
    Ok(())
}

/// What a run of `cargo xtask ci` does: fewer rounds, no optimized build.
pub(crate) fn checks(workspace: &Workspace) -> Vec<Cmd> {
    let options = Options { release: false, stops: 25, chats: 300, without_clients: false };
    commands(workspace, &options)
}

fn commands(workspace: &Workspace, options: &Options) -> Vec<Cmd> {
    let build = Cmd::new("cargo build --quiet -p chat");
    // Without optimizations, and beside other work, only what never ends is a failure.
    let (build, bound, upstream) =
        if options.release { (build.arg("--release"), "20", "50") } else { (build, "5000", "5000") };
    let run = Cmd::new("python3 crates/chat/tests/browser/run.py").path(&program(workspace, options.release));
    let run = run.path(&workspace.target.join("browser")).arg("--stops").arg(options.stops.to_string());
    let run =
        run.arg("--chats").arg(options.chats.to_string()).args(&["--p99", bound, "--upstream", upstream]);
    vec![build, run.env("PYTHONDONTWRITEBYTECODE", "1").dir(&workspace.root)]
}

/// The test with OpenAI's client libraries, which are installed below the target folder; or why they cannot be.
pub(crate) fn clients(workspace: &Workspace, release: bool) -> std::result::Result<Cmd, String> {
    let tests = workspace.root.join("crates/chat/tests/clients");
    let folder = workspace.target.join("clients");
    let python = folder.join("python/bin/python");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    std::fs::copy(tests.join("package.json"), folder.join("package.json"))
        .map_err(|error| error.to_string())?;
    let steps = [
        (Cmd::new("python3 -m venv").path(&folder.join("python")), "python3 has no venv"),
        (
            Cmd::new(&python.display().to_string())
                .args(&["-m", "pip", "install", "--quiet", "-r"])
                .path(&tests.join("requirements.txt")),
            "pip cannot install openai",
        ),
        (Cmd::new("npm install --silent --no-fund --no-audit").dir(&folder), "npm cannot install openai"),
    ];
    for (step, otherwise) in steps {
        step.probe().ok_or(otherwise)?;
    }
    let run = Cmd::new("python3").path(&tests.join("run.py")).path(&program(workspace, release));
    Ok(run.path(&python).path(&folder).env("PYTHONDONTWRITEBYTECODE", "1"))
}

fn program(workspace: &Workspace, release: bool) -> PathBuf {
    workspace.target.join(Path::new(if release { "release" } else { "debug" })).join("chat")
}

/// What this machine lacks. A browser that is missing is installed where that is possible.
pub(crate) fn obstacle() -> Option<String> {
    if Cmd::new("python3 --version").probe().is_none() {
        return Some("there is no python3".to_owned());
    }
    if has_browser() {
        return None;
    }
    install("chromium chromium-driver");
    (!has_browser()).then(|| "there is no browser: apt-get install chromium chromium-driver".to_owned())
}

fn has_browser() -> bool {
    let is_there = |program: &str| Cmd::new(program).arg("--version").probe().is_some();
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    is_there("chromedriver") && browsers.into_iter().any(is_there)
}
