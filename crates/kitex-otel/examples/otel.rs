//! One trace over two services, exported by OTLP over HTTP to a receiver in this program.
//! `cargo run -p kitex-otel --example otel`

#[rustfmt::skip]
#[path = "../../kitex/examples/generated/echo.rs"]
mod generated;
#[allow(dead_code, reason = "tests use the rest")]
mod receiver;

use std::time::Duration;

use generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
use kitex::{Client, Context, Result, Server, ServerStreamingServer};
use kitex_otel::Telemetry;
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use receiver::{Received, Receiver};

/// The agent asks the model; the model sends tokens for as long as its client reads.
struct Hop(Option<MirrorClient>);

#[kitex::async_trait]
impl Mirror for Hop {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
        Ok(Resp { msg: req.msg, ..Resp::default() })
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let Some(next) = &self.0 else {
            for seq in 0.. {
                stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            return Ok(());
        };
        let mut below = next.down(&ctx, req).await?;
        while let Some(token) = below.recv().await? {
            stream.send(&token).await?;
        }
        Ok(())
    }
}

/// Spans of one service, exported in batches by a thread.
fn provider(service: &'static str, receiver: &Receiver) -> SdkTracerProvider {
    let endpoint = format!("http://{}/v1/traces", receiver.address);
    let exporter =
        SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(endpoint);
    let exporter = exporter.build().expect("the endpoint is an address");
    let resource = Resource::builder_empty().with_service_name(service).build();
    SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let receiver = Receiver::start().await?;
    // Building a blocking HTTP client is blocking work too.
    let of = receiver.clone();
    let providers =
        tokio::task::spawn_blocking(move || ["user", "agent", "model"].map(|name| provider(name, &of)))
            .await?;
    let [user, agent, model] = &providers;
    let telemetry = |provider: &SdkTracerProvider| {
        Telemetry::builder().tracer_provider(provider).namespace("shop").environment("test").build()
    };

    let server = Server::builder("model").service(MirrorServer::new(Hop(None))).observer(telemetry(model));
    let server = server.bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let of_agent = telemetry(agent);
    let to_model = Client::builder("model").address(address).observer(of_agent.clone()).build()?;
    let hop = Hop(Some(MirrorClient::new(to_model)));
    let server = Server::builder("agent").service(MirrorServer::new(hop)).observer(of_agent);
    let server = server.bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let client =
        Client::builder("agent").caller("user").address(address).observer(telemetry(user)).build()?;

    // A span of the program's own, as the root of the trace.
    let tracer = user.tracer("example");
    let root = opentelemetry::Context::new().with_span(tracer.start("question"));
    let ctx = Context::background().with_extension(root.clone());
    let mut stream = MirrorClient::new(client).down(&ctx, Req::default()).await?;
    for _ in 0..3 {
        stream.recv().await?;
    }
    // The user has read enough.
    drop(stream);
    root.span().end();

    let spans = wait_for(&receiver, &providers, 5).await?;
    for span in &spans {
        println!(
            "{:6} {:12} kind {} status {} {:?}",
            span.service, span.name, span.kind, span.status, span.attributes
        );
    }
    check(&spans);
    println!("otel: all as expected");
    Ok(())
}

/// Flushes until this many spans were received.
async fn wait_for(
    receiver: &Receiver,
    providers: &[SdkTracerProvider; 3],
    count: usize,
) -> std::result::Result<Vec<Received>, Box<dyn std::error::Error>> {
    loop {
        let flushed = providers.clone();
        tokio::task::spawn_blocking(move || flushed.iter().try_for_each(SdkTracerProvider::force_flush))
            .await??;
        let spans = receiver.spans();
        if spans.len() >= count {
            return Ok(spans);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each span is below the one before, all are of one trace, and the cancel is an event but no error.
fn check(spans: &[Received]) {
    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;
    let find = |service: &str, kind| spans.iter().find(|span| (&*span.service, span.kind) == (service, kind));
    let root = spans.iter().find(|span| span.name == "question").expect("the root");
    let mut above = root;
    for (service, kind) in [("user", CLIENT), ("agent", SERVER), ("agent", CLIENT), ("model", SERVER)] {
        let span = find(service, kind).expect("a span of each side of each hop");
        assert_eq!((&span.trace, &span.parent), (&root.trace, &above.span), "{span:?}");
        assert!(span.name.ends_with("Mirror/Down") && span.status == 0, "{span:?}");
        assert_eq!(span.attributes["kitex.end"], "canceled");
        let events: Vec<&str> = span.events.iter().map(|(name, _)| &**name).collect();
        assert!(events.contains(&"first_message") && events.contains(&"cancel"), "{events:?}");
        above = span;
    }
    let (_, cancel) = above.events.iter().find(|(name, _)| name == "cancel").expect("it was canceled");
    assert_eq!(cancel["path"], "user,agent");
    assert_eq!(above.attributes["peer.service"], "agent");
    assert_eq!(above.attributes["peer.service.namespace"], "shop");
}
