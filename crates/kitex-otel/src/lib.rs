//! OpenTelemetry traces and durations of Kitex calls and streams. Spans have the names, kinds and attributes of Kitex's
//! `obs-opentelemetry` v0.3.0, and one trace passes through Kitex and Rust services over TTHeader Streaming, ping-pong calls
//! and gRPC.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../kitex/examples/generated/echo.rs"));
//! use echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
//! use kitex::testing::Network;
//! use kitex::{Context, Result, Server, ServerStreamingServer};
//! use kitex_otel::Telemetry;
//! use opentelemetry::trace::TraceContextExt;
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//!
//! struct Agent;
//!
//! #[kitex::async_trait]
//! impl Mirror for Agent {
//!     async fn ping(&self, ctx: Context, req: Req) -> Result<Resp> {
//!         // The span of this call, as the parent of spans of your own.
//!         let span = ctx.extension::<opentelemetry::Context>().cloned().unwrap_or_default();
//!         span.span().add_event("thinking", Vec::new());
//!         Ok(Resp { msg: req.msg, ..Resp::default() })
//!     }
//!
//!     async fn down(&self, _: Context, _: Req, _: ServerStreamingServer<Resp>) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//!     // With an exporter: `.with_batch_exporter(...)`; see the example `otel`.
//!     let provider = SdkTracerProvider::builder().build();
//!     let telemetry = Telemetry::builder().tracer_provider(&provider).namespace("shop").build();
//!     let network = Network::new();
//!     let server = Server::builder("agent").service(MirrorServer::new(Agent)).observer(telemetry.clone());
//!     let server = network.serve(server)?;
//!     let client = network.client("agent").caller("gateway").observer(telemetry).build()?;
//!     MirrorClient::new(client).ping(&Context::background(), Req::default()).await?;
//!     server.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! | what | value |
//! |---|---|
//! | span name, kind | `package.Service/Method` by their names in the IDL, without the package at servers of TTHeader Streaming, which does not carry it; client, server |
//! | attributes | `rpc.system` = `kitex`, `rpc.service` (the called service), `rpc.method`, `request.protocol`, `kitex.recv_size`, `kitex.send_size`; at a server `peer.service`, `peer.service.namespace`, `peer.deployment.environment` |
//! | attribute `kitex.end` | `ok`, `error`, `canceled` |
//! | events | `client_conn_start`, `client_conn_finish`, `server_handle_start`, `server_handle_finish`, `exception`, as Kitex's; `first_message`; `cancel` with `code`, `path`, `cause` |
//! | status | Error with the error's text. A cancel by a user (`Error::is_user_cancel`) and a business error leave it unset |
//! | metrics | `rpc.server.duration`, `rpc.client.duration`: histograms in ms, with the attributes of the span and `status.code` |
//! | context on the wire | transient metainfo: `traceparent`, `tracestate`, `baggage`; of the caller `service.name`, `service.namespace`, `deployment.environment` |
//!
//! - The span of a call is in the extensions of the handler's context, as an `opentelemetry::Context`: calls of the handler
//!   are below it. A client's span is below the current span of its thread, if that is of the same trace.
//! - To make a call part of a trace outside of handlers: `ctx.with_extension(opentelemetry_context)`.
//! - A service without telemetry passes the trace on; its calls are then below the span of its caller's call.
//! - A span whose trace is not sampled is passed on too; Kitex's middleware drops it.
//! - This crate needs no exporter and installs none. Its version follows `opentelemetry`'s, which breaks often.

mod call;
mod carrier;
mod durations;
mod names;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::Side;
use opentelemetry::global::{BoxedTracer, ObjectSafeTracerProvider};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use stream_core::observe::{CallObserver, CallStart, Observer};

use call::CallSpan;
use carrier::{Received, Sent};
use durations::Durations;

/// The library whose types are in this interface.
#[doc(no_inline)]
pub use opentelemetry;

/// A span and a duration of each call of any number of clients and servers: an [`Observer`] of both. Clones are the same.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    tracer: BoxedTracer,
    propagator: Box<dyn TextMapPropagator + Send + Sync>,
    durations: Arc<Durations>,
    /// What a client says of its service, besides its name.
    about: Vec<(&'static str, Bytes)>,
}

/// Builds [`Telemetry`].
#[must_use = "a builder does nothing until it builds"]
pub struct TelemetryBuilder {
    tracer: BoxedTracer,
    durations: Durations,
    propagator: Box<dyn TextMapPropagator + Send + Sync>,
    about: Vec<(&'static str, Bytes)>,
}

impl Telemetry {
    /// Returns telemetry of the process's global providers, as they are now.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder of telemetry.
    pub fn builder() -> TelemetryBuilder {
        TelemetryBuilder {
            tracer: global::tracer_with_scope(scope()),
            durations: Durations::new(&*global::meter_provider(), scope()),
            propagator: Box::new(TextMapCompositePropagator::new(vec![
                Box::new(TraceContextPropagator::new()),
                Box::new(BaggagePropagator::new()),
            ])),
            about: Vec::new(),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("kitex-otel").with_version(env!("CARGO_PKG_VERSION")).build()
}

impl TelemetryBuilder {
    /// Sets the provider of the tracer. Default: the global one.
    pub fn tracer_provider(mut self, provider: &dyn ObjectSafeTracerProvider) -> Self {
        self.tracer = BoxedTracer::new(provider.boxed_tracer(scope()));
        self
    }

    /// Sets the provider of the meter for `rpc.server.duration` and `rpc.client.duration`. Default: the global one.
    pub fn meter_provider(mut self, provider: &dyn MeterProvider) -> Self {
        self.durations = Durations::new(provider, scope());
        self
    }

    /// Sets the propagator, which reads and writes the transient metainfo of each call. Default: W3C Trace Context and
    /// Baggage, which Kitex's provider has by default too.
    pub fn propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.propagator = Box::new(propagator);
        self
    }

    /// Sets the namespace of this process's services, which clients send as `service.namespace`. Default: none.
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        self.about("service.namespace", namespace.into())
    }

