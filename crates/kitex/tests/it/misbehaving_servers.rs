//! Protocol violations by servers: which end a stream, which the connection, and which are ignored. Other streams of the
//! connection are not affected by the first and the last, and a lost connection is replaced.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kitex::{ApplicationException, BidiStreamingClient, Context};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{self, Data, Header, Meta, Rst, Trailer};
use ttheader_codec::key;

use crate::fixture::{EchoClient, Req, Resp, Wire, brief, builder, odd_frame, req, resp, soon};

type Strings<'a> = &'a [(&'a [u8], &'a [u8])];
type Stream = BidiStreamingClient<Req, Resp>;

/// A client that has the streams 1 and 2 open, and the server's end of its connection.
struct Stage {
    listener: TcpListener,
    client: EchoClient,
    one: Stream,
    two: Stream,
    wire: Wire,
}

impl Stage {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client = EchoClient::new(builder(&address).build().unwrap());
        let mut opened = Vec::new();
        for seq in [1, 2] {
            let stream = client.bidi(&Context::background()).await.unwrap();
            stream.send(&req("", seq)).await.unwrap();
            opened.push(stream);
        }
        let mut wire = Wire::accept(&listener).await;
        for (id, kind) in [(1, Header), (1, Data), (2, Header), (2, Data)] {
            let seen = wire.next().await.unwrap();
            assert_eq!((seen.id, seen.kind), (id, Some(kind)));
        }
        let two = opened.pop().unwrap();
        Self { listener, client, one: opened.pop().unwrap(), two, wire }
    }

    /// Checks that stream 2 is open. Returns the frames that arrived on stream 1 before, one letter each.
    async fn check_two(&mut self, what: &str) -> String {
        self.wire.frame(2, Header, &[], b"").await;
        self.wire.message(2, &resp("", 2)).await;
        assert_eq!(soon(self.two.recv()).await.unwrap().unwrap().seq, Some(2), "{what}");
        self.two.send(&req("", 3)).await.unwrap();
        let mut back = String::new();
        loop {
            let seen = self.wire.next().await.unwrap_or_else(|| panic!("{what}: closed"));
            match (seen.id, seen.kind) {
                (1, Some(Rst)) => back.push_str(&format!("R{} ", seen.error().0)),
                (1, Some(Trailer)) => back.push('T'),
                (2, Some(Data)) => return back,
                other => panic!("{what}: {other:?}"),
            }
        }
    }

    /// Checks that the client reaches the server again, on another connection.
    async fn check_again(&mut self, what: &str) {
        let mut stream = self.client.bidi(&Context::background()).await.unwrap();
        stream.send(&req("", 0)).await.unwrap();
        let mut wire = Wire::accept(&self.listener).await;
        wire.next_of(Data).await;
        wire.frame(1, Header, &[], b"").await;
        wire.frame(1, Trailer, &[], b"").await;
        assert_eq!(soon(stream.recv()).await.unwrap(), None, "{what}");
    }
}

/// Everything that is received from the stream: the numbers of messages, and how it ended.
async fn drain(stream: &mut Stream) -> String {
    let mut seen = String::new();
    loop {
        match soon(stream.recv()).await {
            Ok(Some(resp)) => seen.push_str(&format!("{} ", resp.seq.unwrap_or(-1))),
            Ok(None) => return seen + "ok",
            Err(kitex::Error::Codec(_)) => seen.push_str("codec "),
            Err(error) => return seen + &brief(&error),
        }
    }
}

/// The action of the server on stream 1.
type Act = fn(&mut Wire) -> BoxFuture<'_, ()>;

