//! Routing: several services on one port, unknown names, calls of the wrong mode, invalid names.

use kitex::client::{BuildError, CallProtocol};
use kitex::server::{BindError, OnCancel};
use kitex::{Client, Context, Method, Result, Server, ServerStreamingServer, StreamingMode};

use crate::fixture::by;
use crate::fixture::echo::{EchoServer, Mirror, MirrorClient, MirrorServer};
use crate::fixture::of_ttheader_alone;
use crate::fixture::{EchoClient, Handlers, Peer, Req, Resp, answer, ended, req, resp, soon};

struct Backwards;

#[kitex::async_trait]
impl Mirror for Backwards {
    async fn ping(&self, ctx: Context, req: Req) -> Result<Resp> {
        let method = ctx.method().map_or("", |method| method.service());
        Ok(resp(&format!("{method} {}", req.msg.unwrap_or_default()), 0))
    }

    async fn down(&self, _: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.send(&resp("mirror", -req.seq.unwrap_or_default())).await
    }
}

async fn both() -> Peer {
    let server = Server::builder("ServiceB")
        .service(EchoServer::new(Handlers::default()))
        .service(MirrorServer::new(Backwards));
    Peer::bind(server, "127.0.0.1:0").await
}

#[tokio::test]
async fn services_on_one_port_may_share_method_names() {
    let peer = both().await;
    let (client, ctx) = (peer.raw_client(|client| client), Context::background());
    let (echo, mirror) = (EchoClient::new(client.clone()), MirrorClient::new(client));
    let from = |answer: Resp| answer.msg.unwrap_or_default().to_string();
    assert_eq!(from(soon(echo.ping(&ctx, req("a", 1))).await.unwrap()), "a");
    assert_eq!(from(soon(mirror.ping(&ctx, req("a", 1))).await.unwrap()), "Mirror a");
    let mut down = echo.down(&ctx, req("", 1)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(0));
    let mut down = mirror.down(&ctx, req("", 1)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(-1));
}

#[tokio::test]
async fn call_without_a_service_name_goes_to_the_first_with_the_method() {
    if of_ttheader_alone("framed calls") {
        return;
    }
    let peer = both().await;
    let client = peer.raw_client(|client| client.call_protocol(CallProtocol::Framed));
    let answer = soon(MirrorClient::new(client).ping(&Context::background(), req("a", 1))).await.unwrap();
    assert_eq!(answer.msg.as_deref(), Some("a"), "a framed call names no service, so Echo gets it");
}

macro_rules! method {
    ($service:literal, $name:literal, $mode:ident) => {{
        static METHOD: Method = Method::new($service, $name, StreamingMode::$mode);
        &METHOD
    }};
}

#[tokio::test]
async fn unknown_method_and_wrong_mode_are_refused_at_once() {
    let peer = both().await;
    let client = peer.raw_client(|client| client);
    let rows = [
        (method!("Echo", "Nope", Server), "unknown method Nope"),
        (method!("Missing", "Nope", Server), "unknown service Missing"),
        (method!("Echo", "Ping", Server), "Echo.Ping is no stream: call it ping-pong"),
        (method!("Echo", "Nope", PingPong), "unknown method Nope"),
        (method!("Missing", "Nope", PingPong), "unknown service Missing"),
        (method!("Echo", "Down", PingPong), "Echo.Down is a stream: open one"),
        // An unknown service name is resolved by the method, as in Kitex.
        (method!("Renamed", "Unary", PingPong), ""),
    ];
    for (method, text) in rows {
        let ended = soon(call(&client, method)).await.map_err(|error| error.to_string());
        match ended {
            // By gRPC every call is a stream.
            Ok(()) => assert!(by(text.is_empty(), text.is_empty() || text.contains("stream")), "{method:?}"),
            Err(error) => assert!(!text.is_empty() && error.contains(text), "{method:?}: {error}"),
        }
    }
}

async fn call(client: &Client, method: &Method) -> Result<()> {
    let ctx = Context::background();
    if method.mode().is_stream() {
        let mut stream =
            client.server_streaming::<Req, Resp, kitex::Thrift>(&ctx, method, &req("", 1)).await?;
        while stream.recv().await?.is_some() {}
        return Ok(());
    }
    let result: Result<Resp> = client.call::<Req, Resp, kitex::Thrift>(&ctx, method, &req("", 1)).await;
    // The arguments do not match the method, which does not affect routing.
    match result {
        Err(error) if error.to_string().contains("required") => Ok(()),
        result => result.map(drop),
    }
}

#[tokio::test]
async fn server_builder_errors_are_explained_before_listening() {
    let echo = || EchoServer::new(Handlers::default());
    let server = || Server::builder("ServiceB").service(echo());
    let taken = Peer::start(Handlers::default()).await;
    let rows = [
        (Server::builder(""), "127.0.0.1:0", "service name \"\" cannot stand in a cancel path"),
        (Server::builder("A,B"), "127.0.0.1:0", "service name \"A,B\" cannot stand in a cancel path"),
        (Server::builder("A\nB"), "127.0.0.1:0", "cannot stand in a cancel path"),
        (server().service(echo()), "127.0.0.1:0", "service Echo is added twice: remove one"),
        (
            server().on_cancel_of("Echo", "Nope", OnCancel::Drop),
            "127.0.0.1:0",
            "no service has a method Echo.Nope",
        ),
        (
            server().on_cancel_of("Missing", "Down", OnCancel::Drop),
            "127.0.0.1:0",
            "no service has a method Missing.Down",
        ),
        (server(), "nonsense", "cannot listen on nonsense: "),
        (server(), &taken.address, ": stop the other process or choose another port"),
    ];
    for (server, address, text) in rows {
        let error: BindError = server.bind(address).await.expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn client_builder_errors_are_explained_before_dialing() {
    let good = || Client::builder("ServiceB");
    let rows = [
        (good(), "client of ServiceB has no address: call ClientBuilder::address"),
        (good().address("localhost"), "address \"localhost\" is not host:port"),
        (good().address(":80"), "address \":80\" is not host:port"),
        (good().address("localhost:99999"), "is not host:port"),
        (good().address("a:1").caller("A,B"), "service name \"A,B\" cannot stand in a cancel path"),
        (Client::builder("").address("a:1"), "service name \"\" cannot stand in a cancel path"),
    ];
    for (builder, text) in rows {
        let error: BuildError = builder.build().expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn concurrent_calls_of_all_modes_do_not_mix() {
    let handlers = Handlers::default().unary(|_, req| async { Ok(answer(req)) });
    let peer = Peer::start(handlers).await;
    let client = peer.client();
    let calls = (0..200_i64).map(|seq| {
        let client = client.clone();
        tokio::spawn(async move {
            let ctx = Context::background();
            if seq % 2 == 0 {
                return client.unary(&ctx, req("", seq)).await.map(|answer| answer.seq == Some(seq));
            }
            let mut bidi = client.bidi(&ctx).await?;
            bidi.send(&req("", seq)).await?;
            bidi.recv().await.map(|answer| answer.is_some_and(|answer| answer.seq == Some(seq)))
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let result = soon(call).await.unwrap();
        assert!(matches!(result, Ok(true)), "{}", ended(&result));
    }
}
