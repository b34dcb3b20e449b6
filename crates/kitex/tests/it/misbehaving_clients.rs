//! Protocol violations by clients, and other protocols: which end a stream, which the connection, and which are ignored.
//! Other streams of the connection are not affected by the first and the last, and the next peer is served as usual.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kitex::bytes::BytesMut;
use kitex::{ApplicationException, BidiStreamingServer, Context, Error, Result};
use ttheader_codec::FrameType::{self, Data, Header, Meta, Rst, Trailer};
use ttheader_codec::{Head, encode_header, key};

use crate::fixture::{
    Handlers, Peer, Reporter, Reports, Req, Resp, Wire, answer, brief, odd_frame, reports, req, soon,
};

/// Echoes, and reports its end or error, with its stream's name.
async fn echo(
    ctx: Context,
    mut stream: BidiStreamingServer<Req, Resp>,
    reporter: Reporter<String>,
) -> Result<()> {
    let name = ctx.transient("name").cloned().unwrap_or_default().escape_ascii().to_string();
    loop {
        match stream.recv().await {
            Ok(Some(req)) => stream.send(&answer(req)).await?,
            Ok(None) => {
                reporter.send(format!("{name} end of requests"));
                return Ok(());
            }
            Err(error) => {
                reporter.send(format!("{name} {}", brief(&error)));
                return Err(error);
            }
        }
    }
}

async fn serve() -> (Peer, Reports<String>) {
    let (reporter, reported) = reports();
    let peer =
        Peer::start(Handlers::default().bidi(move |ctx, stream| echo(ctx, stream, reporter.clone()))).await;
    (peer, reported)
}

/// Opens a stream, and checks that its handler runs.
async fn open(wire: &mut Wire, id: i32) {
    let name = id.to_string();
    let strings: [(&[u8], &[u8]); 2] = [(key::IDL_SERVICE, b"Echo"), (b"RPC_TRANSIT_name", name.as_bytes())];
    wire.frame_of(id, "Bidi", Header, &strings, b"").await;
    wire.message(id, &req("", 0)).await;
    for kind in [Header, Data] {
        let seen = wire.next().await.expect("the stream is served");
        assert_eq!((seen.id, seen.kind), (id, Some(kind)));
    }
}

/// Checks that a stream is open, and that no frames have arrived on any stream.
async fn check_stands(wire: &mut Wire, id: i32, what: &str) {
    wire.message(id, &req("still", 0)).await;
    let seen = wire.next().await.unwrap_or_else(|| panic!("{what}: closed"));
    assert_eq!((seen.id, seen.kind), (id, Some(Data)), "{what}");
}

/// Checks that the server serves a new client.
async fn check_serves(peer: &Peer, what: &str) {
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    bidi.send(&req("fresh", 1)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(1), "{what}");
}

/// The actions of a peer that has the streams 1 and 2 open.
type Act = fn(&mut Wire) -> BoxFuture<'_, ()>;

