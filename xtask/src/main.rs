//! Every automation of this workspace, one subcommand each. Owns the words of the command line; what they do
//! is in a module of the same name.

mod bench;
mod ci;
mod codegen;
mod command;
mod idl_corpus;
mod interop;
mod outside;
mod public;
mod result;
mod soak;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

pub(crate) use self::result::Result;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about)]
enum Task {
    /// Measures ours, Kitex, tonic and a bare loop side by side, and writes docs/performance.md.
    Bench(bench::Options),
    /// Runs every check, as .ci/run does.
    Ci(ci::Options),
    /// Writes the generated code that is checked in.
    Codegen(codegen::Options),
    /// Generates and compiles every IDL below a folder, beside Kitex's verdict.
    IdlCorpus(idl_corpus::Options),
    /// Builds lab-peer and its twin on real Kitex, and runs the tests of both.
    Interop,
    /// Tests crates/outside on packaged libraries.
    Outside,
    /// Lists crates of others in the public interfaces of the libraries, and fails if one is not listed.
    Public,
    /// Ends a million streams in every way, and looks what is left of them.
    Soak(soak::Options),
    /// Checks what the compiler cannot: who uses what, and what stands where.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Bench(options) => bench::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Ci(options) => ci::run(&options),
        Task::Codegen(options) => codegen::run(&options).map(|()| ExitCode::SUCCESS),
        Task::IdlCorpus(options) => idl_corpus::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Interop => interop::run().map(|()| ExitCode::SUCCESS),
        Task::Outside => outside::run().map(|()| ExitCode::SUCCESS),
        Task::Public => public::run().map(|()| ExitCode::SUCCESS),
        Task::Soak(options) => soak::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
