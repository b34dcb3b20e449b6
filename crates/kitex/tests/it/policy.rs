//! What becomes of a handler whose stream or call is canceled: told, told and then dropped, dropped; for
//! a server, for one method, and when nobody says anything.

use std::time::Duration;

use kitex::server::{OnCancel, ServerBuilder};
use kitex::{Context, Result};
use tokio::sync::watch;

use crate::fixture::{Handlers, LONG, Peer, Tell, ended, reports, req, resp, soon};

/// Tells when a handler's future is gone.
struct Gone(Tell<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.tell("gone");
    }
}

/// A handler that is told, waits for leave to go on, and goes on.
async fn handle(ctx: Context, tell: Tell<&'static str>, mut leave: watch::Receiver<bool>) -> Result<()> {
    let _gone = Gone(tell.clone());
    tell.tell("begun");
    ctx.canceled().await;
    tell.tell("told");
    leave.wait_for(|leave| *leave).await.unwrap();
    tell.tell("went on");
    Ok(())
}

/// A policy, whether the handler gets its leave, and what is left of it.
type Row = (OnCancel, bool, &'static [&'static str]);

const ROWS: &[Row] = &[
    (OnCancel::Notify, true, &["told", "went on", "gone"]),
    (OnCancel::NotifyThenDrop(LONG), true, &["told", "went on", "gone"]),
    (OnCancel::NotifyThenDrop(Duration::from_millis(20)), false, &["told", "gone"]),
    (OnCancel::NotifyThenDrop(Duration::ZERO), false, &["told", "gone"]),
    (OnCancel::Drop, false, &["gone"]),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Stream,
    Call,
}

async fn check(mode: Mode, row: &Row, change: impl FnOnce(ServerBuilder) -> ServerBuilder) {
    let (policy, leave, expected) = row;
    let (tell, mut told) = reports();
    let (give, given) = watch::channel(false);
    let (of_stream, of_call) = ((tell.clone(), given.clone()), (tell, given));
    let handlers = Handlers::default()
        .down(move |ctx, _, _| handle(ctx, of_stream.0.clone(), of_stream.1.clone()))
        .unary(move |ctx, _| {
            let handled = handle(ctx, of_call.0.clone(), of_call.1.clone());
            async move { handled.await.map(|()| resp("", 0)) }
        });
    let peer = Peer::with(handlers, change).await;
    let (client, (ctx, canceler)) = (peer.client(), Context::background().with_cancel());
    let canceled = tokio::spawn(async move {
        match mode {
            Mode::Stream => client.down(&ctx, req("", 0)).await?.recv().await.map(drop),
            Mode::Call => client.unary(&ctx, req("", 0)).await.map(drop),
        }
    });
    assert_eq!(told.next().await, "begun", "{mode:?} {policy:?}");
    canceler.cancel();
    assert_eq!(ended(&soon(canceled).await.unwrap()), "12007 client", "{mode:?} {policy:?}");
    for word in *expected {
        assert_eq!(told.next().await, *word, "{mode:?} {policy:?}");
        if *word == "told" && *leave {
            give.send_replace(true);
        }
    }
}

#[tokio::test]
async fn a_handler_is_told_or_dropped_as_its_server_says() {
    for row in ROWS {
        check(Mode::Stream, row, |server| server.on_cancel(row.0)).await;
        check(Mode::Call, row, |server| server.on_cancel(row.0)).await;
    }
}

#[tokio::test]
async fn what_is_said_for_a_method_counts_more() {
    for row in ROWS {
        let server = if row.0 == OnCancel::Drop { OnCancel::Notify } else { OnCancel::Drop };
        let of = |method: &'static str| {
            move |builder: ServerBuilder| builder.on_cancel_of("Echo", method, row.0).on_cancel(server)
        };
        check(Mode::Stream, row, of("Down")).await;
        check(Mode::Call, row, of("Unary")).await;
    }
}

#[tokio::test]
async fn what_is_said_for_a_method_is_for_no_other() {
    let row = (OnCancel::Drop, false, &["gone"][..]);
    let others = |server: ServerBuilder| {
        let other = OnCancel::Notify;
        server.on_cancel(row.0).on_cancel_of("Echo", "Bidi", other).on_cancel_of("Echo", "Ping", other)
    };
    check(Mode::Stream, &row, others).await;
    check(Mode::Call, &row, others).await;
}

#[tokio::test]
async fn a_handler_that_does_not_listen_is_dropped_if_nobody_says_anything() {
    let row = (OnCancel::default(), false, &["told", "gone"][..]);
    check(Mode::Stream, &row, |server| server).await;
    check(Mode::Call, &row, |server| server).await;
}

/// A dropped handler's code does not run again: neither behind its Recv nor behind its Send.
#[tokio::test]
async fn a_handler_that_is_dropped_at_once_does_not_see_the_cancel() {
    let (tell, mut told) = reports();
    let bidi = move |_, mut stream: kitex::BidiStreamingServer<crate::fixture::Req, _>| {
        let tell = tell.clone();
        async move {
            let _gone = Gone(tell.clone());
            stream.send(&resp("begun", 0)).await?;
            let received = stream.recv().await;
            tell.tell(if received.is_err() { "saw an error" } else { "saw a message" });
            received.map(drop)
        }
    };
    let peer = Peer::with(Handlers::default().bidi(bidi), |server| server.on_cancel(OnCancel::Drop)).await;
    let mut stream = peer.client().bidi(&Context::background()).await.unwrap();
    soon(stream.recv()).await.unwrap();
    drop(stream);
    assert_eq!(told.next().await, "gone");
}

/// A stream that was reset still costs its server a handler as long as that runs: who opens and resets
/// gets nowhere.
#[tokio::test]
async fn a_handler_counts_until_it_has_gone() {
    let rows = [(OnCancel::Drop, "ok"), (OnCancel::Notify, "12900 client")];
    for (policy, expected) in rows {
        let (tell, mut told) = reports();
        let (_give, given) = watch::channel(false);
        let handlers = Handlers::default().down(move |ctx, _, _| handle(ctx, tell.clone(), given.clone()));
        let peer = Peer::with(handlers, |server| server.on_cancel(policy).max_concurrent_streams(1)).await;
        let client = peer.client();
        let first = client.down(&Context::background(), req("", 0)).await.unwrap();
        assert_eq!(told.next().await, "begun");
        drop(first);
        let word = if policy == OnCancel::Drop { "gone" } else { "told" };
        assert_eq!(told.next().await, word, "{policy:?}");
        // What follows is seen on the same connection, so it comes behind the reset.
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.close_send();
        assert_eq!(ended(&soon(bidi.recv()).await), expected, "{policy:?}");
    }
}
