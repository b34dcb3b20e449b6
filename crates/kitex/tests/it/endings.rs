//! How the outcome of a handler reaches its client, in each mode: results, business errors, errors, panics; messages sent
//! before are delivered first.

use futures_util::StreamExt;
use kitex::client::CallProtocol;
use kitex::{BizStatusError, Context, Error, Result};

use crate::fixture::by;
use crate::fixture::echo::EchoPingError;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{EchoClient, Handlers, Peer, Req, answer, brief, ended, req, resp, soon};

/// How a handler ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Well,
    Biz,
    Fails,
    Panics,
    PanicsWithWords,
}

/// How it ends; the error of a stream, and of a ping-pong call; the text in it.
const ROWS: &[(End, &str, &str, &str)] = &[
    (End::Well, "ok", "ok", ""),
    (End::Biz, "biz 404", "biz 404", "biz error: code=404, msg=biz says no"),
    (End::Fails, "12001 client", "remote biz error: handler failed", "biz error: handler failed"),
    (End::Panics, "12001 client", "remote panic: ", "please check the panic at the server side] on purpose"),
    (
        End::PanicsWithWords,
        "12001 client",
        "remote panic: ",
        "please check the panic at the server side] 1 + 1",
    ),
];

/// How a stream ends that ends by `expected` over TTHeader: a status of gRPC is not a code.
fn stream_end(expected: &str) -> &str {
    if expected == "12001 client" { by(expected, "grpc 13") } else { expected }
}

impl End {
    fn of(req: &Req) -> Self {
        let named = |end: &&(Self, &str, &str, &str)| req.msg.as_deref() == Some(&*format!("{:?}", end.0));
        ROWS.iter().find(named).expect("a request names its end").0
    }

    fn come(self) -> Result<()> {
        match self {
            Self::Well => Ok(()),
            Self::Biz => Err(BizStatusError::new(404, "biz says no").with_extra("k", "v").into()),
            Self::Fails => Err(Error::other("handler failed")),
            Self::Panics => panic!("on purpose"),
            Self::PanicsWithWords => panic!("1 + {}", 1),
        }
    }
}

fn handlers() -> Handlers {
    Handlers::default()
        .ping(|_, req| async { Ok(End::of(&req).come().map(|()| answer(req))?) })
        .unary(|_, req| async { End::of(&req).come().map(|()| answer(req)) })
        .up(|_, mut stream| async move {
            let last = stream.recv().await?.expect("a request that says how to end");
            End::of(&last).come().map(|()| resp("up", 1))
        })
        .down(|_, req, stream| async move {
            for seq in 0..3 {
                stream.send(&resp("down", seq)).await?;
            }
            End::of(&req).come()
        })
        .bidi(|_, mut stream| async move {
            let first = stream.recv().await?.expect("a request that says how to end");
            for seq in 0..3 {
                stream.send(&resp("bidi", seq)).await?;
            }
            End::of(&first).come()
        })
}

#[tokio::test]
async fn handler_result_arrives_after_every_message() {
    let peer = Peer::start(handlers()).await;
    let client = peer.client();
    for (end, stream, call, text) in ROWS {
        // Repeated, so that a race between messages and the end would show.
        for _ in 0..20 {
            check_streams(&client, *end, stream, text).await;
        }
        check_calls(&client, *end, call, text).await;
    }
}

async fn check_streams(client: &EchoClient, end: End, expected: &str, text: &str) {
    let (ctx, words) = (Context::background(), format!("{end:?}"));
    let check = |result: &Result<()>, mode: &str| {
        assert_eq!(ended(result), stream_end(expected), "{mode} {end:?}");
        if let Err(error) = result {
            assert!(
                error.to_string().contains(text.trim_start_matches(by("", "biz error: "))),
                "{mode} {end:?}: {error}"
            );
            let extra = error.biz().map(|biz| biz.extra.get("k").cloned());
            assert_eq!(extra, (end == End::Biz).then(|| Some("v".to_owned())), "{mode} {end:?}");
        }
    };
    let mut up = client.up(&ctx).await.unwrap();
    up.send(&req(&words, 0)).await.unwrap();
    check(&soon(up.close_and_recv()).await.map(drop), "up");

    let mut down = client.down(&ctx, req(&words, 0)).await.unwrap();
    let (got, result) = drain(&mut down).await;
    assert_eq!(got, [0, 1, 2], "{end:?}");
    check(&result, "down");

    let mut bidi = client.bidi(&ctx).await.unwrap();
    bidi.send(&req(&words, 0)).await.unwrap();
    let (got, result) = drain(&mut bidi).await;
    assert_eq!(got, [0, 1, 2], "{end:?}");
    check(&result, "bidi");
}

