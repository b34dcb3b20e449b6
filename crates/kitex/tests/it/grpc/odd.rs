//! Malformed responses of servers and malformed requests of clients. Each is a clear error, and affects no other stream.

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use kitex::bytes::Bytes;
use kitex::client::Transport;
use kitex::server::GrpcConfig;
use kitex::{Context, Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::{client, drain, text};
use crate::fixture::{EchoClient, Handlers, Log, Peer, builder, req, soon};

pub(super) type Answer = fn(SendResponse<Bytes>);

pub(super) fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

pub(super) fn response(status: u16, pairs: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::builder().status(status).body(()).unwrap();
    *response.headers_mut() = headers(pairs);
    response
}

pub(super) const GRPC: (&str, &str) = ("content-type", "application/grpc+thrift");

/// A message that is an empty struct.
pub(super) const MESSAGE: &[u8] = &[0, 0, 0, 0, 1, 0];

/// A server that sends this response to every request.
pub(super) async fn serve(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((_, respond))) = connection.accept().await {
                    answer(respond);
                }
            });
        }
    });
    address
}

/// The response of a server, and the resulting error of the client.
const ANSWERS: &[(&str, Answer, &str)] = &[
    (
        "no trailers",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(MESSAGE), true).unwrap();
        },
        "rpc error: code = 13 desc = server closed the stream without sending trailers",
    ),
    (
        "trailers without a status",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_trailers(headers(&[("a", "b")])).unwrap();
        },
        "rpc error: code = 2 desc = ",
    ),
    (
        "a status that is no number",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_trailers(headers(&[("grpc-status", "x")])).unwrap();
        },
        "rpc error: code = 13 desc = transport: malformed grpc-status: \"x\"",
    ),
    (
        "404 of a web server",
        |mut respond| {
            respond.send_response(response(404, &[("content-type", "text/html")]), true).unwrap();
        },
        "rpc error: code = 12 desc = Not Found: HTTP status code 404; transport: received the unexpected \
         content-type \"text/html\"",
    ),
    (
        "no content type",
        |mut respond| {
            respond.send_response(response(200, &[]), true).unwrap();
        },
        "rpc error: code = 2 desc = OK: HTTP status code 200; transport: missing content-type field",
    ),
    (
        "half a message",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(&[0, 0, 0, 0, 9, 0]), false).unwrap();
            send.send_trailers(headers(&[("grpc-status", "0")])).unwrap();
        },
        "rpc error: code = 13 desc = unexpected EOF",
    ),
    (
        "a reset behind a message",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(MESSAGE), false).unwrap();
            send.send_reset(Reason::ENHANCE_YOUR_CALM);
        },
        "rpc error: code = 8 desc = stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM",
    ),
    (
        "a reset of Kitex's own",
        |mut respond| respond.send_reset(Reason::from(1000)),
        "rpc error: code = 14 desc = graceful shutdown",
    ),
    (
        "a huge message",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(&[0, 0x7f, 0xff, 0xff, 0xff]), true).unwrap();
        },
        "rpc error: code = 8 desc = received message larger than max (2147483647 vs. 16777216)",
    ),
];

