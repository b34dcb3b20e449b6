//! No value of metainfo, a header or a trailer, no token and no payload is shown in `Debug` or in a log at the most verbose
//! level.

use std::sync::Arc;

use kitex::bytes::Bytes;
use kitex::{
    BizStatusError, Call, Context, Error, Metadata, Method, Response, Result, Server, Service, inspect,
};
use tokio::net::TcpListener;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use ttheader_codec::FrameType::{Data, Header, Rst, Trailer};
use ttheader_codec::key;

use crate::fixture::by;
use crate::fixture::echo::EchoServer;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{
    EchoClient, Handlers, Log, Peer, Reporter, Req, Wire, answer, builder, ended, odd_frame, reports, req,
    resp, soon,
};

/// Part of every secret value.
const SECRET: &str = "hush-hush";

fn check(what: &str, shown: &str) {
    let bytes: Vec<String> = SECRET.bytes().map(|byte| byte.to_string()).collect();
    assert!(!shown.contains(SECRET) && !shown.contains(&bytes.join(", ")), "{what} shows it: {shown}");
}

fn secret_req() -> Req {
    Req { payload: Some(Bytes::from_static(SECRET.as_bytes())), ..req(SECRET, 0) }
}

fn secret_context() -> Context {
    Context::background()
        .with_backward()
        .with_persistent("pk", SECRET)
        .with_transient("tk", SECRET)
        // Sent in a block of its own.
        .with_transient("gdpr-token", SECRET)
}

/// Logs each call and its response.
struct Shown(Arc<dyn Service>, Reporter<(&'static str, String)>);

#[kitex::async_trait]
impl Service for Shown {
    fn methods(&self) -> &[Method] {
        self.0.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        self.1.send(("call", format!("{call:?}")));
        let answer = self.0.call(call).await;
        self.1.send(("response", format!("{answer:?}")));
        answer
    }
}

/// Handlers that respond with secrets, and fail.
fn handlers(reporter: Reporter<(&'static str, String)>) -> Handlers {
    Handlers::default()
        .bidi(move |ctx, mut stream| {
            let reporter = reporter.clone();
            async move {
                stream.set_header("hk", SECRET)?;
                stream.set_trailer("tk", SECRET);
                ctx.send_backward("bk", SECRET);
                reporter.send(("handler", format!("{ctx:?} {:?} {stream:?}", ctx.metadata())));
                while let Some(req) = stream.recv().await? {
                    stream.send(&answer(req)).await?;
                }
                Err(Error::other("failed"))
            }
        })
        .unary(|ctx, req| async move {
            ctx.send_backward("bk", SECRET);
            if req.seq == Some(0) { Ok(answer(req)) } else { Err(BizStatusError::new(404, "no").into()) }
        })
}

#[tokio::test]
async fn debug_shows_no_value_and_no_payload() {
    if of_ttheader_alone("metainfo that is sent back") {
        return;
    }
    let (reporter, mut reported) = reports();
    let (of_layer, layered) = (reporter.clone(), move |service| Shown(service, reporter.clone()));
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers(of_layer)));
    let server = server.layer(tower_layer::layer_fn(layered));
    check("builder", &format!("{server:?}"));
    let peer = Peer::bind(server, "127.0.0.1:0").await;
    let client =
        peer.raw_client(|client| client).with_options(|options| options.headers.insert("ok", SECRET));
    check("client", &format!("{client:?}"));
    let echo = EchoClient::new(client.clone());
    let ctx = secret_context();
    check("context", &format!("{ctx:?}"));

    assert_eq!(soon(echo.unary(&ctx, secret_req())).await.unwrap().msg.unwrap(), SECRET);
    assert!(soon(echo.unary(&ctx, Req { seq: Some(1), ..secret_req() })).await.is_err());
    assert_eq!(ctx.backward("bk").unwrap(), SECRET);
    check("context with what came back", &format!("{ctx:?}"));

    let mut bidi = echo.bidi(&ctx).await.unwrap();
    bidi.send(&secret_req()).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().msg.unwrap(), SECRET);
    let header = soon(bidi.header()).await.unwrap();
    assert_eq!(header.get("hk").unwrap(), SECRET);
    bidi.send(&secret_req()).await.unwrap();
    check("header and stream", &format!("{header:?} {bidi:?}"));
    check("tree", &format!("{:?} {}", inspect::tree(), inspect::to_json()));
    bidi.close_send();
    while soon(bidi.recv()).await.is_ok() {}
    let trailer = bidi.trailer().unwrap();
    assert_eq!(trailer.get("tk").unwrap(), SECRET);
    check("trailer and error", &format!("{trailer:?} {:?}", soon(bidi.recv()).await.map(drop)));
    check("halves", &format!("{:?}", bidi.split()));
    // Two calls, and a stream whose handler logs what it received.
    for _ in 0..7 {
        let (what, shown) = reported.next().await;
        check(what, &shown);
    }
}