/// Receives everything, through the `Stream` implementation.
async fn drain(
    stream: &mut (impl futures_util::Stream<Item = Result<crate::fixture::Resp>> + Unpin),
) -> (Vec<i64>, Result<()>) {
    let mut got = Vec::new();
    while let Some(item) = soon(stream.next()).await {
        match item {
            Ok(resp) => got.push(resp.seq.unwrap_or(-1)),
            Err(error) => {
                assert!(soon(stream.next()).await.is_none(), "a stream ends behind its error");
                return (got, Err(error));
            }
        }
    }
    (got, Ok(()))
}

async fn check_calls(client: &EchoClient, end: End, expected: &str, text: &str) {
    let (ctx, words) = (Context::background(), format!("{end:?}"));
    let unary = soon(client.unary(&ctx, req(&words, 0))).await;
    let ping = match soon(client.ping(&ctx, req(&words, 0))).await {
        Ok(resp) => Ok(resp),
        Err(EchoPingError::Other(error)) => Err(error),
        Err(EchoPingError::E(error)) => panic!("nothing was thrown: {error}"),
    };
    for (mode, result) in [("unary", unary), ("ping", ping)] {
        let seen = ended(&result);
        let expected = expected.trim_start_matches("remote ").trim_start_matches(by("", "biz error: "));
        assert!(seen.contains(expected), "{mode} {end:?}: {seen}");
        if let Err(error) = &result {
            assert!(
                error.to_string().contains(text.trim_start_matches(by("", "biz error: "))),
                "{mode} {end:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn panic_of_a_handler_ends_its_call_and_no_other() {
    let peer = Peer::start(handlers()).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut other = client.bidi(&ctx).await.unwrap();
    for _ in 0..10 {
        let mut down = client.down(&ctx, req("Panics", 0)).await.unwrap();
        while let Ok(Some(_)) = soon(down.recv()).await {}
        assert!(soon(client.unary(&ctx, req("Panics", 0))).await.is_err());
    }
    other.send(&req("Well", 0)).await.unwrap();
    for seq in 0..3 {
        assert_eq!(soon(other.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    assert_eq!(soon(other.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn framed_call_loses_the_business_error_and_reports_a_missing_result() {
    if of_ttheader_alone("framed calls") {
        return;
    }
    let peer = Peer::start(handlers()).await;
    let client = peer.client_with(|client| client.call_protocol(CallProtocol::Framed));
    let error = soon(client.unary(&Context::background(), req("Biz", 0))).await.unwrap_err();
    assert!(brief(&error).contains("unknown result"), "{error}");
}

#[tokio::test]
async fn send_to_a_handler_that_has_ended_returns_the_outcome() {
    let peer = Peer::start(handlers()).await;
    for (end, expected, ..) in ROWS {
        let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
        bidi.send(&req(&format!("{end:?}"), 0)).await.unwrap();
        // Messages sent before the end has arrived are dropped without an error.
        let error = soon(async {
            loop {
                match bidi.send(&req("more", 0)).await {
                    Ok(()) => tokio::task::yield_now().await,
                    Err(error) => return error,
                }
            }
        })
        .await;
        // Over gRPC the end stands behind the messages, which nobody has taken.
        let reported = if *end == End::Well { "12005 client" } else { by(*expected, "12005 client") };
        assert_eq!(brief(&error), reported, "{end:?}");
        let (got, result) = drain(&mut bidi).await;
        assert_eq!(got, [0, 1, 2], "{end:?}: messages stay to be taken");
        assert_eq!(ended(&result), stream_end(expected), "{end:?}");
    }
}