#[tokio::test]
async fn grpc_malformed_responses_are_clear_errors() {
    for (what, answer, expected) in ANSWERS {
        let address = serve(*answer).await;
        let client = EchoClient::new(builder(&address).transport(Transport::Grpc).build().unwrap());
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        let ended = loop {
            match soon(bidi.recv()).await {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        assert_eq!(text(ended), *expected, "{what}");
        let again: Result<_> = soon(bidi.recv()).await;
        assert_eq!(text(again), *expected, "{what}: the end stays the end");
    }
}

#[tokio::test]
async fn grpc_send_on_a_refused_stream_has_its_status() {
    let address = serve(|mut respond| {
        let status = [GRPC, ("grpc-status", "5"), ("grpc-message", "nope")];
        // h2 resets the request, which is open, behind it.
        respond.send_response(response(200, &status), true).unwrap();
    })
    .await;
    let client = EchoClient::new(builder(&address).transport(Transport::Grpc).build().unwrap());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    let refused = loop {
        // The first may be queued before the response is there.
        match soon(bidi.send(&req("", 0))).await {
            Ok(()) => tokio::task::yield_now().await,
            refused => break refused,
        }
    };
    let expected = "rpc error: code = 5 desc = nope";
    assert_eq!(text(refused), expected);
    assert_eq!(text(soon(bidi.recv()).await), expected);
}

/// Sends `request` and `body`, which is complete. Returns `status: message`, or the reset.
async fn ask(address: &str, request: Request<()>, body: Option<&'static [u8]>) -> String {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let (response, mut send) = requests.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        send.send_data(Bytes::from_static(body), true).unwrap();
    }
    let shown = |headers: &HeaderMap| {
        let value = |name| headers.get(name).map_or("none", |value| value.to_str().unwrap()).to_owned();
        format!("{}: {}", value("grpc-status"), value("grpc-message"))
    };
    match soon(response).await {
        Err(error) => format!("{:?}", error.reason()),
        Ok(response) if response.body().is_end_stream() => shown(response.headers()),
        Ok(response) => {
            trailers(response.into_body()).await.map_or_else(|error| error, |found| shown(&found))
        }
    }
}

async fn trailers(mut body: RecvStream) -> std::result::Result<HeaderMap, String> {
    while let Some(chunk) = soon(body.data()).await {
        chunk.map_err(|error| format!("{:?}", error.reason()))?;
    }
    soon(body.trailers()).await.map_err(|error| error.to_string()).map(Option::unwrap_or_default)
}

#[tokio::test]
async fn grpc_malformed_requests_are_refused_as_by_kitex() {
    let peer = Peer::start(Handlers::default()).await;
    let request = |path: &str, pairs: &[(&'static str, &'static str)]| {
        let mut request = Request::post(format!("http://ServiceB{path}")).body(()).unwrap();
        *request.headers_mut() = headers(pairs);
        request
    };
    let rows = [
        (request("/echo.Echo/Bidi", &[GRPC]), Some(MESSAGE), "0: "),
        // Kitex never sees the end of a request without a body; we do.
        (request("/Echo/Bidi", &[GRPC]), None, "0: "),
        (request("/Bidi", &[GRPC]), Some(MESSAGE), "13: malformed method name, method=\"/Bidi\""),
        (request("/Echo/Bidi", &[]), Some(MESSAGE), "Some(INTERNAL_ERROR)"),
        (request("/Echo/Bidi", &[("content-type", "text/html")]), Some(MESSAGE), "Some(INTERNAL_ERROR)"),
        (request("/Echo/Bidi", &[GRPC, ("grpc-timeout", "soon")]), Some(MESSAGE), "Some(INTERNAL_ERROR)"),
        (
            request("/Echo/Bidi", &[("content-type", "application/grpc")]),
            Some(MESSAGE),
            "13: grpc invalid payload [biz error]",
        ),
        (request("/Echo/Bidi", &[GRPC]), Some(&MESSAGE[..4]), "13: unexpected EOF [biz error]"),
        (request("/Echo/Unary", &[GRPC]), None, "13: EOF [biz error]"),
    ];
    for (request, body, expected) in rows {
        let what = format!("{} {:?}", request.uri(), request.headers());
        assert_eq!(ask(&peer.address, request, body).await, expected, "{what}");
    }
    let (count, ended) = drain(&client(&peer), 3).await;
    assert_eq!((count, text(ended)), (3, "ok".to_owned()), "others are served");
}

/// Opens and resets streams until the server has closed the connection.
async fn flood(address: &str) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let flood = async {
        loop {
            let Ok(mut ready) = requests.clone().ready().await else { return };
            let mut request = Request::post("http://ServiceB/Echo/Bidi").body(()).unwrap();
            *request.headers_mut() = headers(&[GRPC]);
            let Ok((_, mut send)) = ready.send_request(request, false) else { return };
            tokio::task::yield_now().await;
            send.send_reset(Reason::CANCEL);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    soon(flood).await;
    let ended = soon(connection).await.unwrap().unwrap_err();
    assert_eq!(ended.reason(), Some(Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn grpc_reset_flood_closes_its_own_connection_only() {
    // So few that a slow machine resets more.
    let limits = GrpcConfig::default().max_resets_per_second(1);
    let peer = Peer::with(Handlers::default(), |server| server.grpc(limits)).await;
    let other = client(&peer);
    let mut held = other.bidi(&Context::background()).await.unwrap();
    held.send(&req("", 1)).await.unwrap();
    assert!(soon(held.recv()).await.unwrap().is_some());

    flood(&peer.address).await;

    held.send(&req("", 2)).await.unwrap();
    let answer: Result<_, Error> = soon(held.recv()).await;
    assert_eq!(answer.unwrap().unwrap().seq, Some(2));
}

/// The response arrives long before the trailers: each call is dropped meanwhile, and none takes the response with it.
#[tokio::test]
async fn cancel_safe_close_and_recv_over_grpc_keeps_the_response() {
    for (status, expected) in [("0", "ok"), ("13", "rpc error: code = 13 desc = ")] {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(MESSAGE), false).unwrap();
            tokio::spawn(async move {
                ended.await.unwrap();
                send.send_trailers(headers(&[("grpc-status", status)])).unwrap();
            });
            while connection.accept().await.is_some() {}
        });
        let client = EchoClient::new(builder(&address).transport(Transport::Grpc).build().unwrap());
        let mut up = soon(client.up(&Context::background())).await.unwrap();
        for _ in 0..20 {
            let short = tokio::time::timeout(std::time::Duration::from_millis(5), up.close_and_recv());
            assert!(short.await.is_err(), "the trailers are missing");
        }
        end.send(()).unwrap();
        let result = soon(up.close_and_recv()).await;
        assert_eq!(text(result.map(drop)), expected);
    }
}

/// Log lines that a client can cause are bounded for all connections together.
#[tokio::test]
async fn grpc_reset_floods_log_five_lines() {
    let (log, _logging) = Log::record(LevelFilter::WARN, FmtSpan::NONE);
    let limits = GrpcConfig::default().max_resets_per_second(1);
    let peer = Peer::with(Handlers::default(), |server| server.grpc(limits)).await;
    let began = std::time::Instant::now();
    for _ in 0..8 {
        flood(&peer.address).await;
    }
    let (text, took) = (log.text(), began.elapsed());
    let lines = text.matches("too many resets").count();
    // On a slow machine they belong to several windows of ten seconds.
    let windows = usize::try_from(took.as_secs() / 10).unwrap() + 1;
    assert!((5..=5 * windows).contains(&lines), "{took:?}: {text}");
}
