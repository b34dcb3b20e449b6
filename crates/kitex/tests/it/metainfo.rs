//! Metainfo: persistent along the chain, transient for one hop, backward with the response; for streams and calls.

use kitex::bytes::Bytes;
use kitex::client::CallProtocol;
use kitex::{BizStatusError, Client, Context, Error, Propagation};

use crate::fixture::by;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{EchoClient, Handlers, Peer, Reporter, Req, answer, ended, reports, req, resp, soon};

/// The metainfo of a handler: its own name, then the values of `pk`, `tk`, `own` and `late`.
type Found = (String, [Option<String>; 4]);

fn found(ctx: &Context) -> Found {
    let text = |value: Option<&Bytes>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    let values = [
        text(ctx.persistent("pk")),
        text(ctx.transient("tk")),
        text(ctx.transient("own")),
        text(ctx.persistent("late")),
    ];
    (ctx.service().unwrap_or_default().to_owned(), values)
}

/// Reports its metainfo, and calls the next service with a transient and a persistent pair of its own.
fn passing(next: Option<EchoClient>, reporter: Reporter<Found>) -> Handlers {
    let (of_call, next_of_call) = (reporter.clone(), next.clone());
    let add = |ctx: &Context| ctx.with_transient("own", "B").with_persistent("late", "B");
    Handlers::default()
        .unary(move |ctx, req| {
            of_call.send(found(&ctx));
            let next = next_of_call.clone();
            async move {
                match next {
                    Some(next) => next.unary(&add(&ctx), req).await,
                    None => Ok(answer(req)),
                }
            }
        })
        .down(move |ctx, req, stream| {
            reporter.send(found(&ctx));
            let next = next.clone();
            async move {
                if let Some(next) = next {
                    let mut answers = next.down(&add(&ctx), req).await?;
                    while answers.recv().await?.is_some() {}
                }
                stream.send(&resp("", 0)).await
            }
        })
}

#[tokio::test]
async fn metainfo_persistent_reaches_all_hops_and_transient_one() {
    // The caller's transient pair at C and D.
    for (propagation, tk_at_c) in [(Propagation::SingleHop, None), (Propagation::Legacy, Some("tv"))] {
        let (reporter, mut reported) = reports();
        let client = |name: &str, peer: &Peer| {
            let client = Client::builder(name).address(&*peer.address).propagation(propagation);
            EchoClient::new(client.build().unwrap())
        };
        let c = Peer::named("ServiceC", passing(None, reporter.clone()), |server| server).await;
        let b = Peer::start(passing(Some(client("ServiceC", &c)), reporter)).await;
        let ctx = Context::background()
            .with_transient("tk", "old")
            .with_transient("tk", "tv")
            .with_persistent("pk", "pv");
        let a = b.client();
        for call in [false, true] {
            if call {
                soon(a.unary(&ctx, req("", 0))).await.unwrap();
            } else {
                let mut down = a.down(&ctx, req("", 0)).await.unwrap();
                while soon(down.recv()).await.unwrap().is_some() {}
            }
            let own = |values: [Option<&str>; 4]| values.map(|value| value.map(str::to_owned));
            let at_b = ("ServiceB".to_owned(), own([Some("pv"), Some("tv"), None, None]));
            let at_c = ("ServiceC".to_owned(), own([Some("pv"), tk_at_c, Some("B"), Some("B")]));
            assert_eq!([reported.next().await, reported.next().await], [at_b, at_c], "{propagation:?}");
        }
    }
}

#[tokio::test]
async fn metainfo_set_replaces_received_metainfo() {
    let (reporter, mut reported) = reports();
    let c = Peer::named("ServiceC", passing(None, reporter.clone()), |server| server).await;
    let next = Client::builder("ServiceC").address(&*c.address).propagation(Propagation::Legacy);
    let next = EchoClient::new(next.build().unwrap());
    let handlers = Handlers::default().unary(move |ctx, req| {
        let next = next.clone();
        async move { next.unary(&ctx.with_transient("tk", "mine").with_persistent("pk", "mine"), req).await }
    });
    let b = Peer::start(handlers).await;
    let ctx = Context::background().with_transient("tk", "theirs").with_persistent("pk", "theirs");
    soon(b.client().unary(&ctx, req("", 0))).await.unwrap();
    let (_, [pk, tk, ..]) = reported.next().await;
    assert_eq!((pk.as_deref(), tk.as_deref()), (Some("mine"), Some("mine")));
}

