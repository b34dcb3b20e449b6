//! A real etcd on loopback, with its data below `target/tmp`; it can be killed and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpSocket;

pub(crate) struct EtcdServer {
    child: Child,
    data: PathBuf,
    port: Port,
    peer_port: Port,
    https: Option<Https>,
}

/// Another port, for TLS with certificates of clients.
struct Https {
    port: Port,
    /// Has `ca.pem`, `server.pem` and `server.key`, which etcd reads at each handshake.
    files: PathBuf,
}

/// Returns whether the program is there. Without it a test prints why it does nothing.
pub(crate) fn is_missing() -> bool {
    let missing = Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_err();
    if missing {
        println!("skipped: there is no etcd: apt-get install etcd-server");
    }
    missing
}

/// A port of the loopback that no other process gets while this lives, etcd running or not: a socket is bound to it that does
/// not listen, and permits that one other does.
struct Port(TcpSocket);

impl Port {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Self(socket)
    }

    fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

impl EtcdServer {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, None).await
    }

    /// Starts one that has a port for TLS too. The folder `files` has `ca.pem`, `server.pem` and `server.key`.
    pub(crate) async fn start_https(name: &str, files: PathBuf) -> Self {
        Self::start_with(name, Some(files)).await
    }

    async fn start_with(name: &str, files: Option<PathBuf>) -> Self {
        for _ in 0..5 {
            let data = folder(name);
            let (port, peer_port) = (Port::new(), Port::new());
            let https = files.clone().map(|files| Https { port: Port::new(), files });
            let child = spawn(&data, &port, &peer_port, https.as_ref());
            let mut server = Self { child, data, port, peer_port, https };
            if server.is_ready().await {
                return server;
            }
            // The files are for the next attempt.
            server.https = None;
        }
        panic!("etcd does not start");
    }

    /// Returns the endpoint for TLS.
    pub(crate) fn https_endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.https.as_ref().unwrap().port.number())
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with its data.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.data, &self.port, &self.peer_port, self.https.as_ref());
        assert!(self.is_ready().await, "etcd does not start again");
    }

    /// Waits until it answers. Returns whether it does, and has not ended instead.
    async fn is_ready(&mut self) -> bool {
        for _ in 0..600 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.post("/v3/kv/range", r#"{"key":"eA=="}"#).is_some() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// Sends a request of the JSON gateway by a program that is no part of this crate. Returns the answer.
    pub(crate) fn post(&self, path: &str, body: &str) -> Option<String> {
        use std::io::{Read, Write};
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", self.port.number())).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let len = body.len();
        write!(socket, "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {len}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        answer
            .starts_with("HTTP/1.0 200")
            .then(|| answer.split_once("\r\n\r\n").unwrap_or_default().1.to_owned())
    }
}

/// Returns a folder of this process that does not exist yet.
pub(crate) fn folder(name: &str) -> PathBuf {
    // An example has no such folder.
    let folder = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("etcd-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn spawn(data: &PathBuf, port: &Port, peer_port: &Port, https: Option<&Https>) -> Child {
    let [client, peer] = [port, peer_port].map(|port| format!("http://127.0.0.1:{}", port.number()));
    let mut command = Command::new("etcd");
    command
        .arg("--data-dir")
        .arg(data)
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
        .args(["--advertise-client-urls", &client])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match https {
        None => command.args(["--listen-client-urls", &client]),
        Some(Https { port, files }) => {
            let file = |name: &str| files.join(name).display().to_string();
            command
                .args(["--listen-client-urls", &format!("{client},https://127.0.0.1:{}", port.number())])
                .args(["--trusted-ca-file", &file("ca.pem"), "--client-cert-auth"])
                .args(["--cert-file", &file("server.pem"), "--key-file", &file("server.key")])
        }
    };
    command.spawn().unwrap()
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
        if let Some(Https { files, .. }) = &self.https {
            let _ = std::fs::remove_dir_all(files);
        }
    }
}
