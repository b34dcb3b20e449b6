//! HTTP requests to services of the chain, and event streams from them. Owns the client; knows nothing of what is
//! read.

use reqwest::{Client, Response};

use crate::model::sse::Events;

/// Returns a client for plain HTTP without proxies, whose connections are not kept.
pub(crate) fn client() -> Client {
    // reqwest has no cipher suite of its own here. Whoever installed another one first may keep it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().pool_max_idle_per_host(0).tls_certs_only([]);
    builder.build().unwrap_or_default()
}

/// Gives the data of each event of a response to `event`, until its end or an error.
pub(crate) async fn each_event(mut response: Response, mut event: impl FnMut(&[u8])) {
    let mut events = Events::default();
    while let Ok(Some(bytes)) = response.chunk().await {
        events.feed(bytes);
        while let Ok(Some(data)) = events.next_event() {
            event(&data);
        }
    }
}
