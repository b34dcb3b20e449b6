//! Some cells of the kill matrix. `cargo xtask killmatrix` runs all of them.

use std::process::Command;

/// A service in the middle of a chain of five processes is killed while its stream is idle, flows, or is canceled: each
/// other process sees the right code.
#[test]
fn killmatrix_kill_ends_every_stream_of_a_chain_with_its_code() {
    for cells in ["TTHeader Kill Server", "credits Kill Client", "gRPC Kill Bidi"] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_killmatrix"));
        let output = run.args(["run", "--only", cells]).output().expect("the program is built");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("3 cells, 0 failed"), "{text}");
    }
}
