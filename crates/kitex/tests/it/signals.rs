//! `Server::run` and the signals of its process: the first drains, the second cancels what is left, and one that no server
//! needs ends the process. Each test starts this test program again, as the process.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use futures_util::FutureExt;
use kitex::{Context, Server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, builder, ended, req, soon};
use crate::shutdown::refused;

/// Long enough that a test that waited for it would fail.
const NEVER: Duration = Duration::from_secs(3600);

/// Set for the process that [`run_drains_on_sigterm`] starts.
const CHILD: &str = "KITEX_SHUTDOWN_CHILD";

/// What that process runs; in any other process the test does nothing.
#[test]
fn serve_until_ends_on_its_signal() {
    let Some(what) = env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match what.to_str().unwrap() {
        "again" => runtime.block_on(async {
            run(Handlers::default()).await;
            run(Handlers::default()).await;
        }),
        // One of them has no stream.
        "two" => runtime.block_on(async {
            tokio::join!(run(Handlers::default()), run(Handlers::default()));
        }),
        "stays" => {
            runtime.block_on(run(Handlers::default()));
            runtime.block_on(std::future::pending::<()>());
        }
        // Its runtime is gone, and it has more to do.
        "leaves" => {
            runtime.block_on(run(Handlers::default()));
            drop(runtime);
            block();
        }
        // The runtime waits for a blocking task.
        "waits" => runtime.block_on(async {
            tokio::task::spawn_blocking(block);
            run(Handlers::default()).await;
        }),
        // A handler never returns from its first poll.
        "blocks" => runtime.block_on(run(Handlers::default().note(|_, _| async {
            block();
            Ok(())
        }))),
        _ => runtime.block_on(run(Handlers::default())),
    }
}

/// Blocks its thread without end.
fn block() {
    loop {
        std::thread::park();
    }
}

async fn run(handlers: Handlers) {
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers)).exit_wait(NEVER);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    let mut run = std::pin::pin!(server.run());
    // A signal that comes before the first poll of `run` ends the process.
    assert!(run.as_mut().now_or_never().is_none());
    println!("\nlistens on {address}");
    run.await.unwrap();
}

/// The process, and its address.
async fn start() -> (Child, String) {
    start_as("ends").await
}

async fn start_as(what: &str) -> (Child, String) {
    let (child, address, _) = start_with_addresses(what).await;
    (child, address)
}

/// The process, its first address, and the further ones.
async fn start_with_addresses(what: &str) -> (Child, String, mpsc::Receiver<String>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "signals::serve_until_ends_on_its_signal", "--nocapture"])
        .env(CHILD, what)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = soon(lines.next_line()).await.unwrap().expect("a child that serves");
        if let Some(address) = line.strip_prefix("listens on ") {
            break address.to_owned();
        }
    };
    let (sender, further) = mpsc::channel(16);
    // Keeps reading, so that the harness's output does not block.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(address) = line.strip_prefix("listens on ") {
                let _ = sender.try_send(address.to_owned());
            }
        }
    });
    // It listens to signals before it serves.
    let client = EchoClient::new(builder(&address).build().unwrap());
    soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
    (child, address, further)
}

#[tokio::test]
async fn run_drains_on_sigterm() {
    for signal in ["TERM", "INT"] {
        let (mut child, address) = start().await;
        let client = EchoClient::new(builder(&address).build().unwrap());
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.send(&req("", 0)).await.unwrap();
        soon(bidi.recv()).await.unwrap().unwrap();
        let kill = format!("kill -{signal} {}", child.id().unwrap());
        assert!(soon(Command::new("sh").args(["-c", &kill]).status()).await.unwrap().success());
        refused(&client).await;
        for seq in 0..10 {
            bidi.send(&req("", seq)).await.unwrap();
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq), "{signal}");
        }
        assert!(child.try_wait().unwrap().is_none(), "{signal}: a stream still runs");
        bidi.close_send();
        assert_eq!(soon(bidi.recv()).await.unwrap(), None, "{signal}");
        let status = soon(child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

async fn kill(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id().unwrap());
    assert!(soon(Command::new("sh").args(["-c", &kill]).status()).await.unwrap().success());
}

#[tokio::test]
async fn second_signal_ends_a_graceful_shutdown_at_once() {
    for signals in [["TERM", "TERM"], ["INT", "TERM"], ["INT", "INT"]] {
        let (mut child, address) = start().await;
        let client = EchoClient::new(builder(&address).build().unwrap());
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.send(&req("", 0)).await.unwrap();
        soon(bidi.recv()).await.unwrap().unwrap();
        kill(&child, signals[0]).await;
        refused(&client).await;
        assert!(child.try_wait().unwrap().is_none(), "{signals:?}: a stream still runs");
        kill(&child, signals[1]).await;
        assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB", "{signals:?}");
        let status = soon(child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{signals:?}: {status}");
    }
}

/// Whatever the process does then.
#[tokio::test]
async fn signal_after_run_has_returned_ends_the_process() {
    for what in ["stays", "leaves", "waits"] {
        let (mut child, address) = start_as(what).await;
        kill(&child, "INT").await;
        until_nobody_listens(&address).await;
        assert_eq!(killed(&mut child).await, Some(130), "{what}");
    }
}

/// Sends SIGINT until the process has ended. Returns its exit status.
async fn killed(child: &mut Child) -> Option<i32> {
    soon(async {
        loop {
            kill(child, "INT").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
        }
    })
    .await
}

#[tokio::test]
async fn third_signal_ends_a_process_whose_runtime_is_blocked() {
    let (mut child, address) = start_as("blocks").await;
    let client = EchoClient::new(builder(&address).build().unwrap());
    soon(client.note(&Context::background(), req("", 0))).await.ok();
    assert_eq!(killed(&mut child).await, Some(130));
}

/// A server that has ended leaves the signals to those that run: beside it, and after it.
#[tokio::test]
async fn second_signal_is_for_the_servers_that_still_run() {
    let (mut child, busy, mut further) = start_with_addresses("two").await;
    let idle = soon(further.recv()).await.unwrap();
    let client = EchoClient::new(builder(&busy).build().unwrap());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    bidi.send(&req("", 0)).await.unwrap();
    soon(bidi.recv()).await.unwrap().unwrap();
    kill(&child, "TERM").await;
    until_nobody_listens(&idle).await;
    refused(&client).await;
    kill(&child, "TERM").await;
    assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB", "it was canceled, and not killed");
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));

    let (mut child, _, mut further) = start_with_addresses("again").await;
    kill(&child, "INT").await;
    let again = soon(further.recv()).await.unwrap();
    let client = EchoClient::new(builder(&again).build().unwrap());
    let mut bidi = soon(client.bidi(&Context::background())).await.unwrap();
    bidi.send(&req("", 0)).await.unwrap();
    soon(bidi.recv()).await.unwrap().unwrap();
    kill(&child, "INT").await;
    refused(&client).await;
    bidi.send(&req("", 1)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(1), "its graceful shutdown lets it end");
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
}

async fn until_nobody_listens(address: &str) {
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
