//! What stands between two services: a proxy that can reset its connections, and two network namespaces whose link can be
//! taken down. Nothing is sent to an address that is not loopback or of these namespaces. Both are removed when dropped.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A proxy of one address.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: String,
    reset: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) fn start(upstream: String, runtime: &Handle) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let (reset, is_reset) = watch::channel(false);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, upstream.clone(), is_reset.clone()));
            }
        });
        Ok(Self { address, reset })
    }

    /// Resets every connection: the peers see RST, not FIN.
    pub(crate) fn reset(&self) {
        // Without a connection there is nothing to reset.
        let _ = self.reset.send(true);
    }
}

async fn pass(
    mut client: TcpStream,
    upstream: String,
    mut reset: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(&upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut server) => drop(copied),
        _ = reset.wait_for(|reset| *reset) => {
            client.set_zero_linger()?;
            server.set_zero_linger()?;
        }
    }
    Ok(())
}

/// Two network namespaces with one link between them, and none to any other. They have no names: each is that of a process,
/// which ends with the run, and they end with their processes, so that a run that is killed leaves nothing, and the addresses
/// of runs at the same time do not meet.
#[derive(Debug)]
pub(crate) struct Space {
    /// Where all services but one are.
    pub(crate) outer: Holder,
    /// Where the one is that can be cut off.
    pub(crate) inner: Holder,
}

impl Space {
    /// Address of `outer` on the link.
    pub(crate) const OUTER: &str = "10.231.0.1";
    /// Address of `inner` on the link.
    pub(crate) const INNER: &str = "10.231.0.2";

    /// # Errors
    /// It needs root, `unshare`, `nsenter` and `ip`.
    pub(crate) fn create() -> Result<Self, String> {
        let space = Self { outer: Holder::start()?, inner: Holder::start()? };
        let Self { outer, inner } = &space;
        outer.ip(&format!("link add link0 type veth peer name link0 netns {}", inner.0.id()))?;
        for (holder, address) in [(outer, Self::OUTER), (inner, Self::INNER)] {
            holder.ip(&format!("addr add {address}/30 dev link0"))?;
            holder.ip("link set lo up")?;
            holder.ip("link set link0 up")?;
        }
        Ok(space)
    }

    /// Takes the link down: what is sent is lost, without a word to either side.
    pub(crate) fn take_down(&self) -> Result<(), String> {
        self.inner.ip("link set link0 down")
    }
}

/// A process with a network namespace of its own. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Holder(Child);

impl Holder {
    fn start() -> Result<Self, String> {
        // It exits as its input ends, with this process at the latest.
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo; read -r line"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = Self(command.spawn().map_err(|error| format!("unshare: {error}"))?);
        let out = holder.0.stdout.as_mut().ok_or("it has no output")?;
        match out.read(&mut [0]) {
            Ok(1) => Ok(holder),
            _ => Err("a network namespace needs root".to_owned()),
        }
    }

    /// Command that runs `program` in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg(program);
        command
    }

    fn ip(&self, words: &str) -> Result<(), String> {
        let output = self.command("ip").args(words.split(' ')).output();
        let output = output.map_err(|error| format!("nsenter: {error}"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("ip {words}: {}", error.trim())) }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