/// What the client receives on stream 1, and what it sends on it.
const MISDEEDS: &[(&str, Act, &str, &str)] = &[
    (
        "two headers",
        |wire| {
            async {
                wire.frame(1, Header, &[], b"").await;
                wire.message(1, &resp("", 0)).await;
                wire.frame(1, Header, &[], b"").await;
                answer(wire).await;
            }
            .boxed()
        },
        "0 12002 client",
        "R12002 T",
    ),
    (
        "a type that does not exist",
        |wire| {
            async {
                wire.frame(1, Header, &[], b"").await;
                wire.bytes(&odd_frame(1, Some(b"9"), b"payload")).await;
                answer(wire).await;
            }
            .boxed()
        },
        "12004 client",
        "R12004 T",
    ),
    (
        "no type",
        |wire| async { wire.bytes(&odd_frame(1, None, b"")).await }.boxed(),
        "12004 client",
        "R12004 T",
    ),
    (
        "frames for streams that are not there",
        |wire| {
            async {
                for id in [0, 77, -1, i32::MIN] {
                    for kind in [Header, Data, Meta, Trailer, Rst] {
                        wire.frame(id, kind, &[(key::CANCEL_PATH, b"Unknown")], b"payload").await;
                    }
                    wire.bytes(&odd_frame(if id == 0 { 0 } else { 99 }, Some(b"9"), b"")).await;
                }
                answer(wire).await;
            }
            .boxed()
        },
        "0 ok",
        "T",
    ),
    (
        "meta frames",
        |wire| {
            async {
                wire.frame(1, Meta, &[(b"key", b"value")], b"payload").await;
                answer(wire).await;
                wire.frame(1, Meta, &[(b"key", b"value")], b"payload").await;
            }
            .boxed()
        },
        "0 ok",
        "T",
    ),
    (
        "no header",
        |wire| {
            async {
                wire.message(1, &resp("", 0)).await;
                wire.frame(1, Trailer, &[], b"").await;
            }
            .boxed()
        },
        "0 ok",
        "T",
    ),
    ("an end alone", |wire| async { wire.frame(1, Trailer, &[], b"").await }.boxed(), "ok", "T"),
    (
        "more behind the end",
        |wire| {
            async {
                answer(wire).await;
                answer(wire).await;
                wire.frame(1, Rst, &[], b"").await;
                wire.bytes(&odd_frame(1, Some(b"9"), b"")).await;
            }
            .boxed()
        },
        "0 ok",
        "T",
    ),
    (
        "messages that are none",
        |wire| {
            async {
                wire.frame(1, Data, &[], b"").await;
                wire.frame(1, Data, &[], b"\x0b\x00\x01\xff\xff\xff\xff").await;
                wire.frame(1, Data, &[], b"\x00").await;
                answer(wire).await;
            }
            .boxed()
        },
        "codec codec -1 0 ok",
        "T",
    ),
    (
        "a frame of 17 MiB",
        |wire| async { wire.bytes(&odd_frame(1, Some(b"3"), &vec![0; 17 << 20])).await }.boxed(),
        "12004 client",
        "R12004 T",
    ),
    (
        "an end that says nothing one can read",
        |wire| async { wire.frame(1, Trailer, &[], b"no exception").await }.boxed(),
        "12004 client",
        "T",
    ),
    (
        "an end with an invalid business error",
        |wire| {
            async {
                let strings: [(&[u8], &[u8]); 2] = [(key::BIZ_STATUS, b"404"), (key::BIZ_EXTRA, b"{\"k\":")];
                wire.frame(1, Trailer, &strings, b"").await;
            }
            .boxed()
        },
        "12003 client",
        "T",
    ),
    (
        "an end with a business error of nothing",
        |wire| async { wire.frame(1, Trailer, &[(key::BIZ_STATUS, b"0")], b"").await }.boxed(),
        "ok",
        "T",
    ),
    (
        "an exception and a business error",
        |wire| {
            async {
                let failed = ApplicationException::new(6, "failed").encode("Bidi", 1);
                wire.frame(1, Trailer, &[(key::BIZ_STATUS, b"404")], &failed).await;
            }
            .boxed()
        },
        "12001 client",
        "T",
    ),
    (
        "an rst, and ends behind it",
        |wire| {
            async {
                wire.frame(1, Rst, &[], b"").await;
                wire.frame(1, Trailer, &[], b"").await;
                wire.frame(1, Rst, &[], b"").await;
            }
            .boxed()
        },
        "13 client",
        "T",
    ),
    (
        "an rst, and messages behind it",
        |wire| {
            async {
                wire.frame(1, Rst, &[], b"").await;
                answer(wire).await;
                answer(wire).await;
            }
            .boxed()
        },
        "13 client",
        "TR13 ",
    ),
];

