//! Panics of close callbacks and observers at every kind of end: the call keeps the end that it has, its slot is
//! free, and the connection's other streams go on.

use std::fmt;
use std::time::Duration;

use kitex::observe::{StreamInfo, streams};
use kitex::{Context, Error, Side};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{Data, Header};

use crate::fixture::{
    Bomb, EchoClient, Handlers, Peer, Wire, answer, brief, builder, ended, of_ttheader_alone, req, resp,
    soon, until,
};

const PLACES: [(Side, &str); 5] = [
    (Side::Server, "elsewhere"),
    (Side::Server, "finish"),
    (Side::Server, "on_close"),
    (Side::Client, "finish"),
    (Side::Client, "on_close"),
];

const ENDS: [&str; 7] = ["ok", "cancel", "cause", "drop", "deadline", "error", "panic"];

fn handlers(bomb: &Bomb) -> Handlers {
    let bomb = bomb.clone();
    Handlers::default().bidi(move |_, mut stream| {
        let callback = bomb.clone();
        stream.on_close(move |_| callback.pass("on_close"));
        async move {
            while let Some(req) = stream.recv().await? {
                match req.msg.as_deref() {
                    Some("ok") => return Ok(()),
                    Some("error") => return Err(Error::other("by request")),
                    Some("panic") => panic!("by request"),
                    _ => stream.send(&answer(req)).await?,
                }
            }
            Ok(())
        }
    })
}

/// Opens a stream, ends it so, and returns how the client sees it.
async fn end(client: &EchoClient, how: &str, bomb: &Bomb) -> String {
    let (ctx, canceler) = Context::background().with_cancel();
    let ctx = if how == "deadline" { ctx.with_timeout(Duration::from_millis(200)) } else { ctx };
    let mut stream = match soon(client.bidi(&ctx)).await {
        Ok(stream) => stream,
        // The deadline passed on a busy machine.
        Err(error) => return brief(&error),
    };
    let callback = bomb.clone();
    stream.on_close(move |_| callback.pass("on_close"));
    match how {
        "cancel" => canceler.cancel(),
        "cause" => canceler.cancel_with_cause(Bad { text: true, drop: false }),
        "drop" => {
            drop(stream);
            return "dropped".to_owned();
        }
        "deadline" => {}
        how => soon(stream.send(&req(how, 0))).await.unwrap(),
    }
    let end = soon(stream.recv()).await;
    ended(&end)
}

