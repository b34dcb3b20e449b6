//! Streams that are canceled as soon as they are opened, many at once: they end alone.

use kitex::Context;

use crate::fixture::{Handlers, Peer, ended, req, soon};

#[tokio::test]
async fn cancel_of_many_new_streams_ends_no_other_stream() {
    for max in [2, 8, 1024] {
        let what = format!("{max} streams");
        let peer = Peer::with(Handlers::default(), |server| server.max_concurrent_streams(max)).await;
        let client = peer.client();
        let mut neighbour = soon(client.bidi(&Context::background())).await.unwrap();
        soon(neighbour.send(&req("", 1))).await.unwrap();
        assert!(soon(neighbour.recv()).await.unwrap().is_some(), "{what}");
        for round in 0..3 {
            // More than may be open at once, without waiting for the server.
            for _ in 0..max.min(100) * 2 + 10 {
                let (ctx, canceler) = Context::background().with_cancel();
                let stream = soon(client.bidi(&ctx)).await;
                canceler.cancel();
                drop(stream);
            }
            soon(neighbour.send(&req("", round))).await.unwrap();
            let received = soon(neighbour.recv()).await;
            assert_eq!(ended(&received), "ok", "{what}, round {round}");
        }
        assert_eq!(client.as_ref().pool_stats().dials, 1, "{what}");
    }
}
