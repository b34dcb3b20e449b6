//! Unknown methods and services get an error response immediately.

use std::time::Duration;

use interop::lab::{LabUnaryArgs, LabUnaryResult, Req, Resp};
use kitex::client::CallProtocol;
use kitex::{Client, Code, Context, Error, Method, StreamingMode};

use crate::chain::Chain;
use crate::local::{client, ends, request};
use crate::peer::Peer::{Go, Rust};
use crate::peer::go_is_here;

static NO_STREAM: Method = Method::new("Lab", "Nope", StreamingMode::Server);
static NO_BIDI: Method = Method::new("Lab", "Nope", StreamingMode::Bidirectional);
static NO_SERVICE: Method = Method::new("Nope", "Nope", StreamingMode::Server);
static UNARY_AS_STREAM: Method = Method::new("Lab", "Unary", StreamingMode::Server);
static NO_CALL: Method = Method::new("Lab", "Nope", StreamingMode::PingPong);
static STREAM_AS_CALL: Method = Method::new("Lab", "Down", StreamingMode::PingPong);

#[tokio::test]
async fn an_unknown_method_of_a_stream_is_answered_at_once() {
    let chain = Chain::start(&[Rust]);
    let client = client(&chain.address);
    let rows = [
        (&NO_STREAM, "unknown method Nope"),
        (&NO_BIDI, "unknown method Nope"),
        (&NO_SERVICE, "unknown service Nope"),
        (&UNARY_AS_STREAM, "Lab.Unary is no stream: call it ping-pong"),
    ];
    for (method, text) in rows {
        let error = stream_error(&client, &Context::background(), method).await;
        assert_eq!(error.code(), Some(Code::APPLICATION), "{method:?}: {error}");
        let expected = format!("[ttstream error, code=12001] [client-side stream] {text}");
        assert_eq!(error.to_string(), expected, "{method:?}");
    }
}

#[tokio::test]
async fn an_unknown_method_of_a_call_is_answered_at_once() {
    let chain = Chain::start(&[Rust]);
    let rows = UNKNOWN_CALLS.iter().copied().chain([
        (CallProtocol::Ttheader, &STREAM_AS_CALL, "Lab.Down is a stream: open one"),
        (CallProtocol::Framed, &STREAM_AS_CALL, "Lab.Down is a stream: open one"),
    ]);
    for (protocol, method, text) in rows {
        let error = call_error(&chain.address, protocol, method).await;
        assert_eq!(error.to_string(), format!("remote or network error[remote]: {text}"), "{method:?}");
    }
}

/// Kitex's texts, which are also ours.
const UNKNOWN_CALLS: &[(CallProtocol, &Method, &str)] = &[
    (CallProtocol::Ttheader, &NO_CALL, "unknown method Nope (service Lab)"),
    (CallProtocol::Framed, &NO_CALL, "unknown service , method Nope"),
];

#[tokio::test]
async fn kitex_answers_an_unknown_method_of_a_call() {
    if go_is_here() {
        let chain = Chain::start(&[Go]);
        for (protocol, method, text) in UNKNOWN_CALLS.iter().copied() {
            let error = call_error(&chain.address, protocol, method).await;
            assert_eq!(error.to_string(), format!("remote or network error[remote]: {text}"));
        }
    }
}

/// Kitex does not answer a stream of an unknown method. A deadline ends it.
#[tokio::test]
async fn a_deadline_ends_a_stream_of_an_unknown_method_of_kitex() {
    if go_is_here() {
        let chain = Chain::start(&[Go]);
        let client = client(&chain.address);
        let ctx = Context::background().with_timeout(Duration::from_millis(300));
        let error = stream_error(&client, &ctx, &NO_STREAM).await;
        assert_eq!(error.code(), Some(Code::STREAM_TIMEOUT), "{error}");
    }
}

async fn stream_error(client: &Client, ctx: &Context, method: &Method) -> Error {
    let request = request("n=1");
    let opened =
        ends("open", client.server_streaming::<Req, Resp, kitex::Thrift>(ctx, method, &request)).await;
    ends("recv", opened.expect("a stream").recv()).await.expect_err("there is no such stream")
}

async fn call_error(address: &str, protocol: CallProtocol, method: &Method) -> Error {
    let client = Client::builder("ServiceB").address(address).call_protocol(protocol);
    let client = client.build().expect("name and address are good");
    let (ctx, args) = (Context::background(), LabUnaryArgs { req: request("hello") });
    let answer = client.call::<_, LabUnaryResult, kitex::Thrift>(&ctx, method, &args);
    ends("call", answer).await.expect_err("there is no such method")
}
