//! A small HTTP server for operators: the current JSON, each change as a server-sent event, health, and pages of other
//! crates.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use stream_core::guard::{guarded, report};
use tokio::net::TcpListener;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Changes;
use crate::server::Readiness;

/// An HTTP server for operators with its listener: what [`bind`] returns.
///
/// ```
/// use kitex::server::Readiness;
/// use kitex::{Server, inspect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let readiness = Readiness::new();
/// let http = inspect::bind("127.0.0.1:0").await?.readiness(readiness.clone());
/// tokio::spawn(http.page("/version", "text/plain", || "1.2".to_owned()).serve());
///
/// let server = Server::builder("chat").readiness(&readiness).bind("127.0.0.1:0").await?;
/// assert!(readiness.is_ready());
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[must_use = "a server does nothing until it serves"]
pub struct InspectServer {
    listener: TcpListener,
    address: SocketAddr,
    routes: Routes,
}

/// What the paths of one server have.
#[derive(Default)]
struct Routes {
    readiness: Readiness,
    pages: HashMap<String, Page>,
}

/// A page, by the text of its content type and what returns its current content.
struct Page {
    kind: HeaderValue,
    content: Box<dyn Fn() -> String + Send + Sync>,
}

/// Binds an HTTP server of [`to_json`](super::to_json) and health to `host:port`; with port 0 to a free port, which
/// [`InspectServer::local_addr`] returns. Everyone who can connect to the address sees which services call which, so use a
/// loopback address.
///
/// # Errors
/// The system refuses the address.
pub async fn bind(address: &str) -> io::Result<InspectServer> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(InspectServer { listener, address, routes: Routes::default() })
}

impl InspectServer {
    /// Returns the address and port of the listener.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets what `/readyz` reports. Default: always ready.
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.routes.readiness = readiness;
        self
    }

    /// Adds a page at `path`, in place of an earlier one: `content` is called for each request, on a task of its own, and
    /// returns a body of this content type. A content type that is no header value is sent as `text/plain`. A panic of
    /// `content` is responded to with status 500.
    pub fn page(
        mut self,
        path: impl Into<String>,
        content_type: &str,
        content: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let kind = HeaderValue::from_str(content_type).unwrap_or(TEXT);
        self.routes.pages.insert(path.into(), Page { kind, content: Box::new(content) });
        self
    }

    /// Answers requests until the future is dropped:
    ///
    /// | path | response |
    /// |---|---|
    /// | `/`, `/streams` | [`to_json`](super::to_json) |
    /// | `/streams/watch` | server-sent events, each the JSON of [`Changes::take`](super::Changes::take), checked every 100 ms while a client watches |
    /// | `/healthz` | status 200: the process runs |
    /// | `/readyz` | status 200 if the [`readiness`](Self::readiness) is, or else 503 |
    /// | a [`page`](Self::page) | its content |
    ///
    /// and to any other path with status 404.
    pub async fn serve(self) {
        let routes = Arc::new(self.routes);
        loop {
            let Ok((socket, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely: some may be free soon.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let routes = routes.clone();
            let respond = service_fn(move |request| {
                let response = routes.respond(&request);
                async { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(socket), respond),
            );
        }
    }
}

type Body = Either<Full<Bytes>, StreamBody<Events>>;

impl Routes {
    fn respond(&self, request: &Request<Incoming>) -> Response<Body> {
        let full = |text: String| Either::Left(Full::from(text));
        let (status, kind, body) = match request.uri().path() {
            path if self.pages.contains_key(path) => match self.pages.get(path).map(Page::render) {
                Some(Ok((kind, text))) => (StatusCode::OK, kind, full(text)),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, full("the page panicked\n".to_owned())),
            },
            "/" | "/streams" => (StatusCode::OK, JSON, full(super::to_json().to_string())),
            "/streams/watch" => (StatusCode::OK, EVENTS, Either::Right(StreamBody::new(Events::new()))),
            "/healthz" => (StatusCode::OK, TEXT, full("ok\n".to_owned())),
            "/readyz" => match self.readiness.is_ready() {
                true => (StatusCode::OK, TEXT, full("ready\n".to_owned())),
                false => (StatusCode::SERVICE_UNAVAILABLE, TEXT, full("not ready\n".to_owned())),
            },
            _ => (StatusCode::NOT_FOUND, TEXT, full("no such page\n".to_owned())),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

impl Page {
    /// Returns the content type and the content.
    ///
    /// # Errors
    /// The text of a panic.
    fn render(&self) -> Result<(HeaderValue, String), String> {
        guarded(|| (self.content)())
            .inspect_err(|text| report("a page", text))
            .map(|text| (self.kind.clone(), text))
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

impl fmt::Debug for InspectServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages: Vec<&String> = self.routes.pages.keys().collect();
        f.debug_struct("InspectServer").field("address", &self.address).field("pages", &pages).finish()
    }
}

/// Changes as server-sent events, with a comment where there is none for a while: a watcher that is gone is noticed
/// when something is written to it.
struct Events {
    changes: Changes,
    ticks: Interval,
    quiet: u32,
}

impl Events {
    fn new() -> Self {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { changes: Changes::new(), ticks, quiet: 0 }
    }
}

impl Stream for Events {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.ticks.poll_tick(cx));
            self.quiet = self.quiet.saturating_add(1);
            let text = match self.changes.take() {
                Some(change) => format!("data: {change}\n\n"),
                None if self.quiet >= TICKS_OF_KEEP_ALIVE => ":\n\n".to_owned(),
                None => continue,
            };
            self.quiet = 0;
            return Poll::Ready(Some(Ok(Frame::data(text.into()))));
        }
    }
}

const PAUSE: Duration = Duration::from_millis(100);
const TICKS_OF_KEEP_ALIVE: u32 = 150;
