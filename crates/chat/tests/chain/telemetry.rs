//! What `compose.yaml` says of metrics and traces, as far as plain processes can check it: files, ports, names of metrics,
//! and the spans that a collector receives.

use std::collections::BTreeSet;
use std::path::Path;

use kitex::{Client, Context, Method, StreamingMode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deploy::{COMPOSE, Composed, commands, services};
use crate::within;

const DASHBOARD: &str = include_str!("../../../../docs/grafana.json");
const PROMETHEUS: &str = include_str!("../../../../deploy/prometheus.yaml");
const COLLECTOR: &str = include_str!("../../../../deploy/collector.yaml");
const DATASOURCES: &str = include_str!("../../../../deploy/grafana-datasources.yaml");
const DASHBOARDS: &str = include_str!("../../../../deploy/grafana-dashboards.yaml");

/// Returns what stands between two texts, each time.
fn between<'a>(text: &'a str, before: &str, after: &'a str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// Returns name and port of what Prometheus scrapes.
fn targets() -> Vec<(&'static str, &'static str)> {
    let targets = between(PROMETHEUS, "targets: [", "]").concat();
    let targets = targets.split(", ").map(|target| target.trim_matches('"').to_owned());
    targets.map(|target| target.leak().split_once(':').expect("host:port")).collect()
}

#[test]
fn compose_names_files_images_and_ports_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mounts = between(COMPOSE, "./", ":ro");
    assert_eq!(mounts.len(), 5);
    let mut inside = Vec::new();
    for mount in mounts {
        let (file, place) = mount.split_once(':').expect("a place");
        assert!(root.join(file).is_file(), "{file}");
        inside.push(place);
    }
    for (service, lines) in services() {
        let image = lines.iter().find_map(|line| line.strip_prefix("    image: "));
        let version =
            |image: &str| image.rsplit_once(':').is_some_and(|(_, tag)| tag.matches('.').count() == 2);
        assert!(image.is_none_or(version), "{service}: the version of {image:?} is not exact");
        let files = lines.iter().flat_map(|line| between(line, "=/etc/", "\""));
        for file in files.map(|file| format!("/etc/{file}")) {
            assert!(inside.contains(&&*file), "{service} reads {file}");
        }
    }
    let places = between(DASHBOARDS, "path: ", "\n");
    assert!(inside.iter().any(|place| place.starts_with(places[0])), "{places:?}");
    // What one file names as host:port, and the file that has such a port.
    let url = between(DATASOURCES, "url: http://", "\n")[0];
    assert!(
        COMPOSE.contains("  prometheus:\n") && COMPOSE.contains(":9090:9090\"") && url == "prometheus:9090"
    );
    let endpoint = between(COMPOSE, "OTEL_EXPORTER_OTLP_ENDPOINT=http://", " ")[0];
    let (host, port) = endpoint.split_once(':').expect("a port");
    assert!(COMPOSE.contains(&format!("\n  {host}:\n")) && COLLECTOR.contains(&format!("0.0.0.0:{port}\n")));
}

#[test]
fn prometheus_scrapes_an_address_of_each_service_that_has_metrics() {
    let commands = commands();
    let targets = targets();
    for (service, port) in &targets {
        let (_, words) = commands.iter().find(|(name, _)| name == service).expect("a service");
        let flag = if *service == "http" { "--addr" } else { "--inspect" };
        let at = words.iter().position(|word| *word == flag).expect("the flag");
        assert_eq!(words[at + 1], format!("0.0.0.0:{port}"), "{service}");
    }
    let inspected = commands.iter().filter(|(name, words)| *name == "http" || words.contains(&"--inspect"));
    assert_eq!(inspected.count(), targets.len());
}

async fn request(address: &str, request: &str, until: impl Fn(&str) -> bool) -> String {
    let mut socket = within(TcpStream::connect(address)).await.expect("connects");
    let head = format!("GET {request} HTTP/1.1\r\nhost: chat\r\nconnection: close\r\n\r\n");
    within(socket.write_all(head.as_bytes())).await.expect("written");
    let (mut response, mut chunk) = (String::new(), [0; 4096]);
    while !until(&response) {
        match within(socket.read(&mut chunk)).await.expect("a response") {
            0 => break,
            len => response.push_str(&String::from_utf8_lossy(&chunk[..len])),
        }
    }
    response
}

/// Makes what the dashboard shows: a whole reply, one that is canceled, and a call that is refused.
async fn use_all(composed: &Composed) {
    let http = composed.address("http", "8080");
    let whole = request(http, "/chat?prompt=why&interval_ms=1&length=20", |_| false).await;
    assert!(whole.contains("event: done"), "{whole}");
    // Its connection closes after the first tokens.
    let started = |response: &str| response.contains("event: token");
    request(http, "/chat?prompt=why&interval_ms=5&length=100000", started).await;
    let model =
        Client::builder("model").address(composed.address("model", "7003")).build().expect("an address");
    let alien = Method::with_names("Chat".into(), "Alien".into(), StreamingMode::Server);
    let mut refused = model.open_raw(&Context::background(), &alien).await.expect("a stream");
    within(refused.receiver.recv()).await.expect_err("there is no such method");
}