const HARMLESS: &[(&str, Act)] = &[
    ("frames for a stream that is not there", |wire| {
        async { of_every_type_but_header(wire, 99).await }.boxed()
    }),
    ("frames for a negative one", |wire| async { of_every_type_but_header(wire, -1).await }.boxed()),
    ("frames for the connection, a header too", |wire| {
        async {
            of_every_type_but_header(wire, 0).await;
            wire.frame_of(0, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
            wire.message(0, &req("", 0)).await;
        }
        .boxed()
    }),
    ("an unknown type, on no stream", |wire| {
        async {
            wire.bytes(&odd_frame(0, Some(b"9"), b"")).await;
            wire.bytes(&odd_frame(77, Some(b"9"), b"payload")).await;
            wire.bytes(&odd_frame(77, None, b"payload")).await;
        }
        .boxed()
    }),
    ("meta frames, which are for clients", |wire| {
        async { wire.frame(1, Meta, &[(b"key", b"value")], b"payload").await }.boxed()
    }),
];

async fn of_every_type_but_header(wire: &mut Wire, id: i32) {
    let rst = ApplicationException::new(12007, "of no stream").encode("Bidi", id);
    wire.message(id, &req("of no stream", 0)).await;
    wire.frame(id, Meta, &[(b"key", b"value")], b"").await;
    wire.frame(id, Trailer, &[], b"").await;
    wire.frame(id, Trailer, &[], b"no exception").await;
    wire.frame(id, Rst, &[(key::CANCEL_PATH, b"Unknown")], &rst).await;
    wire.frame(id, Rst, &[], b"").await;
}

#[tokio::test]
async fn frames_without_meaning_are_ignored() {
    let (peer, mut reported) = serve().await;
    for (what, act) in HARMLESS {
        let mut wire = Wire::dial(&peer.address).await;
        open(&mut wire, 1).await;
        open(&mut wire, 2).await;
        act(&mut wire).await;
        check_stands(&mut wire, 1, what).await;
        check_stands(&mut wire, 2, what).await;
        assert_eq!(reported.waiting(), Vec::<String>::new(), "{what}");
        drop(wire);
        let mut ends = [reported.next().await, reported.next().await];
        ends.sort();
        assert_eq!(ends, ["1 12013 nowhere", "2 12013 nowhere"], "{what}");
        check_serves(&peer, what).await;
        assert_eq!(reported.next().await, " 12007 server ServiceA");
    }
}

/// The action on stream 1, the error of its handler, the frame that ends it, and the code in it.
const MISDEEDS: &[(&str, Act, &str, FrameType, i32)] = &[
    (
        "a type that does not exist",
        |wire| async { wire.bytes(&odd_frame(1, Some(b"9"), b"payload")).await }.boxed(),
        "1 12004 server",
        Rst,
        12004,
    ),
    (
        "no type",
        |wire| async { wire.bytes(&odd_frame(1, None, b"")).await }.boxed(),
        "1 12004 server",
        Rst,
        12004,
    ),
    (
        "1,025 pairs",
        |wire| {
            async {
                let strings = vec![(&b"k"[..], &b"v"[..]); 1025];
                let mut frame = BytesMut::new();
                encode_header(&mut frame, Head::streaming(1), strings, [], 0).unwrap();
                wire.bytes(&frame).await;
            }
            .boxed()
        },
        "1 12004 server",
        Rst,
        12004,
    ),
    (
        "a frame of 17 MiB",
        |wire| async { wire.bytes(&odd_frame(1, Some(b"3"), &vec![0; 17 << 20])).await }.boxed(),
        "1 12004 server",
        Rst,
        12004,
    ),
    (
        "a message without a byte",
        |wire| async { wire.frame(1, Data, &[], b"").await }.boxed(),
        "1 codec",
        Trailer,
        7,
    ),
    (
        "a message that is none",
        |wire| async { wire.frame(1, Data, &[], b"\x0b\x00\x01\xff\xff\xff\xff").await }.boxed(),
        "1 codec",
        Trailer,
        7,
    ),
    (
        "messages behind the end of requests",
        |wire| {
            async {
                // In one write, so that the handler does not return before everything has arrived.
                let end = odd_frame(1, Some(Trailer.as_bytes()), b"");
                let late = odd_frame(1, Some(Data.as_bytes()), b"\x00");
                wire.bytes(&[&end[..], &late, &late, &end].concat()).await;
            }
            .boxed()
        },
        "1 end of requests",
        Trailer,
        0,
    ),
    (
        "an end of requests that says what went wrong",
        |wire| {
            async {
                let failed = ApplicationException::new(6, "client failed").encode("Bidi", 1);
                wire.frame(1, Trailer, &[], &failed).await;
            }
            .boxed()
        },
        "1 12001 server",
        Trailer,
        6,
    ),
    (
        "an end of requests that says nothing one can read",
        |wire| async { wire.frame(1, Trailer, &[], b"no exception").await }.boxed(),
        "1 12004 server",
        Trailer,
        6,
    ),
    (
        "more behind an rst",
        |wire| {
            async {
                let rst = odd_frame(1, Some(Rst.as_bytes()), b"");
                let end = odd_frame(1, Some(Trailer.as_bytes()), b"");
                let late = odd_frame(1, Some(Data.as_bytes()), b"\x00");
                wire.bytes(&[&rst[..], &late, &rst, &end, &late].concat()).await;
            }
            .boxed()
        },
        "1 13 server",
        Trailer,
        6,
    ),
];

#[tokio::test]
async fn protocol_violation_of_a_client_ends_only_its_stream() {
    let (peer, mut reported) = serve().await;
    for (what, act, expected, end, code) in MISDEEDS {
        let mut wire = Wire::dial(&peer.address).await;
        open(&mut wire, 1).await;
        open(&mut wire, 2).await;
        act(&mut wire).await;
        let word = reported.next().await;
        assert!(word.starts_with(expected), "{what}: {word}");
        let seen = wire.next().await.unwrap_or_else(|| panic!("{what}: closed"));
        assert_eq!((seen.id, seen.kind), (1, Some(*end)), "{what}");
        assert_eq!(seen.string(key::CANCEL_PATH), None, "{what}: a server's own end has no path");
        if *code == 0 {
            assert!(seen.payload.is_empty(), "{what}");
        } else {
            assert_eq!(seen.error().0, *code, "{what}: {}", seen.error().1);
        }
        check_stands(&mut wire, 2, what).await;
        drop(wire);
        assert_eq!(reported.next().await, "2 12013 nowhere", "{what}");
        check_serves(&peer, what).await;
        assert_eq!(reported.next().await, " 12007 server ServiceA");
    }
}

const OUTRAGES: &[(&str, Act)] = &[
    ("a second header for a live stream", |wire| {
        async { wire.frame_of(1, "Bidi", Header, &[], b"").await }.boxed()
    }),
    ("garbage", |wire| async { wire.bytes(&[0xa5; 100]).await }.boxed()),
    ("another protocol", |wire| async { wire.bytes(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await }.boxed()),
    ("a frame of 4 GiB", |wire| async { wire.bytes(&patched(0, &[0xff; 4])).await }.boxed()),
    ("a frame that is shorter than its header", |wire| {
        async { wire.bytes(&patched(0, &[0, 0, 0, 12])).await }.boxed()
    }),
    ("a header without a word", |wire| async { wire.bytes(&patched(12, &[0, 0])).await }.boxed()),
    ("a call on a connection of streams", |wire| async { wire.bytes(&patched(6, &[0, 0])).await }.boxed()),
    ("a protocol id that does not exist", |wire| async { wire.bytes(&patched(14, &[0x77])).await }.boxed()),
    ("a transform", |wire| async { wire.bytes(&patched(15, &[1])).await }.boxed()),
    ("a block that does not exist", |wire| async { wire.bytes(&patched(16, &[0x77])).await }.boxed()),
    ("a block that leads past its end", |wire| {
        async { wire.bytes(&patched(17, &[0xff, 0xff])).await }.boxed()
    }),
    ("half a frame, and gone", |wire| {
        async {
            let frame = odd_frame(1, Some(b"3"), &[0; 100]);
            wire.bytes(&frame[..60]).await;
            wire.close().await;
        }
        .boxed()
    }),
];

/// A data frame for stream 1 with other bytes in one place.
fn patched(at: usize, bytes: &[u8]) -> BytesMut {
    let mut frame = odd_frame(1, Some(b"3"), b"\x00");
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[tokio::test]
async fn broken_frame_closes_the_connection() {
    let (peer, mut reported) = serve().await;
    for (what, act) in OUTRAGES {
        let mut wire = Wire::dial(&peer.address).await;
        open(&mut wire, 1).await;
        open(&mut wire, 2).await;
        act(&mut wire).await;
        let mut ends = [reported.next().await, reported.next().await];
        ends.sort();
        assert_eq!(ends, ["1 12013 nowhere", "2 12013 nowhere"], "{what}");
        assert!(wire.is_closed_by_peer().await, "{what}");
        check_serves(&peer, what).await;
        assert_eq!(reported.next().await, " 12007 server ServiceA");
    }
}

/// A payload of one byte differs from an empty one: a struct without fields is a message.
#[tokio::test]
async fn lone_stop_byte_is_a_message() {
    let (peer, _reported) = serve().await;
    let mut wire = Wire::dial(&peer.address).await;
    open(&mut wire, 1).await;
    wire.frame(1, Data, &[], b"\x00").await;
    let seen = wire.next().await.unwrap();
    assert_eq!((seen.kind, &seen.payload[..]), (Some(Data), &b"\x00"[..]));
}

#[tokio::test]
async fn stream_ids_may_be_anything_but_0_and_be_reused() {
    let (peer, mut reported) = serve().await;
    let mut wire = Wire::dial(&peer.address).await;
    let ids = [i32::MAX, i32::MIN, -1, 1, 2];
    for id in ids.into_iter().chain(ids) {
        open(&mut wire, id).await;
        wire.frame(id, Trailer, &[], b"").await;
        let seen = wire.next().await.unwrap();
        assert_eq!((seen.id, seen.kind), (id, Some(Trailer)));
        assert_eq!(reported.next().await, format!("{id} end of requests"));
    }
}

#[tokio::test]
async fn preface_of_another_protocol_closes_the_connection() {
    let (peer, _reported) = serve().await;
    let rows: &[(&str, &[u8])] = &[
        ("broken HTTP/2", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n"),
        ("TLS", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("HTTP/1", b"GET / HTTP/1.1\r\n\r\n"),
        ("unframed Thrift", &[0x80, 1, 0, 1, 0, 0, 0, 4, b'P', b'i', b'n', b'g']),
        ("zeroes", &[0; 64]),
    ];
    for (what, bytes) in rows {
        let mut wire = Wire::dial(&peer.address).await;
        wire.bytes(bytes).await;
        assert!(wire.is_closed_by_peer().await, "{what}");
        check_serves(&peer, what).await;
    }
    for bytes in [&b""[..], &[0, 0, 0, 86, 0x10, 0, 0]] {
        let mut wire = Wire::dial(&peer.address).await;
        wire.bytes(bytes).await;
        wire.close().await;
        assert!(wire.is_closed_by_peer().await, "{bytes:?} and gone");
        check_serves(&peer, "and gone").await;
    }
}

/// Waits for the 5 s that the first eight bytes may take.
#[tokio::test]
async fn preface_that_is_missing_closes_the_connection() {
    let (peer, _reported) = serve().await;
    let (mut silent, mut half) = (Wire::dial(&peer.address).await, Wire::dial(&peer.address).await);
    half.bytes(&[0, 0, 0, 86, 0x10, 0, 0]).await;
    check_serves(&peer, "while two are silent").await;
    assert!(silent.is_closed_by_peer().await && half.is_closed_by_peer().await);
}

#[tokio::test]
async fn error_text_of_a_client_forges_no_log_line() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |ctx, stream| {
        let reporter = reporter.clone();
        async move {
            stream.send(&Resp::default()).await?;
            let error = Error::from(ctx.canceled().await);
            reporter.send((error.to_string(), format!("{error:?}")));
            Err(error)
        }
    });
    let peer = Peer::start(handlers).await;
    let mut wire = Wire::dial(&peer.address).await;
    let strings: [(&[u8], &[u8]); 1] = [(key::IDL_SERVICE, b"Echo")];
    wire.frame_of(1, "Bidi", Header, &strings, b"").await;
    wire.next_of(Data).await;
    let rst = ApplicationException::new(12007, "one\nERROR two\x1b[2J\r\0\u{9b}three").encode("Bidi", 1);
    wire.frame(1, Rst, &[(key::CANCEL_PATH, b"Evil\nService,\x1b[31mred,\xff\x00")], &rst).await;
    let (shown, debug) = reported.next().await;
    assert!(!shown.contains(char::is_control) && !debug.contains(char::is_control), "{shown:?} {debug:?}");
    assert_eq!(
        shown,
        "[ttstream error, code=12007] [server-side stream] \
         [canceled path: Evil\\nService -> \\u{1b}[31mred -> \u{fffd}\\u{0}] \
         one\\nERROR two\\u{1b}[2J\\r\\u{0}\\u{9b}three"
    );
    // A method name that is not printable.
    wire.frame_of(2, "Evil\nMethod", Header, &strings, b"").await;
    let end = loop {
        let seen = wire.next_of(Trailer).await;
        if seen.id == 2 {
            break seen;
        }
    };
    assert_eq!(end.error(), (1, "unknown method Evil\nMethod".to_owned()), "its own words, sent back to it");
}
