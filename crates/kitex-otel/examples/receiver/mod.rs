//! A receiver of OTLP over HTTP, as a collector is one: keeps the spans that it is sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use tokio::net::TcpListener;

/// A span as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `service.name` of its resource.
    pub(crate) service: String,
    pub(crate) name: String,
    /// 2: server, 3: client.
    pub(crate) kind: i32,
    pub(crate) trace: Vec<u8>,
    pub(crate) span: Vec<u8>,
    /// Empty at the root.
    pub(crate) parent: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Name and attributes.
    pub(crate) events: Vec<(String, BTreeMap<String, String>)>,
    /// 0: unset, 2: error.
    pub(crate) status: i32,
}

/// The receiver. Clones are the same.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    spans: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Listens on a free port, and receives until the runtime ends.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self { address: listener.local_addr()?, spans: Arc::default() };
        let of_task = receiver.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let receiver = of_task.clone();
                let receive = service_fn(move |request| {
                    let receiver = receiver.clone();
                    async move { Ok::<_, Infallible>(receiver.receive(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), receive));
            }
        });
        Ok(receiver)
    }

    /// Returns what was received so far.
    pub(crate) fn spans(&self) -> Vec<Received> {
        self.spans.lock().unwrap().clone()
    }

    async fn receive(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        assert_eq!(request.uri().path(), "/v1/traces");
        let body = request.into_body().collect().await.expect("the exporter sends it all").to_bytes();
        let export = ExportTraceServiceRequest::decode(body).expect("it is OTLP");
        self.spans.lock().unwrap().extend(export.resource_spans.iter().flat_map(received));
        Response::new(Full::default())
    }
}

fn received(from: &ResourceSpans) -> Vec<Received> {
    let resource =
        from.resource.as_ref().map(|resource| attributes(&resource.attributes)).unwrap_or_default();
    let service = resource.get("service.name").cloned().unwrap_or_default();
    let spans = from.scope_spans.iter().flat_map(|scope| &scope.spans);
    spans.map(|span| received_span(service.clone(), span)).collect()
}

fn received_span(service: String, span: &Span) -> Received {
    let events = span.events.iter().map(|event| (event.name.clone(), attributes(&event.attributes)));
    Received {
        service,
        name: span.name.clone(),
        kind: span.kind,
        trace: span.trace_id.clone(),
        span: span.span_id.clone(),
        parent: span.parent_span_id.clone(),
        attributes: attributes(&span.attributes),
        events: events.collect(),
        status: span.status.as_ref().map_or(0, |status| status.code),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}
