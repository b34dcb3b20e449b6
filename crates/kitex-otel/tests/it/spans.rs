//! Names, kinds, parents, status and events of spans, by how a call ends.

use std::time::Duration;

use kitex::client::Transport;
use kitex::testing::{Network, TestServer};
use kitex::{BizStatusError, Context, Error, Result, Server, ServerStreamingServer};
use kitex_otel::Telemetry;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

use crate::generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};

/// Ends as the request says, or calls the next.
struct Hop(Option<MirrorClient>);

#[kitex::async_trait]
impl Mirror for Hop {
    async fn ping(&self, ctx: Context, req: Req) -> Result<Resp> {
        match &self.0 {
            Some(next) => next.ping(&ctx, req).await,
            None => Ok(Resp::default()),
        }
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        if let Some(next) = &self.0 {
            let mut below = next.down(&ctx, req).await?;
            while let Some(message) = below.recv().await? {
                stream.send(&message).await?;
            }
            return Ok(());
        }
        stream.send(&Resp::default()).await?;
        match req.msg.as_deref() {
            Some("wait") => Err(ctx.canceled().await.into()),
            Some("biz") => Err(BizStatusError::new(7, "no").into()),
            Some("fail") => Err(Error::other("no")),
            _ => Ok(()),
        }
    }
}

/// A (telemetry) -> B (telemetry) -> C (none) -> D (telemetry), all exporting to one place.
struct Stage {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    client: MirrorClient,
    servers: Vec<TestServer>,
}

impl Stage {
    fn new(transport: Transport) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let telemetry = Telemetry::builder().tracer_provider(&provider).environment("test").build();
        let network = Network::new();
        let client = |to: &str| network.client(to).transport(transport);
        let mut servers = Vec::new();
        let mut next = None;
        for (name, observed) in [("D", true), ("C", false), ("B", true)] {
            let server = Server::builder(name).service(MirrorServer::new(Hop(next)));
            let server = if observed { server.observer(telemetry.clone()) } else { server };
            servers.push(network.serve(server).unwrap());
            // C has telemetry neither as a server nor as a client.
            let to = if name == "D" { client(name) } else { client(name).observer(telemetry.clone()) };
            let to = if name == "B" { to.caller("A") } else { to };
            next = Some(MirrorClient::new(to.build().unwrap()));
        }
        Self { exporter, provider, client: next.unwrap(), servers }
    }

    /// Returns what was exported when all servers are gone, by the start of the spans.
    async fn spans(self) -> Vec<SpanData> {
        for server in self.servers.into_iter().rev() {
            server.shutdown().await;
        }
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.sort_by_key(|span| span.start_time);
        spans
    }
}

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key.as_str() == key);
    found.map(|pair| pair.value.to_string()).unwrap_or_default()
}

fn events(span: &SpanData) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

async fn down(stage: &Stage, ctx: &Context, text: &str) {
    let req = Req { msg: Some(text.to_owned().into()), ..Req::default() };
    let mut stream = stage.client.down(ctx, req).await.unwrap();
    stream.recv().await.unwrap();
    if text != "wait" {
        drop(stream.recv().await);
        return;
    }
    drop(stream);
    // Until the cancel has passed the chain.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn telemetry_makes_one_trace_with_parents_past_a_service_without_it() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        for text in ["", "ping"] {
            let stage = Stage::new(transport);
            let tracer = stage.provider.tracer("test");
            let root = opentelemetry::Context::new().with_span(tracer.start("root"));
            let ctx = Context::background().with_extension(root.clone());
            match text {
                "ping" => drop(stage.client.ping(&ctx, Req::default()).await.unwrap()),
                _ => down(&stage, &ctx, text).await,
            }
            root.span().end();
            let spans = stage.spans().await;
            let method = if text == "ping" { "Mirror/Ping" } else { "Mirror/Down" };
            let full = format!("echo.{method}");
            // TTHeader Streaming carries no package.
            let at_server = if transport == Transport::TtHeader && text != "ping" { method } else { &*full };
            let expected = [
                ("root", SpanKind::Internal, ""),
                (&*full, SpanKind::Client, ""),
                (at_server, SpanKind::Server, "A"),
                (&*full, SpanKind::Client, ""),
                // D's caller is C, which has no span; its span is below B's call of C.
                (at_server, SpanKind::Server, "C"),
            ];
            assert_eq!(spans.len(), expected.len(), "{transport:?} {text} {spans:#?}");
            for (at, (span, (name, kind, peer))) in spans.iter().zip(expected).enumerate() {
                let parent = at.checked_sub(1).map(|above| spans[above].span_context.span_id());
                assert_eq!((&*span.name, &span.span_kind), (name, &kind), "{transport:?}");
                assert_eq!(
                    Some(span.parent_span_id).filter(|_| at > 0),
                    parent,
                    "{transport:?} {name} {kind:?}"
                );
                assert_eq!(span.span_context.trace_id(), spans[0].span_context.trace_id());
                assert_eq!(attribute(span, "peer.service"), peer, "{transport:?} {name} {kind:?}");
            }
            let last = &spans[4];
            assert_eq!(attribute(last, "peer.deployment.environment"), "test");
            assert_eq!((&*attribute(last, "rpc.system"), &*attribute(last, "rpc.service")), ("kitex", "D"));
        }
    }
}

