//! Frames received by one read, complete and in parts. Handlers are woken one after another; one that blocks its thread
//! does not delay others as long as there is another thread.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use kitex::Context;
use kitex::bytes::BytesMut;
use kitex::client::SocketConfig;
use kitex::kitex_thrift::Payload;
use ttheader_codec::FrameType;

use crate::fixture::{
    Handlers, LONG, Peer, Req, Resp, Wire, answer, ended, frame_of, large, reports, req, resp, soon,
};

/// Responds to each message; at "block" only when another stream ends, and until then it blocks its thread, which
/// a handler should not do. Returns the handlers and the release.
fn blocks() -> (Handlers, mpsc::SyncSender<()>) {
    let (go, gone) = mpsc::sync_channel(1);
    let (goes, gone) = (go.clone(), Arc::new(Mutex::new(gone)));
    let handlers = Handlers::default().bidi(move |_, mut stream| {
        let (go, gone) = (go.clone(), gone.clone());
        async move {
            while let Some(req) = stream.recv().await? {
                match req.msg.as_deref() {
                    Some("block") => gone.lock().unwrap().recv().unwrap(),
                    Some("go") => go.send(()).unwrap(),
                    _ => {}
                }
                stream.send(&resp(req.msg.as_deref().unwrap_or_default(), 0)).await?;
            }
            Ok(())
        }
    });
    (handlers, goes)
}

/// A connection with two streams whose handlers wait for a message.
async fn two_streams(peer: &Peer) -> Wire {
    let mut wire = Wire::dial(&peer.address).await;
    for id in [1, 2] {
        wire.frame_of(id, "Bidi", FrameType::Header, &[], b"").await;
        wire.bytes(&message(id, "hello")).await;
        assert_eq!(next(&mut wire).await, (id, "hello".into()));
    }
    wire
}

fn message(id: i32, word: &str) -> BytesMut {
    frame(id, &req(word, 0))
}

fn frame(id: i32, req: &Req) -> BytesMut {
    let mut payload = BytesMut::new();
    req.encode(&mut payload).unwrap();
    frame_of(id, "Bidi", FrameType::Data, &[], &payload)
}

/// The next message: its stream and its text.
async fn next(wire: &mut Wire) -> (i32, String) {
    let seen = wire.next_of(FrameType::Data).await;
    (seen.id, Resp::decode(seen.payload).unwrap().msg.unwrap().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_handler_does_not_delay_messages_of_the_same_read() {
    let (handlers, _go) = blocks();
    let peer = Peer::start(handlers).await;
    let mut wire = two_streams(&peer).await;
    for (first, second) in [("block", "go"), ("go", "block")] {
        let mut both = message(1, first);
        both.unsplit(message(2, second));
        wire.bytes(&both).await;
        let mut answers = [next(&mut wire).await, next(&mut wire).await];
        answers.sort();
        assert_eq!(answers, [(1, first.into()), (2, second.into())]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_handler_does_not_delay_responses() {
    let (handlers, go) = blocks();
    let peer = Peer::start(handlers).await;
    let mut wire = two_streams(&peer).await;
    let mut both = message(1, "response");
    both.unsplit(message(2, "block"));
    wire.bytes(&both).await;
    assert_eq!(next(&mut wire).await, (1, "response".into()));
    go.send(()).unwrap();
    assert_eq!(next(&mut wire).await, (2, "block".into()));
}

/// The size of a message, and how many bytes of its frame arrive with another frame before the rest.
const CUTS: &[(usize, usize)] = &[
    (10, 1),
    (10, 13),
    (10, 14),
    (10, 40),
    (3_000, 2_900),
    (5_000, 4_096),
    (5_000, 4_097),
    (20_000, 19_000),
    (100_000, 50),
    (100_000, 60_000),
];

#[tokio::test]
async fn frame_in_parts_is_read_whole() {
    let handlers = Handlers::default().bidi(|_, mut stream| async move {
        while let Some(req) = stream.recv().await? {
            stream.send(&resp("", req.payload.map_or(0, |payload| payload.len() as i64))).await?;
        }
        Ok(())
    });
    let peer = Peer::start(handlers).await;
    let mut wire = Wire::dial(&peer.address).await;
    for id in [1, 2] {
        wire.frame_of(id, "Bidi", FrameType::Header, &[], b"").await;
    }
    for (len, cut) in CUTS {
        let mut first = message(1, "");
        let mut cut_off = frame(2, &large(*len));
        let rest = cut_off.split_off(*cut);
        first.unsplit(cut_off);
        wire.bytes(&first).await;
        assert_eq!(wire.next_of(FrameType::Data).await.id, 1, "{len} bytes, cut at {cut}");
        wire.bytes(&rest).await;
        let seen = wire.next_of(FrameType::Data).await;
        let answer = Resp::decode(seen.payload).unwrap();
        assert_eq!((seen.id, answer.seq), (2, Some(*len as i64)), "{len} bytes, cut at {cut}");
    }
}

/// On one thread, so that a connection that never parks would starve other tasks.
#[tokio::test]
async fn busy_poll_starves_no_other_task() {
    let busy = || SocketConfig::default().busy_poll(LONG);
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default()
        .bidi(|_, mut stream| async move {
            while let Some(req) = stream.recv().await? {
                stream.send(&answer(req)).await?;
            }
            Ok(())
        })
        .down(move |ctx, _, stream| {
            let reporter = reporter.clone();
            async move {
                stream.send(&resp("", 0)).await?;
                let result: kitex::Result<()> = Err(ctx.canceled().await.into());
                reporter.send(ended(&result));
                result
            }
        });
    let peer = Peer::with(handlers, |server| server.socket(busy())).await;
    let client = peer.client_with(|client| client.socket(busy()));

    let mut echo = client.bidi(&Context::background()).await.unwrap();
    for seq in 0..3 {
        echo.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(echo.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    let (ctx, canceler) = Context::background().with_cancel();
    let mut canceled = client.down(&ctx, req("", 0)).await.unwrap();
    soon(canceled.recv()).await.unwrap().unwrap();
    canceler.cancel();
    assert_eq!(reported.next().await, "12007 server ServiceA");
    let ctx = Context::background().with_timeout(Duration::from_millis(20));
    let late = async {
        let mut late = client.down(&ctx, req("", 0)).await?;
        while late.recv().await?.is_some() {}
        Ok(())
    };
    assert_eq!(ended(&soon(late).await), "12015 client");
    drop(echo);
    peer.shut_down().await;
}
