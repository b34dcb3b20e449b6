//! Deadline propagation: each hop knows the remaining time, which is never more than its caller has, and enforces the
//! deadline itself when its caller's Rst does not arrive.

use std::time::{Duration, Instant};

use kitex::Context;
use kitex::client::CallProtocol;

use crate::fixture::by;
use crate::fixture::chain::{Chain, client, idle, relay};
use crate::fixture::of_ttheader_alone;
use crate::fixture::{Handlers, Peer, Proxy, Reporter, check_late, ended, reports, req, resp, soon};

/// Reports the remaining time, and calls the next service, by a stream and by a call.
fn left(next: Option<crate::fixture::EchoClient>, reporter: Reporter<Option<Duration>>) -> Handlers {
    let (of_call, next_of_call) = (reporter.clone(), next.clone());
    Handlers::default()
        .down(move |ctx, req, stream| {
            reporter.send(ctx.deadline().map(|at| at.saturating_duration_since(Instant::now())));
            let next = next.clone();
            async move {
                if let Some(next) = next {
                    let mut answers = next.down(&ctx, req).await?;
                    while answers.recv().await?.is_some() {}
                }
                stream.send(&resp("", 0)).await
            }
        })
        .unary(move |ctx, req| {
            of_call.send(ctx.deadline().map(|at| at.saturating_duration_since(Instant::now())));
            let next = next_of_call.clone();
            async move {
                match next {
                    Some(next) => next.unary(&ctx, req).await,
                    None => Ok(resp("", 0)),
                }
            }
        })
}

#[tokio::test]
async fn deadline_shrinks_from_hop_to_hop() {
    let (reporter, mut reported) = reports();
    let d = Peer::named("ServiceD", left(None, reporter.clone()), |server| server).await;
    let c = left(Some(client("ServiceD", &d.address)), reporter.clone());
    let c = Peer::named("ServiceC", c, |server| server).await;
    let b = left(Some(client("ServiceC", &c.address)), reporter);
    let b = Peer::start(b).await;
    let client = b.client();
    const TOTAL: Duration = Duration::from_secs(500);
    for call in [false, true] {
        let ctx = Context::background().with_timeout(TOTAL);
        if call {
            soon(client.unary(&ctx, req("", 0))).await.unwrap();
        } else {
            let mut down = client.down(&ctx, req("", 0)).await.unwrap();
            while soon(down.recv()).await.unwrap().is_some() {}
        }
        let mut before = TOTAL;
        for hop in ["B", "C", "D"] {
            let left = reported.next().await.expect("a deadline that came along");
            // Over gRPC it travels in whole milliseconds, rounded up.
            let most = before + by(Duration::ZERO, Duration::from_millis(1));
            assert!(left <= most, "{hop} has {left:?}, its caller had {before:?}");
            assert!(left > TOTAL - Duration::from_secs(100), "{hop} has {left:?}");
            before = left;
        }
        // Without a deadline there is none.
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        assert_eq!([reported.next().await, reported.next().await, reported.next().await], [None; 3]);
    }
}

#[tokio::test]
async fn framed_call_has_no_deadline_on_the_wire() {
    if of_ttheader_alone("framed calls") {
        return;
    }
    let (reporter, mut reported) = reports();
    let peer = Peer::start(left(None, reporter)).await;
    let client = peer.client_with(|client| client.call_protocol(CallProtocol::Framed));
    let ctx = Context::background().with_timeout(Duration::from_secs(500));
    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    assert_eq!(reported.next().await, None);
}

#[tokio::test]
async fn deadline_ends_the_whole_chain_with_the_callers_reason() {
    let mut chain = Chain::of(&["ServiceB", "ServiceC", "ServiceD"]).await;
    let ctx = Context::background().with_timeout(Duration::from_millis(300));
    let client = chain.client();
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    let first = soon(down.recv()).await;
    if first.is_ok() {
        assert_eq!(ended(&soon(down.recv()).await), "12015 client");
        let parts = chain.parts(3).await;
        let [(b, at_b), (c, at_c), (d, at_d)] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!([b, c, d], ["ServiceB", "ServiceC", "ServiceD"]);
        check_late(at_d, "12015 server ServiceA -> ServiceB -> ServiceC", "ServiceD");
        // On a busy machine a hop's own timer may be first.
        for (seen, by_reset) in [(at_b, "12015 client ServiceA"), (at_c, "12015 client ServiceA -> ServiceB")]
        {
            assert!(seen == by_reset || seen == "12015 client", "{seen}");
        }
    } else {
        assert_eq!(ended(&first), "12015 client", "a machine so busy that it passed on the way");
    }
}

/// No more bytes pass between A and B: B ends its streams by its own timer.
#[tokio::test]
async fn deadline_is_kept_by_a_service_whose_caller_is_unreachable() {
    let (reporter, mut reported) = reports();
    let c = Peer::named("ServiceC", idle(reporter.clone()), |server| server).await;
    let b = Peer::start(relay(client("ServiceC", &c.address), reporter)).await;
    let proxy = Proxy::to(&b.address).await;
    let client = crate::fixture::EchoClient::new(crate::fixture::builder(&proxy.address).build().unwrap());
    let ctx = Context::background().with_timeout(Duration::from_secs(2));
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    proxy.hold();
    assert_eq!(ended(&soon(down.recv()).await), "12015 client");
    let mut parts = [reported.next().await, reported.next().await];
    parts.sort();
    let parts: Vec<_> = parts.iter().map(|(name, end)| (&**name, &**end)).collect();
    // C has its own timer too: it fires at about the same time as B's Rst arrives and C's response is sent.
    let by_c = ("ServiceC", "other context deadline exceeded");
    let rows = [
        [("ServiceB", "12015 client"), ("ServiceC", "12015 server ServiceB")],
        [("ServiceB", "12015 client"), by_c],
        [("ServiceB", "12001 client"), by_c],
    ];
    assert!(rows.iter().any(|row| parts == row), "{parts:?}");
}

#[tokio::test]
async fn deadline_set_by_a_handler_applies_to_its_calls() {
    let (reporter, mut reported) = reports();
    let (next_reporter, mut next_reported) = reports();
    let next = Peer::named("ServiceC", idle(next_reporter), |server| server).await;
    let next = client("ServiceC", &next.address);
    let handlers = Handlers::default().down(move |ctx, req, stream| {
        let (next, reporter) = (next.clone(), reporter.clone());
        async move {
            let soon = ctx.with_timeout(Duration::from_secs(2));
            let ended_with = match next.down(&soon, req).await {
                Err(error) => error,
                Ok(mut answers) => loop {
                    if let Err(error) = answers.recv().await {
                        break error;
                    }
                },
            };
            reporter.send(crate::fixture::brief(&ended_with));
            reporter.send(format!("{:?}", ctx.reason()));
            stream.send(&resp("went on", 0)).await
        }
    });
    let peer = Peer::start(handlers).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().msg.as_deref(), Some("went on"));
    assert_eq!(
        (reported.next().await, reported.next().await),
        ("12015 client".to_owned(), "None".to_owned())
    );
    check_late(&next_reported.next().await.1, "12015 server ServiceB", "down");
}
