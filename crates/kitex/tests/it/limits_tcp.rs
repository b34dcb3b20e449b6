//! A peer that disappears, as when its machine loses power: TCP keepalive detects it on an idle connection, the TCP user
//! timeout if data is unacknowledged. Linux only.
//!
//! The second test needs a network of its own, in which packets are dropped from some moment on. It
//! runs itself in a network namespace, as root of it, and does nothing where the system does not allow that.
#![cfg(target_os = "linux")]

use std::env;
use std::process::Stdio;
use std::time::{Duration, Instant};

use kitex::Context;
use tokio::process::Command;

use crate::fixture::{EchoClient, Handlers, Peer, brief, ended, reports, req, soon, until};

/// The timer column of `/proc/net/tcp` for a socket that waits to send a keepalive probe.
const KEEPALIVE: &str = "02";

/// Seconds until the timer of the socket from `local` to `remote` fires, if that is a keepalive timer.
fn keepalive_timer(local: u16, remote: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| {
        let port = |at: usize| row.get(at).and_then(|address| address.rsplit(':').next());
        port(1) == Some(&format!("{local:04X}")) && port(2) == Some(&format!("{remote:04X}"))
    })?;
    let (timer, jiffies) = row.get(5)?.split_once(':')?;
    (timer == KEEPALIVE).then(|| u64::from_str_radix(jiffies, 16).unwrap() / 100)
}

#[tokio::test]
async fn tcp_keepalive_is_on_at_both_ends_of_a_connection() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |ctx, mut stream| {
        reporter.send(ctx.peer().unwrap().socket_addr().unwrap().port());
        async move { stream.recv().await.map(drop) }
    });
    let peer = Peer::start(handlers).await;
    let server: u16 = peer.address.rsplit(':').next().unwrap().parse().unwrap();
    let _bidi = peer.client().bidi(&Context::background()).await.unwrap();
    let client = reported.next().await;
    for (local, remote) in [(client, server), (server, client)] {
        // While data is unacknowledged the kernel uses another timer.
        let mut timer = None;
        until(|| {
            timer = keepalive_timer(local, remote);
            timer.is_some()
        })
        .await;
        let seconds = timer.unwrap();
        assert!(seconds <= 30, "the first probe is sent after {seconds} s, not 30");
    }
}

const CHILD: &str = "KITEX_TCP_LIMITS_CHILD";
const TEST: &str = "limits_tcp::tcp_user_timeout_and_keepalive_detect_a_dead_peer";

#[tokio::test]
async fn tcp_user_timeout_and_keepalive_detect_a_dead_peer() {
    if env::var_os(CHILD).is_some() {
        return lose_the_peer().await;
    }
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]).kill_on_drop(true);
        command
    };
    let allowed = namespace().args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null()).status().await;
    if !allowed.is_ok_and(|status| status.success()) {
        println!("not tested: no network namespace can be made here");
        return;
    }
    let child = namespace()
        .arg(env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(CHILD, "1")
        .status()
        .await
        .unwrap();
    assert!(child.success(), "the test fails in its namespace");
}

async fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().await.unwrap();
    assert!(status.success(), "ip {words}");
}

/// Two connections: on one nothing is sent, on the other the client sends data that never arrives.
async fn lose_the_peer() {
    ip("link set lo up").await;
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |_, mut stream| {
        let reporter = reporter.clone();
        async move {
            reporter.send("begun".to_owned());
            let error = stream.recv().await.unwrap_err();
            reporter.send(brief(&error));
            Err(error)
        }
    });
    let peer = Peer::start(handlers).await;
    let clients = [peer.client(), peer.client()];
    let open = async |client: &EchoClient| client.bidi(&Context::background()).await.unwrap();
    let (mut idle, mut busy) = (open(&clients[0]).await, open(&clients[1]).await);
    assert_eq!([reported.next().await, reported.next().await], ["begun", "begun"]);

    ip("link set lo down").await;
    let lost = Instant::now();
    let idle = async {
        let end = ended(&idle.recv().await);
        (end, lost.elapsed().as_secs())
    };
    let busy = async {
        busy.send(&req("", 0)).await.unwrap();
        let end = ended(&busy.recv().await);
        (end, lost.elapsed().as_secs())
    };
    let both = tokio::time::timeout(Duration::from_secs(100), async { tokio::join!(idle, busy) });
    let ((idle, idle_took), (busy, busy_took)) = both.await.expect("the loss is found");
    assert_eq!((&*idle, &*busy), ("12006 client", "12006 client"));
    assert!((15..32).contains(&busy_took), "user timeout: {busy_took} s, not about 20");
    assert!((30..75).contains(&idle_took), "keepalive: {idle_took} s, not 60 at most");
    // The server's ends have the same options.
    assert_eq!(soon(async { [reported.next().await, reported.next().await] }).await, ["12013 nowhere"; 2]);
}