#[tokio::test]
async fn telemetry_reports_an_error_as_the_status_and_a_cancel_by_a_user_as_an_event() {
    // How a stream ends; the status of every span, `kitex.end`, and an event that each has.
    let rows = [
        ("", false, "ok", "first_message"),
        ("biz", false, "error", "first_message"),
        ("fail", true, "error", "exception"),
        ("wait", false, "canceled", "cancel"),
    ];
    for transport in [Transport::TtHeader, Transport::Grpc] {
        for (text, failed, end, event) in rows {
            let stage = Stage::new(transport);
            down(&stage, &Context::background(), text).await;
            let spans = stage.spans().await;
            assert_eq!(spans.len(), 4);
            for span in spans {
                let is_error = matches!(span.status, Status::Error { .. });
                let found = (is_error, &*attribute(&span, "kitex.end"));
                assert_eq!(found, (failed, end), "{transport:?} {text} {span:#?}");
                assert!(events(&span).contains(&event), "{transport:?} {text} {:?}", events(&span));
                assert!(!attribute(&span, "kitex.recv_size").is_empty());
            }
        }
    }
}

#[tokio::test]
async fn telemetry_takes_the_current_span_of_the_same_trace_as_the_parent() {
    let stage = Stage::new(Transport::TtHeader);
    let tracer = stage.provider.tracer("test");
    let outer = opentelemetry::Context::new().with_span(tracer.start("outer"));
    let inner = outer.with_span(tracer.start_with_context("inner", &outer));
    let foreign = opentelemetry::Context::new().with_span(tracer.start("foreign"));
    let ctx = Context::background().with_extension(outer.clone());
    // The current span; that of the parent.
    for (current, parent) in [(&inner, &inner), (&foreign, &outer)] {
        let call = async { stage.client.ping(&ctx, Req::default()).await.unwrap() };
        opentelemetry::context::FutureExt::with_context(call, current.clone()).await;
        let spans = stage.exporter.get_finished_spans().unwrap();
        let mut called = spans.iter().filter(|span| attribute(span, "rpc.service") == "B");
        let last = called.rfind(|span| span.span_kind == SpanKind::Client).unwrap();
        assert_eq!(last.parent_span_id, parent.span().span_context().span_id());
    }
}

#[tokio::test]
async fn telemetry_records_durations_of_both_sides_by_status() {
    let exporter = InMemoryMetricExporter::default();
    let meters =
        SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    let telemetry = Telemetry::builder().meter_provider(&meters).build();
    let network = Network::new();
    let server = Server::builder("B").service(MirrorServer::new(Hop(None))).observer(telemetry.clone());
    let server = network.serve(server).unwrap();
    let client = MirrorClient::new(network.client("B").observer(telemetry).build().unwrap());
    for text in ["", "fail"] {
        let req = Req { msg: Some(text.to_owned().into()), ..Req::default() };
        let mut stream = client.down(&Context::background(), req).await.unwrap();
        while let Ok(Some(_)) = stream.recv().await {}
    }
    server.shutdown().await;
    meters.force_flush().unwrap();
    let text = format!("{:?}", exporter.get_finished_metrics().unwrap());
    for part in ["rpc.server.duration", "rpc.client.duration", "\"Unset\"", "\"Error\"", "TTHeaderStreaming"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
