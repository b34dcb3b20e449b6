//! Names of services and addresses that a peer claims: whatever they say, the same is served, refused and shown to handlers.

use kitex::Context;
use kitex::bytes::BytesMut;
use kitex::client::{Retry, Transport};
use ttheader_codec::FrameType::{Data, Header, Rst};
use ttheader_codec::{Head, encode_header, key};

use crate::fixture::{Handlers, Peer, Reporter, Wire, answer, ended, reports, req, soon};

/// Echoes, and reports the address that the context has of the caller.
fn handlers(reporter: Reporter<String>) -> Handlers {
    Handlers::default().bidi(move |ctx, mut stream| {
        let peer = ctx.peer().map(ToString::to_string).unwrap_or_default();
        reporter.send(peer.split(':').next().unwrap_or_default().to_owned());
        async move {
            while let Some(req) = stream.recv().await? {
                stream.send(&answer(req)).await?;
            }
            Ok(())
        }
    })
}

type Pairs = &'static [(&'static [u8], &'static [u8])];

/// What a header claims: the name of the calling service and its method, and strings.
const CLAIMS: &[(&str, &str, Pairs)] = &[
    ("nothing", "", &[]),
    ("the server's own name", "ServiceB", &[]),
    ("the name of another", "admin", &[(b"RPC_PERSIST_source-service", b"admin")]),
    ("an address", "ServiceA", &[(key::REMOTE_ADDR, b"10.9.8.7:1")]),
    ("a token", "ServiceA", &[(key::ACL_TOKEN, b"let me in")]),
    ("a name that is text for a log", "a\nServiceB: b", &[(key::REMOTE_ADDR, b"\x1b[31m")]),
];

#[tokio::test]
async fn claimed_names_and_addresses_of_frames_decide_nothing() {
    for (claim, from, strings) in CLAIMS {
        let (reporter, mut reported) = reports();
        let peer = Peer::with(handlers(reporter), |server| server.max_concurrent_streams(2)).await;
        let mut wire = Wire::dial(&peer.address).await;
        for id in 1..=3 {
            let strings = strings.iter().copied().chain([(key::IDL_SERVICE, &b"Echo"[..])]);
            let ints = [
                (key::FRAME_TYPE, Header.as_bytes()),
                (key::FROM_SERVICE, from.as_bytes()),
                (key::FROM_METHOD, from.as_bytes()),
                (key::TO_METHOD, &b"Bidi"[..]),
            ];
            let mut frame = BytesMut::new();
            encode_header(&mut frame, Head::streaming(id), strings, ints, 0).unwrap();
            wire.bytes(&frame).await;
        }
        let refused = wire.next_of(Rst).await;
        assert_eq!((refused.id, refused.error().0), (3, 12900), "{claim}");
        for id in 1..=2 {
            wire.message(id, &req("", 0)).await;
            assert_eq!(wire.next_of(Data).await.id, id, "{claim}");
            assert_eq!(reported.next().await, "127.0.0.1", "{claim}");
        }
    }
}

#[tokio::test]
async fn claimed_names_of_clients_decide_nothing() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        for claim in ["", "ServiceB", "admin"] {
            let (reporter, mut reported) = reports();
            let peer = Peer::with(handlers(reporter), |server| server.max_handlers(1)).await;
            let client = peer.client_with(|client| {
                let client = client.transport(transport).retry(Retry::none());
                if claim.is_empty() { client } else { client.caller(claim) }
            });
            let ctx = Context::background().with_persistent("source-service", "admin");
            let mut first = client.bidi(&ctx).await.unwrap();
            first.send(&req("", 1)).await.unwrap();
            assert_eq!(soon(first.recv()).await.unwrap().unwrap().seq, Some(1), "{transport:?} {claim}");
            assert_eq!(reported.next().await, "127.0.0.1", "{transport:?} {claim}");
            let mut second = client.bidi(&ctx).await.unwrap();
            assert_eq!(ended(&soon(second.recv()).await), "12900 client", "{transport:?} {claim}");
        }
    }
}
