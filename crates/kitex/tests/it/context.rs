//! The context of a handler: what it inherits, `spawn`, `detach`, deadlines. Deadlines run on a paused clock.

use std::time::{Duration, Instant};

use kitex::{Address, Context, Reason};
use tokio::sync::watch;

use crate::fixture::chain::client;
use crate::fixture::{Handlers, Peer, Reporter, answer, brief, ended, reports, req, resp, soon};

/// Reports when its owner is dropped.
struct Gone(Reporter<String>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send("gone".to_owned());
    }
}

#[tokio::test]
async fn context_has_the_service_and_the_caller() {
    let (reporter, mut reported) = reports();
    let unary = move |ctx: Context, req| {
        let loopback = ctx.peer().and_then(Address::ip).is_some_and(|ip| ip.is_loopback());
        let method = format!("{:?}", ctx.method().unwrap());
        reporter.send((ctx.service().map(str::to_owned), method, loopback));
        async { Ok(answer(req)) }
    };
    let peer = Peer::start(Handlers::default().unary(unary)).await;
    soon(peer.client().unary(&Context::background(), req("", 0))).await.unwrap();
    assert_eq!(reported.next().await, (Some("ServiceB".to_owned()), "Echo.Unary (Unary)".to_owned(), true));
    let own = Context::background();
    assert!(own.service().is_none() && own.method().is_none() && own.peer().is_none());
    assert!(own.metadata().is_none() && own.deadline().is_none() && own.reason().is_none());
}

