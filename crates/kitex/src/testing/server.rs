//! A server that runs on a task until it is shut down.

use stream_core::handler::ServerHandle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::server::Server;

/// A server on a [`Network`](super::Network). Dropping it leaves the server running until the runtime ends.
#[derive(Debug)]
pub struct TestServer {
    handle: ServerHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl TestServer {
    pub(super) fn spawn(server: Server) -> Self {
        let handle = server.handle();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve_until(async {
            // A dropped handle does not stop the server.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { handle, stop, task }
    }

    /// Returns a handle to the server: see [`Server::handle`](crate::Server::handle).
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Shuts the server down gracefully, and waits until nothing is left, as
    /// [`Server::serve_until`](crate::Server::serve_until) does.
    pub async fn shutdown(self) {
        // The task ends early only if the runtime does.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}
