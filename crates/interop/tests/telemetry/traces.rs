//! One trace over Kitex, this library and Kitex, as an OTLP receiver gets it from all three.

use std::time::Duration;

use kitex::client::Transport;
use kitex_otel::Telemetry;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::peer::{Hop, KitexServer, client, kitex_client, program, serve};
use crate::receiver::{Received, Receiver};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// Over gRPC Kitex brings the keys of metainfo in capitals, and its telemetry does not find the caller's.
const KEYS_IN_CAPITALS: &str = "obs-opentelemetry finds service.name of a gRPC call";

async fn provider(receiver: &Receiver) -> SdkTracerProvider {
    let endpoint = format!("http://{}/v1/traces", receiver.address);
    // Fails if a test before has done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A blocking client cannot be made on a runtime's thread.
    let made = tokio::task::spawn_blocking(move || {
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let exporter = exporter.with_endpoint(endpoint).build().expect("the endpoint is an address");
        let resource = Resource::builder_empty().with_service_name("rust-agent").build();
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()
    });
    made.await.expect("it does not panic")
}

/// Go's user -> the Rust agent -> Go's model. Returns the spans, when there are `count` or after a long time.
async fn chain(program: &str, proto: &str, observed: bool, message: &str, count: usize) -> Vec<Received> {
    let receiver = Receiver::start().await.expect("a free port of the loopback");
    let otlp = receiver.address.to_string();
    let model = KitexServer::start(program, &["-name", "go-model", "-otlp", &otlp]);
    let provider = provider(&receiver).await;
    let telemetry =
        Telemetry::builder().tracer_provider(&provider).namespace("lab").environment("test").build();
    let transport = if proto == "grpc" { Transport::Grpc } else { Transport::TtHeader };
    let to_model = client("go-model", &model.address, |client| {
        let client = client.transport(transport);
        if observed { client.observer(telemetry.clone()) } else { client }
    });
    let agent = serve("rust-agent", Hop(Some(to_model)), |server| {
        if observed { server.observer(telemetry.clone()) } else { server }
    });
    let agent = agent.await;
    let args =
        ["-name", "go-user", "-next-name", "rust-agent", "-proto", proto, "-otlp", &otlp, "-addr", &agent];
    kitex_client(program, &args, message).await;
    for _ in 0..600 {
        let flushed = provider.clone();
        let flush = tokio::task::spawn_blocking(move || flushed.force_flush());
        flush.await.expect("it does not panic").expect("the receiver answers");
        if receiver.spans().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    receiver.spans()
}

fn find<'a>(spans: &'a [Received], service: &str, kind: i32) -> &'a Received {
    let found = spans.iter().find(|span| (&*span.service, span.kind) == (service, kind));
    found.unwrap_or_else(|| panic!("{service} has no span of kind {kind}: {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_joins_kitex_spans_in_one_trace_with_the_right_parents() {
    let Some(program) = program() else { return };
    for proto in ["tt", "grpc"] {
        let spans = chain(&program, proto, true, "", 5).await;
        let root = spans.iter().find(|span| span.name == "root").expect("the root");
        let mut above = root;
        let line =
            [("go-user", CLIENT), ("rust-agent", SERVER), ("rust-agent", CLIENT), ("go-model", SERVER)];
        for (service, kind) in line {
            let span = find(&spans, service, kind);
            assert_eq!((&span.trace, &span.parent), (&root.trace, &above.span), "{proto} {service} {kind}");
            above = span;
        }
        for kind in [CLIENT, SERVER] {
            let kitex = find(&spans, if kind == CLIENT { "go-user" } else { "go-model" }, kind);
            let ours = find(&spans, "rust-agent", kind);
            assert_eq!((&ours.name, ours.status), (&kitex.name, kitex.status), "{proto} {kind}");
            for (key, value) in &kitex.attributes {
                let found =
                    ours.attributes.get(key).unwrap_or_else(|| panic!("{proto}: no {key} in {ours:#?}"));
                if ["rpc.system", "rpc.method", "peer.service.namespace"].contains(&&**key) {
                    assert_eq!(found, value, "{proto} {key}");
                }
            }
        }
        assert_eq!(find(&spans, "rust-agent", SERVER).attributes["peer.service"], "go-user");
        let of_kitex = find(&spans, "go-model", SERVER).attributes.get("peer.service").map(String::as_str);
        assert_eq!(of_kitex, (proto == "tt").then_some("rust-agent"), "{KEYS_IN_CAPITALS}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_telemetry_passes_a_trace_of_kitex_on() {
    let Some(program) = program() else { return };
    for proto in ["tt", "grpc"] {
        let spans = chain(&program, proto, false, "", 3).await;
        let (user, model) = (find(&spans, "go-user", CLIENT), find(&spans, "go-model", SERVER));
        assert_eq!((&model.trace, &model.parent), (&user.trace, &user.span), "{proto}");
        if proto == "grpc" {
            assert!(!model.attributes.contains_key("peer.service"), "{KEYS_IN_CAPITALS}");
            continue;
        }
        let peer = |key: &str| model.attributes.get(key).map(String::as_str);
        // Its own name: it is the model's caller. The rest is that of the user, as it came.
        assert_eq!(peer("peer.service"), Some("rust-agent"), "{proto}");
        assert_eq!(peer("peer.service.namespace"), Some("lab"), "{proto}");
        assert_eq!(peer("peer.deployment.environment"), Some("test"), "{proto}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_by_a_user_of_kitex_is_an_event_and_no_error() {
    let Some(program) = program() else { return };
    let spans = chain(&program, "tt", true, "wait", 5).await;
    for kind in [SERVER, CLIENT] {
        let ours = find(&spans, "rust-agent", kind);
        assert_eq!((ours.status, &*ours.attributes["kitex.end"]), (0, "canceled"), "{ours:#?}");
        let cancel = ours.events.iter().find(|(name, _)| name == "cancel");
        let (_, cancel) = cancel.unwrap_or_else(|| panic!("{ours:#?}"));
        assert_eq!(cancel["path"], "go-user", "{cancel:?}");
    }
}
