//! Every automation of this workspace, one subcommand each. Owns the command line; each subcommand is a module of the same
//! name.

mod bench;
mod browser;
mod ci;
mod codegen;
mod command;
mod conformance;
mod differential;
mod flood;
mod fuzz;
mod idl_corpus;
mod idl_values;
mod interop;
mod killmatrix;
mod machine;
mod number;
mod outside;
mod package;
mod process;
mod public;
mod result;
mod simulate;
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
    /// Runs the page of the chat in a real browser, and OpenAI's client libraries against its gateway.
    Browser(browser::Options),
    /// Runs every check, as .ci/run does.
    Ci(ci::Options),
    /// Writes the generated code that is checked in.
    Codegen(codegen::Options),
    /// Runs frame scripts against servers and clients of TTHeader Streaming: ours and real Kitex, or one under test.
    Conformance(conformance::Options),
    /// Decodes generated TTHeader frames by ours and by gopkg, and compares.
    Differential(differential::Options),
    /// Attacks servers of ours and of Kitex in every way, and measures what it costs them and their other clients.
    Flood(flood::Options),
    /// Runs the fuzz targets, and adds what they have executed to docs/fuzz.md.
    Fuzz(fuzz::Options),
    /// Generates and compiles every IDL below a folder, and compares with Kitex.
    IdlCorpus(idl_corpus::Options),
    /// Sends random values of random types from Kitex's code through ours and back.
    IdlValues(idl_values::Options),
    /// Builds lab-peer and the Kitex peer, and runs the tests of both; or gRPC's interop suite.
    Interop(interop::Options),
    /// Puts a fault into the middle of a chain of five processes, and checks how each stream ends.
    Killmatrix(killmatrix::Options),
    /// Builds each library from its package.
    Package,
    /// Tests crates/outside on packaged libraries.
    Outside,
    /// Lists crates of others in the public interfaces of the libraries, and fails if one is not listed.
    Public,
    /// Simulates chains of services under random faults, in virtual time, for many seeds.
    Simulate(simulate::Options),
    /// Ends a million streams in every way, and checks that nothing leaks.
    Soak(soak::Options),
    /// Checks what the compiler cannot: dependencies, imports, names, docs.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Bench(options) => bench::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Browser(options) => browser::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Ci(options) => ci::run(&options),
        Task::Codegen(options) => codegen::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Conformance(options) => conformance::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Differential(options) => differential::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Flood(options) => flood::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(options) => fuzz::run(&options).map(|()| ExitCode::SUCCESS),
        Task::IdlCorpus(options) => idl_corpus::run(&options).map(|()| ExitCode::SUCCESS),
        Task::IdlValues(options) => idl_values::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Interop(options) => interop::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Killmatrix(options) => killmatrix::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Package => package::run().map(|()| ExitCode::SUCCESS),
        Task::Outside => outside::run().map(|()| ExitCode::SUCCESS),
        Task::Public => public::run().map(|()| ExitCode::SUCCESS),
        Task::Simulate(options) => simulate::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Soak(options) => soak::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