#[tokio::test]
async fn detach_outlives_the_caller() {
    let (reporter, mut reported) = reports();
    let saved = reporter.clone();
    let unary = move |ctx: Context, req: crate::fixture::Req| {
        let pk = ctx.persistent("pk").map(|value| String::from_utf8_lossy(value).into_owned());
        saved.send(format!("saved {} for {}", req.seq.unwrap_or_default(), pk.unwrap_or_default()));
        async { Ok(answer(req)) }
    };
    let store = Peer::start(Handlers::default().unary(unary)).await;
    let store = client("Store", &store.address);
    let handlers = Handlers::default().down(move |ctx, _, stream| {
        let (store, reporter) = (store.clone(), reporter.clone());
        async move {
            stream.send(&resp("begun", 0)).await?;
            let detached = ctx.detach();
            ctx.canceled().await;
            reporter.send(ended(&store.unary(&ctx, req("", 1)).await));
            reporter.send(ended(&store.unary(&detached, req("", 2)).await));
            reporter.send(ended(&store.unary(&ctx.detach(), req("", 3)).await));
            reporter.send(format!("{:?} {:?}", detached.reason(), detached.deadline()));
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let ctx = Context::background().with_persistent("pk", "A").with_timeout(Duration::from_secs(500));
    let mut down = peer.client().down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    drop(down);
    let words = ["12007 client ServiceA", "saved 2 for A", "ok", "saved 3 for A", "ok", "None None"];
    for word in words {
        assert_eq!(reported.next().await, word);
    }
}

/// The context of a spawned task, and how the task ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Under {
    TheContext,
    Detached,
}

#[tokio::test]
async fn spawn_ends_with_its_context() {
    for (under, ends) in [(Under::TheContext, true), (Under::Detached, false)] {
        let (reporter, mut reported) = reports();
        let (go, gone) = watch::channel(false);
        let handlers = Handlers::default().down(move |ctx, _, stream| {
            let (reporter, mut gone) = (reporter.clone(), gone.clone());
            let ctx = if under == Under::Detached { ctx.detach() } else { ctx };
            async move {
                let inner = ctx.clone();
                let task = ctx.spawn(async move {
                    let _gone = Gone(reporter.clone());
                    reporter.send(format!("{:?}", inner.persistent("pk")));
                    gone.wait_for(|gone| *gone).await.unwrap();
                    reporter.send("done".to_owned());
                });
                stream.send(&resp("begun", 0)).await?;
                // Tasks of a handler end with it.
                drop(task);
                Ok(())
            }
        });
        let peer = Peer::start(handlers).await;
        let ctx = Context::background().with_persistent("pk", "pv");
        let mut down = peer.client().down(&ctx, req("", 0)).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        assert_eq!(reported.next().await, "Some(b\"pv\")");
        if ends {
            assert_eq!(reported.next().await, "gone", "{under:?}");
        } else {
            go.send_replace(true);
            assert_eq!(
                (reported.next().await, reported.next().await),
                ("done".to_owned(), "gone".to_owned())
            );
        }
    }
}

#[tokio::test]
async fn spawn_returns_its_result_or_none() {
    let (ctx, canceler) = Context::background().with_cancel();
    assert_eq!(soon(ctx.spawn(async { 7 })).await.unwrap(), Some(7));
    let waiting = ctx.spawn(std::future::pending::<()>());
    let ready = ctx.spawn(async { 8 });
    canceler.cancel();
    assert_eq!(soon(waiting).await.unwrap(), None);
    assert_eq!(soon(ready).await.unwrap(), Some(8), "what is done is done");
    assert_eq!(soon(ctx.spawn(std::future::pending::<()>())).await.unwrap(), None);
    let free = ctx.detach().spawn(async {
        tokio::task::yield_now().await;
        9
    });
    assert_eq!(soon(free).await.unwrap(), Some(9));
}

#[tokio::test]
async fn streams_of_a_spawned_task_end_with_the_context() {
    let (reporter, mut reported) = reports();
    let (next_reporter, mut next_reported) = reports();
    let next = Peer::start(crate::fixture::chain::idle(next_reporter)).await;
    let next = client("ServiceC", &next.address);
    let handlers = Handlers::default().down(move |ctx, _, stream| {
        let (reporter, next) = (reporter.clone(), next.clone());
        async move {
            let inner = ctx.clone();
            // Not by `spawn`, so it still runs when the context ends.
            tokio::spawn(async move {
                let mut answers = next.down(&inner, req("", 0)).await.unwrap();
                reporter.send(ended(&answers.recv().await));
                reporter.send(ended(&answers.recv().await));
            });
            stream.send(&resp("begun", 0)).await?;
            Err(ctx.canceled().await.into())
        }
    });
    let peer = Peer::start(handlers).await;
    let (ctx, canceler) = Context::background().with_cancel();
    let mut down = peer.client().down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    assert_eq!(reported.next().await, "ok");
    canceler.cancel();
    assert_eq!(reported.next().await, "12007 client ServiceA");
    assert_eq!(next_reported.next().await.1, "12007 server ServiceA -> ServiceB");
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_of_a_context_ends_it() {
    type Row = (fn(&Context) -> Context, u32);
    let rows: [Row; 5] = [
        (|root| root.with_timeout(HOUR), 1),
        (|root| root.with_timeout(HOUR).with_timeout(2 * HOUR), 1),
        (|root| root.with_timeout(2 * HOUR).with_timeout(HOUR), 1),
        (|root| root.with_deadline(now() + HOUR).with_cancel().0.with_persistent("k", "v"), 1),
        (|root| root.with_timeout(3 * HOUR).clone(), 3),
    ];
    for (make, hours) in rows {
        let ctx = make(&Context::background());
        assert!(ctx.reason().is_none());
        assert_eq!(ctx.deadline().unwrap().duration_since(now()), hours * HOUR);
        assert!(matches!(ctx.canceled().await, Reason::DeadlineExceeded));
        assert!(matches!(ctx.reason(), Some(Reason::DeadlineExceeded)));
    }
}

/// The time of the paused clock.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[tokio::test(start_paused = true)]
async fn cancel_before_the_deadline_is_the_reason() {
    let (ctx, canceler) = Context::background().with_timeout(HOUR).with_cancel();
    let child = ctx.with_timeout(HOUR / 2);
    canceler.cancel_with_cause("enough");
    for ctx in [&ctx, &child] {
        assert_eq!(ctx.canceled().await.to_string(), "enough");
        assert_eq!(ctx.reason().unwrap().to_string(), "enough");
    }
}

#[tokio::test(start_paused = true)]
async fn context_without_cancel_and_deadline_never_ends() {
    let (canceled, canceler) = Context::background().with_cancel();
    drop(canceler);
    // Longer than any clock can represent.
    let endless = Context::background().with_timeout(Duration::MAX);
    assert_eq!(endless.deadline(), None);
    for ctx in [Context::background(), Context::default(), canceled, endless] {
        let ended = tokio::time::timeout(1000 * HOUR, ctx.canceled()).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}

#[tokio::test]
async fn deadline_in_the_past_ends_a_context_at_once() {
    let ctx = Context::background().with_timeout(Duration::ZERO);
    assert!(matches!(ctx.reason(), Some(Reason::DeadlineExceeded)));
    assert!(matches!(soon(ctx.canceled()).await, Reason::DeadlineExceeded));
    assert_eq!(ctx.reason().unwrap().to_string(), "context deadline exceeded");
    assert_eq!(brief(&ctx.reason().unwrap().into()), "other context deadline exceeded");
    assert!(soon(ctx.spawn(std::future::pending::<()>())).await.unwrap().is_none());
}
