//! A server in the place of etcd that sends too much, or what etcd does not send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kitex_etcd::Etcd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::log::Log;
use super::{patient, until};

/// A watch that ends with this stays open.
const OPEN: &[u8] = b" ";

/// The body of a response to a range, and the lines of a watch, after which it ends.
type Script = (fn() -> String, fn() -> String);

/// One pair that is no instance: its key is `a\nforged`.
const NO_INSTANCE: &str = r#"{"key":"YQpmb3JnZWQ=","value":"eHg="}"#;

/// A field of JSON with a text of 1 MB that ends a line.
fn long(name: &str) -> String {
    format!(r#""{name}":"a\nforged {}""#, "x".repeat(1 << 20))
}

fn range(pairs: usize) -> String {
    let pairs = vec![NO_INSTANCE; pairs].join(",");
    format!(r#"{{"header":{{"revision":"7"}},"kvs":[{pairs}]}}"#)
}

fn serve(script: Script) -> (Etcd, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, reads) = (listener.local_addr().unwrap().to_string(), Arc::<AtomicUsize>::default());
    let (listener, counted) = (TcpListener::from_std(listener).unwrap(), reads.clone());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, script, counted.clone()));
        }
    });
    (patient(address), reads)
}

async fn answer(mut socket: TcpStream, (range, watch): Script, reads: Arc<AtomicUsize>) {
    let mut request = vec![0; 4096];
    let Ok(read) = socket.read(&mut request).await else { return };
    let is_range = request[..read].starts_with(b"POST /v3/kv/range");
    if is_range {
        reads.fetch_add(1, Ordering::Relaxed);
    }
    let body = if is_range { range() } else { watch() };
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.set_nodelay(true);
    let body = body.as_bytes();
    // One that is short comes in pieces.
    for piece in body.chunks(if body.len() < 1024 { 7 } else { body.len() }) {
        let _ = socket.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    if body.ends_with(OPEN) {
        std::future::pending::<()>().await;
    }
    let _ = socket.shutdown().await;
    let _ = socket.read(&mut request).await;
}

#[tokio::test]
async fn a_hostile_etcd_fills_no_log_and_forges_no_line() {
    // What it sends, how many lines each reading may cause, and of how many bytes.
    let rows: [(&str, Script); 4] = [
        ("values", (|| range(10_000), || "{}\n".to_owned())),
        ("a refusal", (|| format!("{{{}}}", long("message")), String::new)),
        (
            "a cancel",
            (|| range(0), || format!("{{\"result\":{{\"canceled\":true,{}}}}}\n", long("cancel_reason"))),
        ),
        ("an error", (|| range(0), || format!("{{\"error\":{{{}}}}}\n", long("message")))),
    ];
    for (what, script) in rows {
        let (log, logging) = Log::record(LevelFilter::INFO, FmtSpan::NONE);
        let (etcd, reads) = serve(script);
        let instances = etcd.discover("model").unwrap();
        let seen = async {
            while reads.load(Ordering::Relaxed) < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), seen).await.expect(what);
        drop((instances, logging));
        let log = log.text();
        assert!(!log.is_empty(), "{what}");
        assert!(!log.lines().any(|line| line.starts_with("forged")), "{what}");
        // Five about values, and one about each reading.
        assert!(log.lines().count() <= 16, "{what}: {}", log.lines().count());
        assert!(log.lines().all(|line| line.len() < 4096), "{what}");
    }
}

#[tokio::test]
async fn lines_of_a_watch_are_found_in_pieces() {
    // The value is `{"network":"tcp","address":"10.0.0.1:80","weight":10}`.
    const PAIR: &str = r#"{"result":{"events":[{"kv":{"key":"YQ==","value":"eyJuZXR3b3JrIjoidGNwIiwiYWRkcmVzcyI6IjEwLjAuMC4xOjgwIiwid2VpZ2h0IjoxMH0="}}]}}"#;
    let (etcd, _) = serve((|| range(0), || format!("{{\"result\":{{}}}}\n{PAIR}\n ")));
    let instances = etcd.discover("model").unwrap();
    until(&instances, &["10.0.0.1:80 10 {}"]).await;
}