    /// Sets the environment of this process, which clients send as `deployment.environment`. Default: none.
    pub fn environment(self, environment: impl Into<String>) -> Self {
        self.about("deployment.environment", environment.into())
    }

    fn about(mut self, key: &'static str, value: String) -> Self {
        self.about.push((key, value.into()));
        self
    }

    /// Returns the telemetry.
    pub fn build(self) -> Telemetry {
        let Self { tracer, durations, propagator, about } = self;
        Telemetry(Arc::new(Inner { tracer, propagator, durations: Arc::new(durations), about }))
    }
}

impl Inner {
    /// Returns the context that a client's span is below: the current one if it belongs to the trace of the call's
    /// context, or else that of the call's context, or else what the handler's caller sent to a server without telemetry.
    fn client_parent(&self, call: &CallStart<'_>) -> Context {
        let current = Context::current();
        let trace = |context: &Context| context.span().span_context().trace_id();
        match call.extensions.get::<Context>() {
            Some(of_call) if current.has_active_span() && trace(&current) == trace(of_call) => current,
            Some(of_call) => of_call.clone(),
            None if current.has_active_span() => current,
            None => self.propagator.extract_with_context(&current, &Received(call.metainfo)),
        }
    }

    fn start_client(&self, call: &mut CallStart<'_>) -> (Context, Vec<KeyValue>) {
        let attributes = attributes(call);
        let context = self.start(SpanKind::Client, call, &self.client_parent(call), &attributes);
        let mut sent = Sent(call.metainfo);
        self.propagator.inject_context(&context, &mut sent);
        let name = call.caller.as_deref().map(|name| ("service.name", name.to_owned().into()));
        for (key, value) in self.about.iter().cloned().chain(name) {
            call.metainfo.set_transient(key, value);
        }
        (context, attributes)
    }

    fn start_server(&self, call: &mut CallStart<'_>) -> (Context, Vec<KeyValue>) {
        let parent = self.propagator.extract_with_context(&Context::new(), &Received(call.metainfo));
        let mut attributes = attributes(call);
        let peer = |(key, attribute): (&str, &'static str)| {
            let value = String::from_utf8_lossy(call.metainfo.transient_folded(key)?).into_owned();
            Some(KeyValue::new(attribute, value))
        };
        attributes.extend(names::PEER.into_iter().filter_map(peer));
        let context = self.start(SpanKind::Server, call, &parent, &attributes);
        // Calls of the handler are below this span, even by a client without telemetry.
        self.propagator.inject_context(&context, &mut Sent(call.metainfo));
        call.extensions.insert(context.clone());
        (context, attributes)
    }

    fn start(
        &self,
        kind: SpanKind,
        call: &CallStart<'_>,
        parent: &Context,
        attributes: &[KeyValue],
    ) -> Context {
        let name = span_name(call);
        let builder =
            self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes.iter().cloned());
        parent.with_span(self.tracer.build_with_context(builder, parent))
    }
}

/// Returns the name that Kitex gives the span: with the package where it knows it, which a server of TTHeader Streaming does
/// not.
fn span_name(call: &CallStart<'_>) -> String {
    let (service, name) = &call.names;
    match call.method {
        Some(method)
            if !method.package().is_empty()
                && (call.side == Side::Client || call.protocol != "TTHeaderStreaming") =>
        {
            format!("{}.{service}/{name}", method.package())
        }
        Some(_) => format!("{service}/{name}"),
        // A name that a peer has made up is no name of spans.
        None => "unknown".to_owned(),
    }
}

/// Returns the attributes that spans and metrics of both sides have.
fn attributes(call: &CallStart<'_>) -> Vec<KeyValue> {
    let method = call.method.map_or(Cow::Borrowed("unknown"), |method| method.name().to_owned().into());
    vec![
        KeyValue::new(names::SYSTEM, "kitex"),
        KeyValue::new(names::SERVICE, call.callee.clone().into_owned()),
        KeyValue::new(names::METHOD, method),
        KeyValue::new(names::PROTOCOL, call.protocol),
    ]
}

impl Observer for Telemetry {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        let inner = &*self.0;
        let (context, attributes) = match call.side {
            Side::Client => inner.start_client(call),
            Side::Server => inner.start_server(call),
        };
        Some(Box::new(CallSpan::start(call.side, context, inner.durations.clone(), attributes)))
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl fmt::Debug for TelemetryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryBuilder").finish_non_exhaustive()
    }
}
