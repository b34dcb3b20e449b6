//! The code, side, path and text that a cancel reason gives to the streams at each hop of a chain of
//! services, as Kitex has them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{CancelPath, Code, ErrorKind, GrpcStatus, Side, StreamError};
use stream_core::cancel::Reason;

const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
const GRPC: &str = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL [triggered by ServiceA]";

const DEADLINE: &str = "stream timeout, timeout in ctx: 199.95ms";
const ANOTHER_DEADLINE: &str = "stream timeout, timeout in ctx: 99.703303ms";
const LOST: &str = "canceled by connection closed";
const RETURNED: &str = "canceled by business handler returning";
const SLOW: &str = "receive buffer is full: the consumer is slower than the sender";

/// The path in the error of A's own stream, and the paths that B, C and D see.
type Paths = [&'static str; 4];

const OWN: Paths = ["", "ServiceA", "ServiceA -> ServiceB", "ServiceA -> ServiceB -> ServiceC"];
const FOREIGN: Paths = [
    "",
    "non-ttstream path -> ServiceA",
    "non-ttstream path -> ServiceA -> ServiceB",
    "non-ttstream path -> ServiceA -> ServiceB -> ServiceC",
];
const BEHIND_EDGE: Paths =
    ["Edge", "Edge -> ServiceA", "Edge -> ServiceA -> ServiceB", "Edge -> ServiceA -> ServiceB -> ServiceC"];
const BEHIND_TWO: Paths = [
    "X -> Y",
    "X -> Y -> ServiceA",
    "X -> Y -> ServiceA -> ServiceB",
    "X -> Y -> ServiceA -> ServiceB -> ServiceC",
];

/// A reason for which A's scope ends, and code, kind (at A), paths and text of the streams A -> B -> C -> D.
type Row = (Reason, i32, ErrorKind, Paths, &'static str);

fn rows() -> Vec<Row> {
    use ErrorKind::{Canceled, Refused, Timeout};
    vec![
        (Reason::Canceled, 12007, Canceled, OWN, CANCELED),
        (Reason::Cause(error("user pressed stop")), 12008, Canceled, OWN, "user pressed stop"),
        (Reason::DeadlineExceeded, 12015, Timeout, OWN, DEADLINE),
        (Reason::Foreign(error(GRPC)), 12011, Canceled, FOREIGN, GRPC),
        (grpc(12007, CANCELED, "Edge"), 12007, Canceled, BEHIND_EDGE, CANCELED),
        (rst(12007, CANCELED, "Edge"), 12007, Canceled, BEHIND_EDGE, CANCELED),
        (rst(12015, ANOTHER_DEADLINE, "X,Y"), 12015, Canceled, BEHIND_TWO, ANOTHER_DEADLINE),
        (rst(-7, "any words", ""), -7, Canceled, OWN, "any words"),
        (handler(Code::CONNECTION_CLOSED), 12013, Canceled, OWN, LOST),
        (handler(Code::HANDLER_RETURNED), 12012, Canceled, OWN, RETURNED),
        (handler(Code::SLOW_CONSUMER), 12901, Refused, OWN, SLOW),
    ]
}

fn error(text: &str) -> Arc<dyn std::error::Error + Send + Sync> {
    Arc::new(io::Error::other(text.to_owned()))
}

/// A's own caller has reset the stream under whose handler A works.
fn rst(code: i32, text: &str, path: &str) -> Reason {
    let path = CancelPath::from_wire(path.as_bytes());
    Reason::Stream(StreamError::received(Side::Server, Code::new(code), text.as_bytes(), path))
}

/// A's own caller has reset the gRPC stream under whose handler A works, and said why.
fn grpc(code: i32, text: &str, path: &str) -> Reason {
    let path = CancelPath::from_wire(path.as_bytes());
    let origin = StreamError::received(Side::Server, Code::new(code), text.as_bytes(), path);
    Reason::Foreign(Arc::new(GrpcStatus::new(1, GRPC).with_origin(origin)))
}

/// The stream under whose handler A works has ended by itself.
fn handler(code: Code) -> Reason {
    Reason::Stream(StreamError::new(code).on_side(Side::Server))
}

#[test]
fn each_hop_adds_its_own_service_to_the_cancel_path() {
    for (mut reason, code, mut kind, paths, text) in rows() {
        for (service, path) in ["ServiceA", "ServiceB", "ServiceC"].into_iter().zip(paths.windows(2)) {
            // What the stream ends with that this service has opened, and what its Rst frame holds.
            let (here, sent) = reason.for_stream(service, Some(Duration::from_micros(199_950)));
            check(&here, code, kind, Side::Client, path[0], text);
            let message = here.message().as_bytes();
            let there = StreamError::received(Side::Server, here.code(), message, Some(sent));
            check(&there, code, ErrorKind::Canceled, Side::Server, path[1], text);
            reason = Reason::Stream(there);
            kind = ErrorKind::Canceled;
        }
    }
}

fn check(error: &StreamError, code: i32, kind: ErrorKind, side: Side, path: &str, text: &str) {
    let side_text = if side == Side::Client { "client" } else { "server" };
    let path_text = if path.is_empty() { String::new() } else { format!("[canceled path: {path}] ") };
    let sentence = format!("[ttstream error, code={code}] [{side_text}-side stream] {path_text}{text}");
    assert_eq!(error.to_string(), sentence);
    assert_eq!((error.code().number(), error.kind(), error.side()), (code, kind, Some(side)), "{sentence}");
    assert_eq!(error.path().map_or_else(String::new, ToString::to_string), path, "{sentence}");
}

#[test]
fn a_deadline_reason_without_a_timeout_says_so() {
    let (error, _) = Reason::DeadlineExceeded.for_stream("ServiceA", None);
    let expected = "[ttstream error, code=12015] [client-side stream] stream timeout, no explicit timeout set in stream ctx";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_cancel_path_stays_bounded_at_every_hop() {
    let mut reason = Reason::Canceled;
    for hop in 0..200 {
        let (here, sent) = reason.for_stream(&format!("Service{hop}"), None);
        assert!(sent.services().count() <= 64 && sent.as_wire().len() <= 4096);
        assert_eq!(sent.services().next(), Some("Service0"));
        assert_eq!(sent.services().last(), Some(&*format!("Service{hop}")));
        let there = StreamError::received(Side::Server, here.code(), here.message().as_bytes(), Some(sent));
        reason = Reason::Stream(there);
    }
}

#[test]
fn a_cancel_cause_can_be_downcast() {
    let cause = error("stop");
    for reason in [Reason::Cause(cause.clone()), Reason::Foreign(cause.clone())] {
        assert_eq!(reason.to_string(), "stop");
        let (error, _) = reason.for_stream("ServiceA", None);
        let source = std::error::Error::source(&error).expect("a source");
        assert!(source.downcast_ref::<io::Error>().is_some());
        assert!(std::error::Error::source(&reason).is_some_and(<dyn std::error::Error>::is::<io::Error>));
    }
    assert!(Reason::Canceled.stream().is_none());
}
