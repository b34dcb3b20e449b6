//! Each way that a call ends, and what is counted of it at both ends.

use std::time::Duration;

use kitex::client::{Retry, Transport};
use kitex::testing::Network;
use kitex::{Context, Method, Server, StreamingMode};
use kitex_metrics::Metrics;

use crate::{Handler, MirrorClient, MirrorServer, Stage, lines, req};

/// What the calls of one row are counted as: lines of the families below, without the names of both services.
struct Row {
    request: &'static str,
    server: &'static [&'static str],
    client: &'static [&'static str],
}

const FAMILIES: [&str; 8] = [
    "kitex_server_throughput",
    "kitex_client_throughput",
    "kitex_stream_duration_seconds",
    "kitex_stream_cancels_total",
    "kitex_handlers_dropped_total",
    "kitex_stream_sends_after_cancel_total",
    "kitex_work_saved_total",
    "kitex_streams_active",
];

#[rustfmt::skip]
const STREAMS: [Row; 5] = [
    Row {
        request: "",
        server: &[
            "kitex_server_throughput{method=\"Down\",retry=\"0\",status=\"succeed\"} 1",
            "kitex_stream_duration_seconds_count{end=\"ok\",method=\"Down\",side=\"server\"} 1",
        ],
        client: &[
            "kitex_client_throughput{method=\"Down\",retry=\"0\",status=\"succeed\"} 1",
            "kitex_stream_duration_seconds_count{end=\"ok\",method=\"Down\",side=\"client\"} 1",
        ],
    },
    Row {
        request: "biz",
        server: &[
            "kitex_server_throughput{method=\"Down\",retry=\"0\",status=\"succeed\"} 1",
            "kitex_stream_duration_seconds_count{end=\"error\",method=\"Down\",side=\"server\"} 1",
        ],
        client: &[
            "kitex_client_throughput{method=\"Down\",retry=\"0\",status=\"succeed\"} 1",
            "kitex_stream_duration_seconds_count{end=\"error\",method=\"Down\",side=\"client\"} 1",
        ],
    },
    Row {
        request: "fail",
        server: &[
            "kitex_server_throughput{method=\"Down\",retry=\"0\",status=\"error\"} 1",
            "kitex_stream_duration_seconds_count{end=\"error\",method=\"Down\",side=\"server\"} 1",
        ],
        client: &[
            "kitex_client_throughput{method=\"Down\",retry=\"0\",status=\"error\"} 1",
            "kitex_stream_duration_seconds_count{end=\"error\",method=\"Down\",side=\"client\"} 1",
        ],
    },
    // Canceled by the client. The handler returns with the error of a Send, or is dropped.
    Row {
        request: "wait",
        server: &[
            "kitex_server_throughput{method=\"Down\",retry=\"0\",status=\"error\"} 1",
            "kitex_stream_cancels_total{code=\"12007\",origin=\"caller\",side=\"server\"} 1",
            "kitex_stream_duration_seconds_count{end=\"canceled\",method=\"Down\",side=\"server\"} 1",
            "kitex_stream_sends_after_cancel_total{callee=\"callee\",method=\"Down\"} 1",
            "kitex_work_saved_total{callee=\"callee\",method=\"Down\",unit=\"tokens\"} 7",
        ],
        client: &[
            "kitex_client_throughput{method=\"Down\",retry=\"0\",status=\"error\"} 1",
            "kitex_stream_cancels_total{code=\"12007\",origin=\"caller\",side=\"client\"} 1",
            "kitex_stream_duration_seconds_count{end=\"canceled\",method=\"Down\",side=\"client\"} 1",
        ],
    },
    Row {
        request: "hang",
        server: &[
            "kitex_handlers_dropped_total{callee=\"callee\",method=\"Down\"} 1",
            "kitex_server_throughput{method=\"Down\",retry=\"0\",status=\"error\"} 1",
            "kitex_stream_cancels_total{code=\"12007\",origin=\"caller\",side=\"server\"} 1",
            "kitex_stream_duration_seconds_count{end=\"canceled\",method=\"Down\",side=\"server\"} 1",
            "kitex_work_saved_total{callee=\"callee\",method=\"Down\",unit=\"tokens\"} 7",
        ],
        client: &[
            "kitex_client_throughput{method=\"Down\",retry=\"0\",status=\"error\"} 1",
            "kitex_stream_cancels_total{code=\"12007\",origin=\"caller\",side=\"client\"} 1",
            "kitex_stream_duration_seconds_count{end=\"canceled\",method=\"Down\",side=\"client\"} 1",
        ],
    },
];

const TRANSPORTS: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];

#[tokio::test(start_paused = true)]
async fn metrics_count_each_ending_of_a_stream_at_both_ends() {
    for transport in TRANSPORTS {
        for row in &STREAMS {
            check(transport, row).await;
        }
    }
}

