//! The caller's deadline travels: each hop knows what is left, which is never more than its caller has,
//! and acts on it by itself when its caller cannot tell it.

use std::time::{Duration, Instant};

use kitex::Context;
use kitex::client::CallProtocol;

use crate::fixture::chain::{Chain, client, idle, relay};
use crate::fixture::{Handlers, Peer, Proxy, Tell, ended, reports, req, resp, soon};

/// Tells how much time is left, and asks the next for the same, by a stream and by a call.
fn left(next: Option<crate::fixture::EchoClient>, tell: Tell<Option<Duration>>) -> Handlers {
    let (of_call, next_of_call) = (tell.clone(), next.clone());
    Handlers::default()
        .down(move |ctx, req, stream| {
            tell.tell(ctx.deadline().map(|at| at.saturating_duration_since(Instant::now())));
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
            of_call.tell(ctx.deadline().map(|at| at.saturating_duration_since(Instant::now())));
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
async fn what_is_left_shrinks_from_hop_to_hop() {
    let (tell, mut told) = reports();
    let d = Peer::named("ServiceD", left(None, tell.clone()), |server| server).await;
    let c = left(Some(client("ServiceD", &d.address)), tell.clone());
    let c = Peer::named("ServiceC", c, |server| server).await;
    let b = left(Some(client("ServiceC", &c.address)), tell);
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
            let left = told.next().await.expect("a deadline that came along");
            assert!(left <= before, "{hop} has {left:?}, its caller had {before:?}");
            assert!(left > TOTAL - Duration::from_secs(100), "{hop} has {left:?}");
            before = left;
        }
        // Without a deadline there is none.
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        assert_eq!([told.next().await, told.next().await, told.next().await], [None; 3]);
    }
}

#[tokio::test]
async fn a_framed_call_has_no_place_for_a_deadline() {
    let (tell, mut told) = reports();
    let peer = Peer::start(left(None, tell)).await;
    let client = peer.client_with(|client| client.call_protocol(CallProtocol::Framed));
    let ctx = Context::background().with_timeout(Duration::from_secs(500));
    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    assert_eq!(told.next().await, None);
}

#[tokio::test]
async fn a_deadline_that_passes_empties_the_chain_and_the_first_to_know_says_so() {
    let mut chain = Chain::of(&["ServiceB", "ServiceC", "ServiceD"]).await;
    let ctx = Context::background().with_timeout(Duration::from_millis(300));
    let client = chain.client();
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    let first = soon(down.recv()).await;
    if first.is_ok() {
        assert_eq!(ended(&soon(down.recv()).await), "12015 client");
        let parts = chain.parts(3).await;
        let parts: Vec<_> = parts.iter().map(|(name, end)| (&**name, &**end)).collect();
        assert_eq!(
            parts,
            [
                ("ServiceB", "12015 client ServiceA"),
                ("ServiceC", "12015 client ServiceA -> ServiceB"),
                ("ServiceD", "12015 server ServiceA -> ServiceB -> ServiceC"),
            ]
        );
    } else {
        assert_eq!(ended(&first), "12015 client", "a machine so busy that it passed on the way");
    }
}

/// Between A and B nothing passes any more: B ends what it opened by its own clock.
#[tokio::test]
async fn a_service_that_its_caller_cannot_reach_keeps_to_the_deadline_by_itself() {
    let (tell, mut told) = reports();
    let c = Peer::named("ServiceC", idle(tell.clone()), |server| server).await;
    let b = Peer::start(relay(client("ServiceC", &c.address), tell)).await;
    let proxy = Proxy::to(&b.address).await;
    let client = crate::fixture::EchoClient::new(crate::fixture::builder(&proxy.address).build().unwrap());
    let ctx = Context::background().with_timeout(Duration::from_secs(2));
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    proxy.hold();
    assert_eq!(ended(&soon(down.recv()).await), "12015 client");
    let mut parts = [told.next().await, told.next().await];
    parts.sort();
    let parts: Vec<_> = parts.iter().map(|(name, end)| (&**name, &**end)).collect();
    // C has its own clock too: B's word and that come at about the same time, and so does C's answer.
    let by_c = ("ServiceC", "other context deadline exceeded");
    let rows = [
        [("ServiceB", "12015 client"), ("ServiceC", "12015 server ServiceB")],
        [("ServiceB", "12015 client"), by_c],
        [("ServiceB", "12001 client"), by_c],
    ];
    assert!(rows.iter().any(|row| parts == row), "{parts:?}");
}

#[tokio::test]
async fn a_handlers_own_deadline_is_for_what_it_opens() {
    let (tell, mut told) = reports();
    let (next_tell, mut next_told) = reports();
    let next = Peer::named("ServiceC", idle(next_tell), |server| server).await;
    let next = client("ServiceC", &next.address);
    let handlers = Handlers::default().down(move |ctx, req, stream| {
        let (next, tell) = (next.clone(), tell.clone());
        async move {
            let soon = ctx.with_timeout(Duration::from_millis(50));
            let ended_with = match next.down(&soon, req).await {
                Err(error) => error,
                Ok(mut answers) => loop {
                    if let Err(error) = answers.recv().await {
                        break error;
                    }
                },
            };
            tell.tell(crate::fixture::brief(&ended_with));
            tell.tell(format!("{:?}", ctx.reason()));
            stream.send(&resp("went on", 0)).await
        }
    });
    let peer = Peer::start(handlers).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().msg.as_deref(), Some("went on"));
    assert_eq!((told.next().await, told.next().await), ("12015 client".to_owned(), "None".to_owned()));
    assert_eq!(next_told.next().await.1, "12015 server ServiceB");
}