async fn check(how: &str, (side, at): (Side, &'static str)) {
    let what = format!("{how}, {side:?}, {at}");
    let (bomb, none) = (Bomb::new(at), Bomb::new("nowhere"));
    let (here, there) = if side == Side::Server { (&bomb, &none) } else { (&none, &bomb) };
    let peer =
        Peer::with(handlers(here), |server| server.max_concurrent_streams(2).observer(here.clone())).await;
    let client = peer.client_with(|client| client.observer(there.clone()));
    let mut neighbour = soon(client.bidi(&Context::background())).await.unwrap();
    soon(neighbour.send(&req("", 1))).await.unwrap();
    assert!(soon(neighbour.recv()).await.unwrap().is_some(), "{what}");
    bomb.set(false);
    let expected = end(&client, how, there).await;
    let port: u16 = peer.address.rsplit(':').next().unwrap().parse().unwrap();
    let served = |info: &StreamInfo| {
        info.side == Side::Server && info.local.to_string().ends_with(&format!(":{port}"))
    };
    for _ in 0..4 {
        // The slot is free again.
        until(|| streams().iter().filter(|view| served(&view.info)).count() == 1).await;
        bomb.set(true);
        assert_eq!(end(&client, how, there).await, expected, "{what}");
    }
    until(|| streams().iter().filter(|view| served(&view.info)).count() == 1).await;
    bomb.set(false);
    let sent = soon(neighbour.send(&req("", 2))).await;
    assert_eq!(ended(&sent), "ok", "{what}: the neighbour");
    let received = soon(neighbour.recv()).await;
    assert_eq!(received.as_ref().ok(), Some(&Some(resp("", 2))), "{what}: the neighbour: {received:?}");
    assert_eq!(client.as_ref().pool_stats().dials, 1, "{what}: the same connection");
}

#[tokio::test]
async fn panic_of_a_close_callback_or_observer_keeps_every_kind_of_end() {
    for how in ENDS {
        for place in PLACES {
            Box::pin(check(how, place)).await;
        }
    }
}

/// The callback of the first is called by the task that ends all of them.
#[tokio::test]
async fn panic_of_a_close_callback_at_a_lost_connection_ends_the_other_streams_too() {
    if of_ttheader_alone("its server writes frames by hand") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = EchoClient::new(builder(&address).build().unwrap());
    let mut all = Vec::new();
    for _ in 0..3 {
        let down = client.down(&Context::background(), req("", 0)).await.unwrap();
        down.on_close(|_| panic!("in a close callback"));
        all.push(down);
    }
    let mut wire = Wire::accept(&listener).await;
    for id in 1..=3 {
        wire.frame(id, Header, &[], b"").await;
        wire.message(id, &resp("", 0)).await;
    }
    for down in &mut all {
        assert!(soon(down.recv()).await.unwrap().is_some());
    }
    drop(wire);
    for down in &mut all {
        assert_eq!(ended(&soon(down.recv()).await), "12006 client");
    }
    let mut next = client.down(&Context::background(), req("", 0)).await.unwrap();
    let mut wire = Wire::accept(&listener).await;
    wire.next_of(Data).await;
    wire.frame(1, Header, &[], b"").await;
    wire.message(1, &resp("", 0)).await;
    assert!(soon(next.recv()).await.unwrap().is_some(), "a later stream has a connection of its own");
}

/// An error whose text cannot be written, or panics when it is dropped.
#[derive(Debug)]
struct Bad {
    text: bool,
    drop: bool,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.text, "no text");
        f.write_str("an error")
    }
}

impl std::error::Error for Bad {}

impl Drop for Bad {
    fn drop(&mut self) {
        assert!(!self.drop || std::thread::panicking(), "no drop");
    }
}

/// A value that panics again where the panic that carries it is dropped.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in the drop of a panic's payload");
    }
}

fn fail(how: &str) -> Error {
    match how {
        "text" => Error::other(Bad { text: true, drop: false }),
        "drop" => Error::other(Bad { text: false, drop: true }),
        _ => std::panic::panic_any(Payload),
    }
}

#[tokio::test]
async fn panic_of_a_handlers_error_or_of_a_panics_payload_fails_its_own_call_only() {
    for how in ["text", "drop", "payload"] {
        let handlers = Handlers::default()
            .down(move |_, req, stream| async move {
                if req.seq == Some(7) {
                    return stream.send(&resp("", 7)).await;
                }
                Err(fail(how))
            })
            .ping(move |_, req| async move {
                if req.seq == Some(7) { Ok(answer(req)) } else { Err(fail(how).into()) }
            });
        let peer = Peer::with(handlers, |server| server.max_concurrent_streams(1)).await;
        let client = peer.client();
        let ctx = Context::background();
        for _ in 0..3 {
            let what = how;
            let mut down = soon(client.down(&ctx, req("", 0))).await.unwrap();
            let end = ended(&soon(down.recv()).await);
            assert!(end != "ok" && !end.starts_with("12006"), "{what}: {end}");
            let end = soon(client.ping(&ctx, req("", 0))).await.unwrap_err().to_string();
            assert!(!end.contains("closed") && !end.contains("reset"), "{what}: {end}");
            let served =
                |info: &StreamInfo| info.side == Side::Server && info.local.to_string() == peer.address;
            until(|| !streams().iter().any(|view| served(&view.info))).await;
            let mut down = soon(client.down(&ctx, req("", 7))).await.unwrap();
            assert!(soon(down.recv()).await.unwrap().is_some(), "{what}: a later stream");
            assert!(soon(down.recv()).await.unwrap().is_none(), "{what}");
            until(|| !streams().iter().any(|view| served(&view.info))).await;
            assert!(soon(client.ping(&ctx, req("", 7))).await.is_ok(), "{what}: a later call");
            until(|| !streams().iter().any(|view| served(&view.info))).await;
        }
    }
}