/// Returns the names of all metrics of all targets, without what a histogram adds to its own.
async fn scrape(composed: &Composed) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (service, port) in targets() {
        let text = request(composed.address(service, port), "/metrics", |_| false).await;
        assert!(text.contains("text/plain; version=0.0.4"), "{service}: {text}");
        found.extend(between(&text, "# TYPE ", " ").into_iter().map(str::to_owned));
    }
    found
}

#[tokio::test]
async fn metrics_of_the_dashboard_are_in_the_scrapes_of_the_services() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let queries = dashboard["panels"].as_array().expect("panels").iter();
    let queries = queries.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<&str> = queries.filter_map(|target| target["expr"].as_str()).collect();
    let words =
        queries.iter().flat_map(|query| query.split(|char: char| !(char.is_alphanumeric() || char == '_')));
    let suffixes = ["_bucket", "_count", "_sum"];
    let shown = words.filter(|word| word.starts_with("kitex_"));
    let shown: BTreeSet<&str> = shown
        .map(|name| suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name))
        .collect();
    assert!(shown.len() > 15, "{shown:?}");

    let composed = Composed::start(&[]).await;
    use_all(&composed).await;
    // A cancel needs a moment to be counted everywhere.
    let missing = async {
        loop {
            let found = scrape(&composed).await;
            let missing: Vec<&&str> = shown.iter().filter(|name| !found.contains(**name)).collect();
            if missing.is_empty() {
                return;
            }
            eprintln!("not yet: {missing:?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    within(missing).await;
    composed.stop().await;
}

#[cfg(feature = "otel")]
mod traces {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::{Composed, request};

    type Exports = Arc<Mutex<Vec<Bytes>>>;

    /// Starts what receives OTLP over HTTP; returns its base URL and what it receives.
    async fn collector() -> (String, Exports) {
        let exports = Exports::default();
        let receive = async |State(exports): State<Exports>, body: Bytes| exports.lock().unwrap().push(body);
        let router = Router::new().route("/v1/traces", post(receive)).with_state(exports.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async { axum::serve(listener, router).await });
        (url, exports)
    }

    /// Returns the byte strings of one field of a Protobuf message.
    fn field(mut message: &[u8], number: u64) -> Vec<&[u8]> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let (first, rest) = bytes.split_first().expect("a varint");
                (value, shift, *bytes) = (value | u64::from(first & 0x7f) << shift, shift + 7, rest);
                if first & 0x80 == 0 {
                    return value;
                }
            }
        }
        let mut found = Vec::new();
        while !message.is_empty() {
            let key = varint(&mut message);
            let len = match key & 7 {
                0 => {
                    varint(&mut message);
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut message)).expect("a length"),
                _ => 4,
            };
            let (value, rest) = message.split_at(len);
            if key >> 3 == number && key & 7 == 2 {
                found.push(value);
            }
            message = rest;
        }
        found
    }

    /// Returns the traces, and the names of the services that have spans of each.
    fn traces(exports: &Exports) -> BTreeMap<Vec<u8>, BTreeSet<String>> {
        let mut traces: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for export in exports.lock().unwrap().iter() {
            for resource_spans in field(export, 1) {
                let resource = field(resource_spans, 1).concat();
                let is_name = |pair: &&[u8]| field(pair, 1).concat() == b"service.name";
                let name = field(&resource, 1).into_iter().find(is_name).expect("a name");
                let name = String::from_utf8(field(&field(name, 2).concat(), 1).concat()).expect("text");
                for span in field(resource_spans, 2).into_iter().flat_map(|scope| field(scope, 2)) {
                    traces.entry(field(span, 1).concat()).or_default().insert(name.clone());
                }
            }
        }
        traces
    }

    #[tokio::test]
    async fn otel_exporter_otlp_endpoint_makes_the_services_export_one_trace_of_a_chat() {
        let (url, exports) = collector().await;
        let composed = Composed::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
        let http = composed.address("http", "8080");
        let whole = request(http, "/chat?prompt=why&interval_ms=1&length=20", |_| false).await;
        assert!(whole.contains("event: done"), "{whole}");
        // A stop exports what is left.
        composed.stop().await;
        let traces = traces(&exports);
        let services: Vec<&BTreeSet<String>> = traces.values().collect();
        let expected = ["agent", "gateway", "model", "retriever"].map(str::to_owned);
        assert_eq!(services, [&BTreeSet::from(expected)]);
    }
}
