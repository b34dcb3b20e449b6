//! The conversations that Kitex, grpc-go and raw HTTP/2 peers were recorded to have with Kitex v0.16.3 and grpc-go
//! v1.85.0 (`recorded`): our client reads what the servers sent, our server what the clients sent, byte for byte.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kerrors::{ApplicationException, Error};
use kitex_grpc::{GrpcConfig, GrpcTransport, protocols};
use serde_json::Value;
use stream_core::call::{HandlerError, OutgoingCall, StreamEnd, UnaryCall, UnaryResponse};
use stream_core::client::{Client, ClientConfig, StaticAddresses};
use stream_core::handler::{Handler, IncomingStream, Routed, ServerConfig};
use stream_core::server::{Server, bind};
use stream_core::{Method, StreamingMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A conversation: its name; messages of the server and how the stream ends at the client (`open`: it does not);
/// messages of the client and how they end at the server.
type Row = (&'static str, usize, &'static str, usize, &'static str);

const CANCEL: &str = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL \
                      [triggered by ServiceA]";
const NO_SOURCE: &str =
    "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL [triggered by ]";
const CLOSED: &str = "rpc error: code = 1 desc = transport: connection EOF [triggered by remote service]";

const ROWS: &[Row] = &[
    ("bidi", 5, "end", 5, "end"),
    ("biz_error", 1, "biz error: code=404, msg=biz says no", 1, "end"),
    ("biz_error_unicode", 0, "biz error: code=1404, msg=non \\n ascii é 世 100%", 1, "end"),
    ("cancel", 3, "open", 1, CANCEL),
    ("deadline", 3, "open", 1, CANCEL),
    ("declared_exception", 1, "end", 1, "end"),
    ("down", 2, "end", 1, "end"),
    ("down_empty", 0, "end", 1, "end"),
    // The client's reset says that it has had the trailers.
    (
        "early_end",
        0,
        "end",
        1,
        "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: NO_ERROR [triggered by ServiceA]",
    ),
    ("graceful_shutdown", 14, "rpc error: code = 14 desc = graceful shutdown", 1, "end"),
    ("gzip", 1, "end", 1, "end"),
    ("handler_error", 1, "rpc error: code = 13 desc = handler failed [biz error]", 1, "end"),
    ("metainfo", 1, "end", 1, "end"),
    (
        "panic",
        0,
        "rpc error: code = 13 desc = panic: [happened in biz handler, method=Lab.Down, please check the panic at \
         the server side] lab panic",
        1,
        "end",
    ),
    ("ping", 1, "end", 1, "end"),
    ("protobuf_bidi_grpcgo_client", 5, "end", 5, "end"),
    ("protobuf_cancel_grpcgo_client", 3, "open", 1, NO_SOURCE),
    ("protobuf_down_grpcgo_server", 2, "end", 1, "end"),
    ("recv_timeout", 1, "open", 1, CANCEL),
    ("short_conn", 2, "open", 1, CLOSED),
    ("status_details", 0, "rpc error: code = 9 desc = with details [biz error]", 1, "end"),
    ("unary", 1, "end", 1, "end"),
    ("unary_biz_error", 0, "biz error: code=404, msg=biz says no", 1, "end"),
    ("unary_handler_error", 0, "rpc error: code = 13 desc = handler failed [biz error]", 1, "end"),
    ("unknown_method", 0, "rpc error: code = 1 desc = unknown method Nope", 1, "end"),
    ("unknown_service", 0, "rpc error: code = 20 desc = unknown service Nope", 1, "end"),
    ("up", 1, "end", 5, "end"),
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/replay/recorded");

/// The frames that one side sent.
fn frames(name: &str, side: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("{FOLDER}/{name}.json")).unwrap();
    let mut recorded: Value = serde_json::from_str(&text).unwrap();
    let frames: Vec<Value> = serde_json::from_value(recorded["frames"].take()).unwrap();
    frames.into_iter().filter(|frame| frame["dir"] == side).collect()
}

fn from_hex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn bytes(frames: &[Value]) -> Vec<u8> {
    // The end of a connection stands among them without bytes.
    frames.iter().filter(|frame| frame["hex"].is_string()).flat_map(|frame| from_hex(&frame["hex"])).collect()
}

/// The payloads of the messages in these frames, none of which is compressed or parted.
fn messages(frames: &[Value]) -> Vec<Bytes> {
    let data = frames.iter().filter(|frame| frame["type"] == "DATA").map(|frame| from_hex(&frame["data"]));
    data.filter(|data| !data.is_empty()).map(|data| Bytes::from(data).slice(5..)).collect()
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("what is awaited never happened")
}

#[test]
fn every_recorded_conversation_has_a_row() {
    let mut names: Vec<_> =
        fs::read_dir(FOLDER).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ROWS.iter().map(|(name, ..)| format!("{name}.json")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_reads_what_every_recorded_server_sent() {
    for (name, count, end, ..) in ROWS {
        let sent = frames(name, "s2c");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(play(listener, bytes(&sent)));
        let client =
            Client::new(GrpcTransport::default(), StaticAddresses::new([address]), ClientConfig::default());
        let method = Method::new("Lab", "Any", StreamingMode::Bidirectional);
        let caller = Arc::from("ServiceA");
        let callee: Arc<str> = "ServiceB".into();
        let call = OutgoingCall::new(&method, &callee, &caller);
        let (sender, mut receiver) = soon(client.open(&call)).await.unwrap();
        // A server that has ended the stream takes no more.
        let _ = sender.send(&[0]).await;
        sender.close_send();
        let (mut seen, ended) = (Vec::new(), *end != "open");
        let error = loop {
            if !ended && seen.len() == *count {
                break None;
            }
            match soon(receiver.recv()).await {
                Ok(Some(message)) => seen.push(message),
                Ok(None) => break Some("end".to_owned()),
                Err(error) => break Some(error.to_string()),
            }
        };
        server.abort();
        if *name == "gzip" && error.as_ref().is_some_and(|error| error.ends_with("found for:gzip")) {
            continue;
        }
        assert_eq!(error, ended.then(|| (*end).to_owned()), "{name}");
        assert_eq!(seen.len(), *count, "{name}");
        if *name != "gzip" {
            assert_eq!(seen, messages(&sent), "{name}");
        }
    }
}

/// Answers the first request of the first connection with `bytes`, and reads on.
async fn play(listener: TcpListener, bytes: Vec<u8>) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    // The preface, SETTINGS, perhaps WINDOW_UPDATE, then the request: its HEADERS are the first of their type.
    while !has_headers(&read) {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0, "no request");
    }
    socket.write_all(&bytes).await.unwrap();
    while socket.read_buf(&mut read).await.is_ok_and(|len| len > 0) {}
}

fn has_headers(read: &[u8]) -> bool {
    let mut rest = read.get(24..).unwrap_or_default();
    while let Some(&[high, middle, low, kind]) = rest.first_chunk::<4>() {
        if kind == 1 {
            return true;
        }
        let len = u32::from_be_bytes([0, high, middle, low]) as usize;
        rest = rest.get(9 + len..).unwrap_or_default();
    }
    false
}

/// Reports when a stream has begun, what it brings, and how it ends.
struct Reporting {
    events: Sender<Event>,
    /// How long a stream that has ended waits for a reset.
    reset_wait: Arc<Mutex<Duration>>,
}

#[derive(Debug)]
enum Event {
    Begun(Box<stream_core::call::CallHead>),
    Ended(Vec<Bytes>, String),
}

impl Handler for Reporting {
    #[expect(refining_impl_trait, reason = "the type is no secret here")]
    fn stream(
        self: Arc<Self>,
        stream: IncomingStream,
    ) -> Result<Routed<futures::Boxed<StreamEnd>>, ApplicationException> {
        let handler = Box::pin(async move {
            let IncomingStream { head, scope, sender: _sender, mut receiver } = stream;
            self.events.send(Event::Begun(Box::new(head))).await.unwrap();
            let mut seen = Vec::new();
            let end = loop {
                match receiver.recv().await {
                    Ok(Some(message)) => seen.push(message),
                    Ok(None) => break "end".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            // A stream that is reset after its end.
            let wait = *self.reset_wait.lock().unwrap();
            let reset = tokio::time::timeout(wait, scope.canceled()).await;
            let end = reset.map_or(end, |reason| Error::from(reason).to_string());
            self.events.send(Event::Ended(seen, end)).await.unwrap();
            StreamEnd::default()
        });
        Ok(Routed { handler, on_cancel: Some(stream_core::handler::OnCancel::Notify) })
    }

    #[expect(refining_impl_trait, reason = "the type is no secret here")]
    fn unary(
        self: Arc<Self>,
        call: UnaryCall,
    ) -> Result<Routed<futures::Boxed<UnaryResponse<HandlerError>>>, ApplicationException> {
        Err(ApplicationException::unknown_method(&String::from_utf8_lossy(&call.head.method)))
    }
}

/// Futures in boxes.
mod futures {
    use std::pin::Pin;

    pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
}

#[tokio::test]
async fn a_server_reads_what_every_recorded_client_sent() {
    let (sender, mut events) = channel(16);
    let listener = bind("127.0.0.1:0").await.unwrap();
    let reset_wait = Arc::<Mutex<Duration>>::default();
    let handler = Reporting { events: sender, reset_wait: reset_wait.clone() };
    let server = Server::new(listener, handler, ServerConfig::default(), protocols(&GrpcConfig::default()));
    let address = server.local_addr().unwrap().to_string();
    tokio::spawn(server.serve());
    for (name, _, _, count, end) in ROWS {
        // One that is not expected would come at once.
        *reset_wait.lock().unwrap() = Duration::from_millis(if *end == "end" { 100 } else { 60_000 });
        check_server(&address, &mut events, name, *count, end).await;
    }
}

async fn check_server(address: &str, events: &mut Receiver<Event>, name: &str, count: usize, end: &str) {
    let sent = frames(name, "c2s");
    let last = |frame: &Value| frame["type"] == "RST_STREAM" || frame["type"] == "GOAWAY";
    let (now, later) = sent.split_at(sent.iter().position(last).unwrap_or(sent.len()));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&bytes(now)).await.unwrap();
    if name == "gzip" {
        return;
    }
    let Event::Begun(head) = soon(events.recv()).await.unwrap() else {
        panic!("{name}: ended before it began")
    };
    let path = sent.iter().find_map(|frame| frame["headers"].as_array()).unwrap();
    let header = |name: &str| {
        let pair = path.iter().find(|pair| pair[0] == name)?;
        Some(pair[1].as_str().unwrap().to_owned())
    };
    let names =
        format!("/lab.{}/{}", String::from_utf8_lossy(&head.service), String::from_utf8_lossy(&head.method));
    assert_eq!(Some(names), header(":path"), "{name}");
    assert_eq!(head.timeout.is_some(), header("grpc-timeout").is_some(), "{name}");
    let persistent = head.metainfo.iter().flat_map(|metainfo| &metainfo.persistent);
    let persistent = persistent.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).next();
    assert_eq!(persistent, header("rpc-persist-pk"), "{name}");
    socket.write_all(&bytes(later)).await.unwrap();
    if end == CLOSED {
        drop(socket);
    }
    let Event::Ended(seen, ended) = soon(events.recv()).await.unwrap() else { panic!("{name}: begun twice") };
    assert_eq!(ended, end, "{name}");
    assert_eq!(seen.len(), count, "{name}");
    assert_eq!(seen, messages(&sent), "{name}");
}
