//! Generates the greeter's client and server. An error in the IDL ends the build with its file and line.

use std::process::ExitCode;

fn main() -> ExitCode {
    match kitex_codegen::Builder::new().idl("idl/greeter.thrift").compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
