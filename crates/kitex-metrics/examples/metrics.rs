//! Prometheus metrics of a server and its client, with health and open streams on one HTTP address.
//! `cargo run -p kitex-metrics --example metrics`

#[rustfmt::skip]
#[path = "../../kitex/examples/generated/echo.rs"]
mod generated;

use std::time::Duration;

use generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
use kitex::server::Readiness;
use kitex::{Client, Code, Context, Result, Server, ServerStreamingServer, inspect};
use kitex_metrics::{CONTENT_TYPE, Metrics, Work};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A model: a token every 10 ms.
struct Model;

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
        Ok(Resp { msg: req.msg, ..Resp::default() })
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let tokens = req.seq.unwrap_or(3);
        let work = ctx.extension::<Work>().cloned().unwrap_or_default();
        work.plan(tokens.unsigned_abs());
        for seq in 0..tokens {
            stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
            work.done(1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let metrics = Metrics::builder().work_unit("tokens").build()?;
    let readiness = Readiness::new();

    let text = metrics.clone();
    let http = inspect::bind("127.0.0.1:0").await?.readiness(readiness.clone());
    let http = http.page("/metrics", CONTENT_TYPE, move || text.text());
    let operators = http.local_addr();
    tokio::spawn(http.serve());

    let server = Server::builder("model")
        .service(MirrorServer::new(Model))
        .observer(metrics.clone())
        .readiness(&readiness)
        .drain_delay(Duration::from_millis(200))
        .bind("127.0.0.1:0")
        .await?;
    let address = server.local_addr().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_until(async { drop(stopped.await) }));

    let client =
        Client::builder("model").caller("reader").address(address).observer(metrics.clone()).build()?;
    let pool = client.clone();
    metrics.pool("model", move || pool.pool_stats());
    let client = MirrorClient::new(client);
    let ctx = Context::background();

    // A stream that ends, and one that its reader gives up after two tokens of a thousand.
    let mut stream = client.down(&ctx, Req::default()).await?;
    while stream.recv().await?.is_some() {}
    let mut stream = client.down(&ctx, Req { seq: Some(1000), ..Req::default() }).await?;
    for _ in 0..2 {
        stream.recv().await?;
    }
    check(&get(operators, "/streams").await?, &["\"method\":\"Down\"", "\"own_service\":\"model\""]);
    check(
        &get(operators, "/metrics").await?,
        &["kitex_streams_active{callee=\"model\",caller=\"reader\",method=\"Down\",side=\"client\"} 1"],
    );
    check(&get(operators, "/readyz").await?, &["200 OK"]);
    drop(stream);

    let _ = stop.send(());
    while readiness.is_ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    check(&get(operators, "/readyz").await?, &["503 Service Unavailable"]);
    serving.await?;

    let text = get(operators, "/metrics").await?;
    for line in text.lines().filter(|line| !line.contains("_bucket{") && !line.ends_with(" 0")) {
        println!("{line}");
    }
    check(
        &text,
        &[
            "kitex_client_throughput{callee=\"model\",caller=\"reader\",method=\"Down\",retry=\"0\",status=\"succeed\"} 1",
            "kitex_server_throughput{callee=\"model\",caller=\"unknown\",method=\"Down\",retry=\"0\",status=\"error\"} 1",
            &format!(
                "kitex_stream_cancels_total{{code=\"{}\",origin=\"reader\",side=\"server\"}} 1",
                Code::CANCELED
            ),
            "kitex_stream_messages_total{callee=\"model\",caller=\"reader\",direction=\"received\",method=\"Down\",side=\"client\"} 5",
            "kitex_stream_first_message_seconds_count{callee=\"model\",caller=\"reader\",method=\"Down\",side=\"client\"} 2",
            "kitex_work_saved_total{callee=\"model\",method=\"Down\",unit=\"tokens\"} 9",
            "kitex_client_dials_total{callee=\"model\"}",
        ],
    );
    println!("metrics: all as expected");
    Ok(())
}

/// Returns the response to a GET, its head included.
async fn get(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    socket.read_to_string(&mut response).await?;
    Ok(response)
}

fn check(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