#[tokio::test]
async fn metainfo_values_are_bytes_and_may_be_many() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().unary(move |ctx, req| {
        let many = (0..500).filter(|at| ctx.persistent(format!("k{at}")).is_some_and(|v| v.len() == *at));
        reporter.send((ctx.persistent("raw").cloned(), ctx.transient("empty").cloned(), many.count()));
        async { Ok(answer(req)) }
    });
    let peer = Peer::start(handlers).await;
    let raw: &[u8] = &[0, 0xff, 0xfe, b'\n'];
    let mut ctx = Context::background().with_persistent("raw", raw).with_transient("empty", "");
    for at in 0..500 {
        ctx = ctx.with_persistent(format!("k{at}"), vec![b'x'; at]);
    }
    soon(peer.client().unary(&ctx, req("", 0))).await.unwrap();
    // No header of HTTP/2 holds control characters: such a value is dropped, as by Kitex.
    let raw = by(Some(Bytes::from(raw)), None);
    assert_eq!(reported.next().await, (raw, Some(Bytes::new()), 500));
}

#[tokio::test]
async fn metainfo_is_not_sent_with_framed_calls() {
    if of_ttheader_alone("framed calls") {
        return;
    }
    let (reporter, mut reported) = reports();
    let peer = Peer::start(passing(None, reporter)).await;
    let client = peer.client_with(|client| client.call_protocol(CallProtocol::Framed));
    let ctx = Context::background().with_persistent("pk", "pv");
    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    assert_eq!(reported.next().await.1, [None, None, None, None]);
}

/// A handler that sends backward pairs and ends as the request says.
fn back(ctx: &Context, req: &Req) -> Result<(), Error> {
    ctx.send_backward("bk", "old");
    ctx.send_backward("bk", req.msg.clone().unwrap_or_default().to_string());
    match req.seq {
        Some(0) => Ok(()),
        Some(1) => Err(BizStatusError::new(404, "no").into()),
        _ => Err(Error::other("failed")),
    }
}

#[tokio::test]
async fn metainfo_sent_back_arrives_however_the_call_ends() {
    if of_ttheader_alone("Kitex sends no metainfo back over gRPC") {
        return;
    }
    let handlers = Handlers::default()
        .unary(|ctx, req| async move { back(&ctx, &req).map(|()| resp("", 0)) })
        .down(|ctx, req, _| async move { back(&ctx, &req) });
    let peer = Peer::start(handlers).await;
    let client = peer.client();
    for (seq, expected) in [(0, "ok"), (1, "biz 404"), (2, "remote biz error: failed")] {
        let ctx = Context::background().with_backward();
        assert_eq!(ctx.backward("bk"), None);
        for value in ["first", "second"] {
            let called = ended(&soon(client.unary(&ctx, req(value, seq))).await);
            assert_eq!(called, expected);
            assert_eq!(ctx.backward("bk").as_deref(), Some(value.as_bytes()), "{expected}");
        }
        let clone = ctx.clone().with_persistent("k", "v");
        assert_eq!(clone.backward("bk").as_deref(), Some(&b"second"[..]), "children share what came back");

        let without = Context::background();
        let _ = soon(client.unary(&without, req("lost", seq))).await;
        assert_eq!(without.backward("bk"), None);

        // Those of a stream are in its trailer.
        let mut down = client.down(&Context::background(), req("third", seq)).await.unwrap();
        while let Ok(Some(_)) = soon(down.recv()).await {}
        assert_eq!(down.trailer().unwrap().get_str("RPC_BACKWARD_bk"), Some("third"), "{expected}");
    }
}
