//! A server under test that this program starts, on a free address. Killed when dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts `program`, and waits until it listens.
    pub(crate) fn start(program: &str) -> Result<Self, String> {
        for _ in 0..ATTEMPTS {
            if let Some(server) = Self::try_start(program).map_err(|error| format!("{program}: {error}"))? {
                return Ok(server);
            }
        }
        Err(format!("{program} does not listen"))
    }

    /// Returns nothing if it ends before it listens: its port may have been taken meanwhile.
    fn try_start(program: &str) -> std::io::Result<Option<Self>> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(program);
        command.args(["server", "--addr", &address, "--name", "ServiceB"]).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut server = Self { child, address };
        let Some(out) = server.child.stdout.take() else { return Ok(None) };
        let mut lines = BufReader::new(out).lines();
        let listens = lines.next().transpose()?.is_some_and(|line| line.contains("listening"));
        // So that a full pipe does not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(listens.then_some(server))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ATTEMPTS: usize = 5;
