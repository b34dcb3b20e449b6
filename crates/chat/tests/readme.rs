//! The README's service and client are the examples, verbatim, and they work as described.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../../../README.md");

#[test]
fn the_readme_contains_the_examples_verbatim() {
    for example in [include_str!("../examples/service.rs"), include_str!("../examples/client.rs")] {
        let code = example.split_once("\n\n").expect("code behind the opening comment").1;
        assert!(README.contains(&format!("```rust\n{code}```")), "README.md lacks:\n{code}");
    }
}

#[test]
fn the_readmes_client_cancels_the_readmes_service() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut service = Killed(start("service", &addr));
    let mut said = BufReader::new(service.0.stderr.take().unwrap());

    // The client fails until the service is up.
    let mut tries = (0..200).map(|_| start("client", &addr).wait_with_output().unwrap());
    let output = tries.find(|output| output.status.success()).expect("the client gets through");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("who\nis\nthere?\nwho\n"), "{printed}");
    assert!(printed.contains("canceled: true, code Some(CANCELED(12007))"), "{printed}");

    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let seen = "[ttstream error, code=12007] [server-side stream] [canceled path: reader] user code";
    assert!(line.contains(seen), "{line}");
}

fn start(example: &str, addr: &str) -> Child {
    let tests = std::env::current_exe().unwrap();
    let built: PathBuf = tests.ancestors().nth(2).unwrap().join("examples").join(example);
    assert!(built.exists(), "examples are not built: run cargo build -p chat --examples");
    let mut command = Command::new(built);
    command.arg(addr).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