/// Everything runs on the thread of this test, so the log is complete and of this test only.
#[tokio::test(flavor = "current_thread")]
async fn a_log_shows_no_value_and_no_payload() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    let (log, _logging) = Log::record(LevelFilter::TRACE, FmtSpan::FULL);
    let (reporter, _reported) = reports();
    let peer = Peer::start(handlers(reporter)).await;
    fail_and_cancel(&peer).await;
    break_the_protocol(&peer).await;
    be_broken().await;
    peer.shut_down().await;

    let text = log.text();
    check("log", &text);
    for word in [
        "protocol violation by the peer",
        "speaks none of",
        "code=12007",
        "service=Echo",
        "method=Bidi",
        "path=ServiceA",
    ] {
        assert!(text.contains(word), "the log is on, and says {word}: {text}");
    }
}

async fn fail_and_cancel(peer: &Peer) {
    let (client, ctx) = (peer.client(), secret_context());
    for cancel in [false, true] {
        let (ctx, canceler) = ctx.with_cancel();
        let mut bidi = client.bidi(&ctx).await.unwrap();
        bidi.send(&secret_req()).await.unwrap();
        soon(bidi.recv()).await.unwrap().unwrap();
        if cancel {
            canceler.cancel();
        } else {
            bidi.close_send();
        }
        let end = ended(&soon(bidi.recv()).await);
        assert_eq!(end, if cancel { "12007 client" } else { by("12001 client", "grpc 13") });
    }
    for seq in 0..2 {
        let _ = soon(client.unary(&ctx, Req { seq: Some(seq), ..secret_req() })).await;
    }
}

/// Headers, messages and ends with secrets, of a peer that then sends invalid bytes.
async fn break_the_protocol(peer: &Peer) {
    let secret = SECRET.as_bytes();
    let strings: [(&[u8], &[u8]); 3] =
        [(key::IDL_SERVICE, b"Echo"), (key::ACL_TOKEN, secret), (b"RPC_PERSIST_pk", secret)];
    let odd = odd_frame(1, Some(b"9"), secret);
    let mut cut = odd_frame(1, Some(secret), secret);
    cut[17] = 0xff;
    for last in [&odd[..], &cut, secret, &[secret; 9].concat()] {
        let mut wire = Wire::dial(&peer.address).await;
        wire.frame_of(1, "Bidi", Header, &strings, b"").await;
        wire.message(1, &secret_req()).await;
        wire.next_of(Data).await;
        wire.frame(1, Data, &[], secret).await;
        wire.frame(2, Trailer, &strings, secret).await;
        wire.bytes(last).await;
        wire.close().await;
        assert!(wire.is_closed_by_peer().await);
    }
    let (http, http2) =
        (format!("GET /?token={SECRET} HTTP/1.1\r\n\r\n"), format!("PRI * HTTP/2.0 {SECRET}"));
    let call = [&[0, 0, 1, 0, 0x80, 1, 0, 1, 0, 0, 0, 9][..], secret, secret].concat();
    for bytes in [http.as_bytes(), http2.as_bytes(), &call] {
        let mut wire = Wire::dial(&peer.address).await;
        wire.bytes(bytes).await;
        wire.close().await;
        assert!(wire.is_closed_by_peer().await);
    }
}

/// The same for a server.
async fn be_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = EchoClient::new(builder(&listener.local_addr().unwrap().to_string()).build().unwrap());
    for kind in [Data, Trailer, Rst] {
        let mut bidi = client.bidi(&secret_context()).await.unwrap();
        bidi.send(&secret_req()).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        wire.next_of(Data).await;
        wire.frame(1, Header, &[(b"hk", SECRET.as_bytes())], b"").await;
        wire.message(1, &resp(SECRET, 0)).await;
        wire.frame(1, kind, &[(b"tk", SECRET.as_bytes())], SECRET.as_bytes()).await;
        wire.bytes(&[SECRET.as_bytes(); 9].concat()).await;
        soon(bidi.recv()).await.unwrap().unwrap();
        for _ in 0..2 {
            let shown = format!("{:?}", soon(bidi.recv()).await.unwrap_err());
            check("error", &shown);
        }
        assert!(wire.is_closed_by_peer().await);
    }
}

#[test]
fn debug_of_metadata_shows_keys_and_lengths() {
    let metadata = Metadata::from_iter([("key", SECRET)]);
    assert_eq!(format!("{metadata:?}"), r#"{"key": "9 bytes"}"#);
}
