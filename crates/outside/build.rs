//! Generates Rust from the IDLs on every build in which one of them has changed.

use std::process::ExitCode;

use kitex_codegen::Builder;

fn main() -> ExitCode {
    match Builder::new().idl("idl/story.thrift").idl("idl/review.thrift").compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
