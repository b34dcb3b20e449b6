//! The gateway for browsers: the page, chats as event streams, OpenAI's chat completions, and the cancellation tree over
//! all services. Owns the routes and what they share; each kind of request has a file of its own.

mod ask;
mod chat;
mod completions;
mod crowd;
mod follow;
mod followed;
mod opened;
mod page;
mod scene;
mod shared;
mod tree;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use kitex::Context;
use kitex_sse::set_lost_peer_timeout;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::followed::Followed;
use self::opened::{Opened, Usual};
use self::shared::{Crowd, Shared};
pub use self::shared::{HttpConfig, Scene};
use crate::next::Next;
use crate::report::Reports;
use crate::service::{AGENT, GATEWAY};
use crate::status;

/// A gateway for browsers.
#[derive(Clone, Debug)]
pub struct HttpGateway(Arc<Shared>);

impl HttpGateway {
    /// Makes a gateway; `reports` gets a report of each chat.
    ///
    /// # Errors
    /// The agent's address is not `host:port`.
    pub fn new(config: HttpConfig, reports: Reports) -> Result<Self, kitex::client::BuildError> {
        let opened = Opened::default();
        let agent = Next::with(GATEWAY, AGENT, &config.agent, |builder| {
            let builder = builder.transport(config.proto.to(AGENT));
            config.telemetry.first_client(builder).observer(opened.clone())
        })?;
        config.telemetry.watch_pool(&agent);
        let (ctx, canceler) = Context::background().with_cancel();
        let permits = Arc::new(Semaphore::new(MAX_CHATS));
        let (followed, crowd, usual) = (Followed::default(), Crowd::default(), Usual::default());
        Ok(Self(Arc::new(Shared {
            agent,
            ctx,
            canceler,
            permits,
            opened,
            reports,
            followed,
            crowd,
            config,
            usual,
        })))
    }

    /// Serves until `stop` is ready, then lets chats go on for `exit_wait`, cancels those that are left, and waits until
    /// their responses have ended.
    ///
    /// # Errors
    /// None so far: a connection that fails is closed.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
        exit_wait: Duration,
    ) -> io::Result<()> {
        let address = listener.local_addr()?;
        let shared = self.0;
        let _following = follow::start(&shared);
        let lost = shared.config.keep_alive;
        let listener = listener.tap_io(move |socket| {
            // A socket that refuses an option is served without it.
            let _ = socket.set_nodelay(true);
            let _ = set_lost_peer_timeout(socket, lost);
        });
        let router = router(&shared, address);
        let ending = shared.clone();
        let stopped = async move {
            stop.await;
            tokio::spawn(async move {
                tokio::time::sleep(exit_wait).await;
                ending.canceler.cancel_with_cause("the gateway is shutting down");
            });
        };
        axum::serve(listener, router).with_graceful_shutdown(stopped).await
    }
}

fn router(shared: &Arc<Shared>, address: SocketAddr) -> Router {
    let of_status = status::router(&shared.reports, Some(shared.config.telemetry.clone()));
    Router::new()
        .route("/", get(page::html))
        .route("/app.js", get(page::script))
        .route("/style.css", get(page::style))
        .route("/chat", get(chat::by_query).post(chat::by_json))
        .route("/v1/chat/completions", post(completions::create))
        .route("/v1/models", get(completions::models))
        .route("/tree", get(tree::watch))
        .route("/scene", get(scene::about))
        .route("/scene/left", get(scene::left))
        .route("/scene/kill/{service}", post(scene::kill))
        .route("/scene/crowd", post(async move |state, json| crowd::start(state, json, address)))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared.clone())
        .merge(of_status)
}

const MAX_CHATS: usize = 1024;
const MAX_BODY: usize = 256 * 1024;
