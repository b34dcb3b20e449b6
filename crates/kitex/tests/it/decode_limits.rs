//! `decode_limits` of both builders.

use kitex::{Context, Limits};

use crate::fixture::{Handlers, Peer, req, soon};

/// Nothing nests below a struct, and nothing but strings and binaries takes memory.
const FLAT: Limits = Limits::new().depth(0);

#[tokio::test]
async fn decode_limits_bound_requests_and_responses() {
    let ctx = Context::background();
    let strict = Peer::with(Handlers::default(), |server| server.decode_limits(FLAT)).await;
    let lax = Peer::start(Handlers::default()).await;
    // Whose limits, and whether a stream and a ping-pong call pass.
    let rows = [
        ("no limits of their own", lax.client(), true),
        ("a server's", strict.client(), false),
        ("a client's", lax.client_with(|client| client.decode_limits(FLAT)), false),
        ("wide ones", lax.client_with(|client| client.decode_limits(Limits::new().depth(8))), true),
    ];
    for (whose, client, passes) in rows {
        let mut down = client.down(&ctx, req("down", 1)).await.unwrap();
        let received = soon(down.recv()).await;
        assert_eq!(received.is_ok(), passes, "{whose}, a stream: {received:?}");
        let unary = soon(client.unary(&ctx, req("unary", 1))).await;
        assert_eq!(unary.is_ok(), passes, "{whose}, a call: {unary:?}");
        if let Err(error) = received {
            assert!(error.to_string().contains("deep"), "{whose}: {error}");
        }
    }
}

/// Each limit alone, of either side.
#[tokio::test]
async fn decode_limits_of_depth_and_memory_count_what_a_message_nests() {
    // A limit, and whether the message is accepted. It has strings only, which take no memory of their own.
    let rows = [
        ("depth", Limits::new().depth(0), false),
        ("no memory", Limits::new().expansion(0).allowance(0), true),
        ("two levels", Limits::new().depth(2), true),
    ];
    let ctx = Context::background();
    for (what, limits, passes) in rows {
        let strict = Peer::with(Handlers::default(), |server| server.decode_limits(limits)).await;
        let lax = Peer::start(Handlers::default()).await;
        let of_server = strict.client();
        let of_client = lax.client_with(|client| client.decode_limits(limits));
        for (whose, client) in [("a server's", of_server), ("a client's", of_client)] {
            let what = format!("{whose} {what}");
            let unary = soon(client.unary(&ctx, req("unary", 1))).await;
            assert_eq!(unary.is_ok(), passes, "{what}: {unary:?}");
            let mut bidi = client.bidi(&ctx).await.unwrap();
            soon(bidi.send(&req("bidi", 1))).await.unwrap();
            let received = soon(bidi.recv()).await;
            assert_eq!(received.is_ok(), passes, "{what}: {received:?}");
        }
    }
}