/// Header, one message, trailer; a header that is the second is a protocol violation.
async fn answer(wire: &mut Wire) {
    wire.message(1, &resp("", 0)).await;
    wire.frame(1, Trailer, &[], b"").await;
}

#[tokio::test]
async fn protocol_violation_of_a_server_ends_at_most_its_stream() {
    for (what, act, expected, back) in MISDEEDS {
        let mut stage = Stage::new().await;
        act(&mut stage.wire).await;
        assert_eq!(drain(&mut stage.one).await, *expected, "{what}");
        assert_eq!(stage.check_two(what).await, *back, "{what}");
    }
}

const OUTRAGES: &[(&str, Act, &str)] = &[
    ("garbage", |wire| async { wire.bytes(&[0xa5; 100]).await }.boxed(), "12004 client"),
    ("a frame of 4 GiB", |wire| async { wire.bytes(&patched(0, &[0xff; 4])).await }.boxed(), "12004 client"),
    ("a response to a call", |wire| async { wire.bytes(&patched(6, &[0, 0])).await }.boxed(), "12004 client"),
    ("a transform", |wire| async { wire.bytes(&patched(15, &[1])).await }.boxed(), "12004 client"),
    (
        "half a frame, and gone",
        |wire| {
            async {
                wire.bytes(&odd_frame(1, Some(b"3"), b"payload")[..20]).await;
                wire.close().await;
            }
            .boxed()
        },
        "12006 client",
    ),
    ("gone", |wire| async { wire.close().await }.boxed(), "12006 client"),
];

/// A data frame for stream 1 with other bytes in one place.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = odd_frame(1, Some(b"3"), b"\x00").to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[tokio::test]
async fn broken_frame_closes_the_connection() {
    for (what, act, expected) in OUTRAGES {
        let mut stage = Stage::new().await;
        stage.wire.frame(1, Header, &[], b"").await;
        stage.wire.message(1, &resp("", 0)).await;
        act(&mut stage.wire).await;
        assert_eq!(drain(&mut stage.one).await, format!("0 {expected}"), "{what}: what came first is there");
        assert_eq!(drain(&mut stage.two).await, *expected, "{what}");
        assert!(stage.wire.is_closed_by_peer().await, "{what}");
        stage.check_again(what).await;
    }
}

#[tokio::test]
async fn error_text_of_a_server_forges_no_log_line() {
    let forged = "one\nERROR two\x1b[2J\r\u{9b}three";
    let exception = ApplicationException::new(12009, forged).encode("Bidi", 1);
    let rows: &[(FrameType, Strings<'_>, &[u8])] = &[
        (Rst, &[(key::CANCEL_PATH, b"Evil\nService,\x1b[31mred,\xff\x00")], &exception),
        (Trailer, &[], &exception),
        (Trailer, &[(key::BIZ_STATUS, b"404"), (key::BIZ_MESSAGE, forged.as_bytes())], b""),
        (Trailer, &[(key::BIZ_STATUS, b"404"), (key::BIZ_EXTRA, b"\x1b[2J")], b""),
        (Trailer, &[], forged.as_bytes()),
        (Data, &[], forged.as_bytes()),
    ];
    for (kind, strings, payload) in rows {
        let mut stage = Stage::new().await;
        stage.wire.frame(1, *kind, strings, payload).await;
        let error = soon(stage.one.recv()).await.unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains(char::is_control), "{kind:?}: {shown:?}");
        }
    }
}
