//! Nothing that may be a secret is shown: no value of metainfo, of a header or a trailer, no token, no
//! payload, neither in `Debug` nor in a log at its most talkative.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use kitex::bytes::Bytes;
use kitex::{
    BizStatusError, Call, Context, Error, Metadata, Method, Response, Result, Server, Service, inspect,
};
use tokio::net::TcpListener;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;
use ttheader_codec::FrameType::{Data, Header, Rst, Trailer};
use ttheader_codec::key;

use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, Peer, Req, Tell, Wire, answer, builder, ended, odd_frame, reports, req, resp, soon,
};

/// Stands in every value that nobody may read.
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
        // Travels in a block of its own.
        .with_transient("gdpr-token", SECRET)
}

/// Shows each call and its answer on the way to the handler and back.
struct Shown(Arc<dyn Service>, Tell<(&'static str, String)>);

#[kitex::async_trait]
impl Service for Shown {
    fn methods(&self) -> &[Method] {
        self.0.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        self.1.tell(("call", format!("{call:?}")));
        let answer = self.0.call(call).await;
        self.1.tell(("answer", format!("{answer:?}")));
        answer
    }
}

/// Handlers that answer with secrets, and fail.
fn handlers(tell: Tell<(&'static str, String)>) -> Handlers {
    Handlers::default()
        .bidi(move |ctx, mut stream| {
            let tell = tell.clone();
            async move {
                stream.set_header("hk", SECRET)?;
                stream.set_trailer("tk", SECRET);
                ctx.send_backward("bk", SECRET);
                tell.tell(("handler", format!("{ctx:?} {:?} {stream:?}", ctx.metadata())));
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
    let (tell, mut told) = reports();
    let (of_layer, layered) = (tell.clone(), move |service| Shown(service, tell.clone()));
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
    // Two calls, and a stream whose handler shows what it has.
    for _ in 0..7 {
        let (what, shown) = told.next().await;
        check(what, &shown);
    }
}

/// A log that a test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// Everything of it runs on this test's own thread, so the log is of this test and of all of it.
#[tokio::test(flavor = "current_thread")]
async fn a_log_shows_no_value_and_no_payload() {
    let log = Log::default();
    let writer = log.clone();
    // With only one subscriber, an event that another thread meets first is off for this thread too.
    let _second = tracing_subscriber::fmt().with_writer(io::sink).set_default();
    let _logging = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .set_default();
    let (tell, _told) = reports();
    let peer = Peer::start(handlers(tell)).await;
    fail_and_cancel(&peer).await;
    break_the_protocol(&peer).await;
    be_broken().await;
    peer.shut_down().await;

    let text = log.text();
    check("log", &text);
    for word in [
        "peer broke the protocol",
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
        assert_eq!(end, if cancel { "12007 client" } else { "12001 client" });
    }
    for seq in 0..2 {
        let _ = soon(client.unary(&ctx, Req { seq: Some(seq), ..secret_req() })).await;
    }
}

/// Headers, messages and ends that hold secrets, of a peer that then cannot be read.
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

/// The same of a server.
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
fn metadata_shows_keys_and_lengths() {
    let metadata = Metadata::from_iter([("key", SECRET)]);
    assert_eq!(format!("{metadata:?}"), r#"{"key": "9 bytes"}"#);
}