async fn check(transport: Transport, Row { request, server, client }: &Row) {
    let stage = Stage::new(Metrics::builder().work_unit("tokens").build().unwrap());
    let ctx = Context::background().with_transient("service.name", "caller");
    let caller = stage.client(transport);
    let mut down = caller.down(&ctx, req(request)).await.unwrap();
    for _ in 0..3 {
        down.recv().await.unwrap().unwrap();
    }
    assert_eq!(lines(&stage.at_client, &["kitex_streams_active"]).len(), 1, "{transport:?} {request}");
    match *request {
        "wait" | "hang" => drop(down),
        _ => drop(down.recv().await),
    }
    let Stage { server: running, at_server, at_client, .. } = stage;
    // On the paused clock.
    while !lines(&at_server, &["kitex_streams_active"]).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.shutdown().await;
    for (metrics, expected) in [(&at_server, server), (&at_client, client)] {
        assert_eq!(lines(metrics, &FAMILIES), *expected, "{transport:?} {request}");
    }
    let traffic = |metrics: &Metrics, direction: &str| {
        let text = metrics.text();
        let line = |line: &&str| line.starts_with("kitex_stream_messages_total") && line.contains(direction);
        text.lines().find(line).map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    let of = |metrics| [traffic(metrics, "sent"), traffic(metrics, "received")].map(Option::unwrap);
    assert_eq!((of(&at_server), of(&at_client)), (["3", "1"].map(Into::into), ["1", "3"].map(Into::into)));
}

#[tokio::test(start_paused = true)]
async fn metrics_measure_the_first_message_and_the_gaps_after_it() {
    let stage = Stage::new(Metrics::new().unwrap());
    let mut down = stage.client(Transport::TtHeader).down(&Context::background(), req("")).await.unwrap();
    while down.recv().await.unwrap().is_some() {}
    drop(down);
    let Stage { server, at_server, at_client, .. } = stage;
    server.shutdown().await;
    for metrics in [at_server, at_client] {
        let text = metrics.text();
        let count = |family: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{family}_count"))).unwrap();
            line.rsplit(' ').next().unwrap().to_owned()
        };
        let family = |name: &str| count(&format!("kitex_stream_{name}_seconds"));
        assert_eq!((&*family("first_message"), &*family("message_gap")), ("1", "2"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_count_ping_pong_calls_and_refusals() {
    for transport in TRANSPORTS {
        let stage = Stage::new(Metrics::new().unwrap());
        let client = stage.client(transport);
        for text in ["", "biz", "fail"] {
            drop(client.ping(&Context::background(), req(text)).await);
        }
        // A method that the server has not.
        let alien = Method::with_names("Mirror".into(), "Alien".into(), StreamingMode::Server);
        let raw = stage.network.client("callee").transport(transport).build().unwrap();
        let mut stream = raw.open_raw(&Context::background(), &alien).await.unwrap();
        assert!(stream.receiver.recv().await.is_err());
        let Stage { server, at_server, .. } = stage;
        server.shutdown().await;
        let text = at_server.text();
        let has = |line: &str| assert!(text.contains(line), "{transport:?} {line}\n{text}");
        has("method=\"Ping\",retry=\"0\",status=\"succeed\"} 2");
        has("method=\"Ping\",retry=\"0\",status=\"error\"} 1");
        // Its name is a peer's, and so no label.
        has(
            "kitex_refused_total{callee=\"callee\",code=\"unimplemented\",method=\"unknown\",side=\"server\"} 1",
        );
        assert!(!text.contains("Alien"));
    }
}

/// A server without room, and its client.
#[tokio::test(start_paused = true)]
async fn metrics_count_refusals_by_code_at_a_client_and_the_load_of_a_server() {
    for transport in TRANSPORTS {
        let network = Network::new();
        let server = Server::builder("callee").service(MirrorServer::new(Handler)).max_handlers(0);
        let at_server = Metrics::new().unwrap();
        let server =
            server.max_queued(1).max_queue_wait(Duration::from_millis(5)).observer(at_server.clone());
        let server = network.serve(server).unwrap();
        let handle = server.handle();
        at_server.server("callee", move || handle.stats());
        let at_client = Metrics::new().unwrap();
        let client = network.client("callee").caller("caller").transport(transport).retry(Retry::none());
        let client = MirrorClient::new(client.observer(at_client.clone()).build().unwrap());
        let mut down = client.down(&Context::background(), req("")).await.unwrap();
        assert!(down.recv().await.is_err());
        assert!(client.ping(&Context::background(), req("")).await.is_err());
        drop(down);
        server.shutdown().await;
        let families = ["kitex_refused_total", "kitex_stream_cancels_total", "kitex_server_"];
        let refused = |method: &str, side: &str| {
            format!(
                "kitex_refused_total{{callee=\"callee\",code=\"12900\",method=\"{method}\",side=\"{side}\"}} 1"
            )
        };
        let client_lines = [refused("Down", "client"), refused("Ping", "client")];
        assert_eq!(lines(&at_client, &families), client_lines, "{transport:?}");
        let server_lines = lines(&at_server, &["kitex_refused_total", "kitex_stream_cancels_total"]);
        assert_eq!(server_lines, [refused("Down", "server"), refused("Ping", "server")], "{transport:?}");
        let text = at_server.text();
        for line in [
            "handlers{callee=\"callee\"} 0",
            "queued{callee=\"callee\"} 0",
            "refused_total{callee=\"callee\"} 2",
        ] {
            assert!(text.contains(&format!("kitex_server_{line}")), "{transport:?} {line}\n{text}");
        }
    }
}
