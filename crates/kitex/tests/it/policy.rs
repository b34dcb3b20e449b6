//! `OnCancel`: what happens to a handler whose stream or call is canceled; for a server, for one method, and by default.

use std::time::Duration;

use kitex::client::Retry;
use kitex::server::{OnCancel, ServerBuilder};
use kitex::{Context, Result};
use tokio::sync::watch;

use crate::fixture::of_ttheader_alone;
use crate::fixture::{Handlers, LONG, Peer, Reporter, ended, reports, req, resp, soon};

/// Reports when a handler's future is dropped.
struct Gone(Reporter<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send("gone");
    }
}

/// A handler that is notified, waits for a permit, and continues.
async fn handle(
    ctx: Context,
    reporter: Reporter<&'static str>,
    mut leave: watch::Receiver<bool>,
) -> Result<()> {
    let _gone = Gone(reporter.clone());
    reporter.send("begun");
    ctx.canceled().await;
    reporter.send("notified");
    leave.wait_for(|leave| *leave).await.unwrap();
    reporter.send("went on");
    Ok(())
}

/// A policy, whether the handler gets its permit, and what it reports.
type Row = (OnCancel, bool, &'static [&'static str]);

const ROWS: &[Row] = &[
    (OnCancel::Notify, true, &["notified", "went on", "gone"]),
    (OnCancel::NotifyThenDrop(LONG), true, &["notified", "went on", "gone"]),
    (OnCancel::NotifyThenDrop(Duration::from_millis(20)), false, &["notified", "gone"]),
    (OnCancel::NotifyThenDrop(Duration::ZERO), false, &["notified", "gone"]),
    (OnCancel::Drop, false, &["gone"]),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Stream,
    Call,
}

async fn check(mode: Mode, row: &Row, change: impl FnOnce(ServerBuilder) -> ServerBuilder) {
    let (policy, leave, expected) = row;
    let (reporter, mut reported) = reports();
    let (give, given) = watch::channel(false);
    let (of_stream, of_call) = ((reporter.clone(), given.clone()), (reporter, given));
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
    assert_eq!(reported.next().await, "begun", "{mode:?} {policy:?}");
    canceler.cancel();
    assert_eq!(ended(&soon(canceled).await.unwrap()), "12007 client", "{mode:?} {policy:?}");
    for word in *expected {
        assert_eq!(reported.next().await, *word, "{mode:?} {policy:?}");
        if *word == "notified" && *leave {
            give.send_replace(true);
        }
    }
}

#[tokio::test]
async fn on_cancel_notifies_or_drops_the_handler() {
    for row in ROWS {
        check(Mode::Stream, row, |server| server.on_cancel(row.0)).await;
        check(Mode::Call, row, |server| server.on_cancel(row.0)).await;
    }
}

#[tokio::test]
async fn on_cancel_of_a_method_overrides_the_servers() {
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
async fn on_cancel_of_a_method_applies_to_no_other() {
    let row = (OnCancel::Drop, false, &["gone"][..]);
    let others = |server: ServerBuilder| {
        let other = OnCancel::Notify;
        server.on_cancel(row.0).on_cancel_of("Echo", "Bidi", other).on_cancel_of("Echo", "Ping", other)
    };
    check(Mode::Stream, &row, others).await;
    check(Mode::Call, &row, others).await;
}

#[tokio::test]
async fn on_cancel_by_default_drops_a_handler_after_its_grace() {
    let row = (OnCancel::default(), false, &["notified", "gone"][..]);
    check(Mode::Stream, &row, |server| server).await;
    check(Mode::Call, &row, |server| server).await;
}

/// A dropped handler's code does not run again, neither after its Recv nor after its Send.
#[tokio::test]
async fn on_cancel_drop_runs_no_line_after_the_cancel() {
    let (reporter, mut reported) = reports();
    let bidi = move |_, mut stream: kitex::BidiStreamingServer<crate::fixture::Req, _>| {
        let reporter = reporter.clone();
        async move {
            let _gone = Gone(reporter.clone());
            stream.send(&resp("begun", 0)).await?;
            let received = stream.recv().await;
            reporter.send(if received.is_err() { "saw an error" } else { "saw a message" });
            received.map(drop)
        }
    };
    let peer = Peer::with(Handlers::default().bidi(bidi), |server| server.on_cancel(OnCancel::Drop)).await;
    let mut stream = peer.client().bidi(&Context::background()).await.unwrap();
    soon(stream.recv()).await.unwrap();
    drop(stream);
    assert_eq!(reported.next().await, "gone");
}

/// The handler of a reset stream still counts until it returns, so a client that opens and resets streams
/// cannot exceed the limit.
#[tokio::test]
async fn max_concurrent_streams_counts_running_handlers() {
    if of_ttheader_alone("a stream's place is free when it is reset, and there are two handlers a place") {
        return;
    }
    let rows = [(OnCancel::Drop, "ok"), (OnCancel::Notify, "12900 client")];
    for (policy, expected) in rows {
        let (reporter, mut reported) = reports();
        let (_give, given) = watch::channel(false);
        let handlers =
            Handlers::default().down(move |ctx, _, _| handle(ctx, reporter.clone(), given.clone()));
        let peer = Peer::with(handlers, |server| server.on_cancel(policy).max_concurrent_streams(1)).await;
        let client = peer.client_with(|client| client.retry(Retry::none()));
        let first = client.down(&Context::background(), req("", 0)).await.unwrap();
        assert_eq!(reported.next().await, "begun");
        drop(first);
        let word = if policy == OnCancel::Drop { "gone" } else { "notified" };
        assert_eq!(reported.next().await, word, "{policy:?}");
        // Sent on the same connection, so it arrives after the reset.
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.close_send();
        assert_eq!(ended(&soon(bidi.recv()).await), expected, "{policy:?}");
    }
}
