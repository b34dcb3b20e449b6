//! Headers and trailers, in both directions.

use kitex::{Context, Metadata, Result};
use tokio::sync::watch;

use crate::fixture::{Handlers, Peer, brief, ended, reports, req, resp, soon};

#[tokio::test]
async fn header_and_trailer_arrive_in_every_mode() {
    let handlers = Handlers::default()
        .up(|_, stream| async move {
            stream.set_header("hk", "hv")?;
            stream.set_trailer("tk", "tv");
            Ok(resp("", 0))
        })
        .down(|_, _, stream| async move {
            stream.set_header("hk", "old")?;
            stream.set_header("hk", "hv")?;
            stream.set_trailer("tk", "tv");
            stream.send(&resp("", 0)).await
        })
        .bidi(|_, mut stream| async move {
            stream.set_header("hk", "hv")?;
            stream.send_header()?;
            stream.set_trailer("tk", "tv");
            stream.recv().await.map(drop)
        });
    let peer = Peer::start(handlers).await;
    let (client, ctx) = (peer.client(), Context::background());
    let check = |mode: &str, header: Result<Metadata>, trailer: Option<Metadata>| {
        assert_eq!(header.unwrap().get_str("hk"), Some("hv"), "{mode}");
        assert_eq!(trailer.unwrap().get_str("tk"), Some("tv"), "{mode}");
    };

    let mut up = client.up(&ctx).await.unwrap();
    assert!(up.trailer().is_none(), "the stream has not ended");
    soon(up.close_and_recv()).await.unwrap();
    check("up", soon(up.header()).await, up.trailer());

    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    let header = soon(down.header()).await;
    while soon(down.recv()).await.unwrap().is_some() {}
    check("down", header, down.trailer());

    // The header is sent although no message was sent in either direction.
    let mut bidi = client.bidi(&ctx).await.unwrap();
    let header = soon(bidi.header()).await;
    assert!(bidi.trailer().is_none(), "the stream has not ended");
    bidi.close_send();
    assert!(soon(bidi.recv()).await.unwrap().is_none());
    check("bidi", header, bidi.trailer());
}

/// A regression test of Kitex's: a handler that sends nothing left its client waiting for the header.
#[tokio::test]
async fn header_returns_however_the_stream_ends() {
    let (go, gone) = watch::channel(());
    let down = move |_, req: crate::fixture::Req, _| {
        let mut gone = gone.clone();
        async move {
            gone.changed().await.unwrap();
            if req.seq == Some(0) { Ok(()) } else { Err(kitex::Error::other("failed")) }
        }
    };
    let peer = Peer::start(Handlers::default().down(down)).await;
    let (client, (ctx, canceler)) = (peer.client(), Context::background().with_cancel());
    let mut well = client.down(&ctx, req("", 0)).await.unwrap();
    let mut failed = client.down(&ctx, req("", 1)).await.unwrap();
    let waiting = tokio::spawn(async move { (well.header().await.is_ok(), failed.header().await.is_ok()) });
    tokio::task::yield_now().await;
    go.send_replace(());
    assert_eq!(soon(waiting).await.unwrap(), (true, true), "a header frame comes before each trailer");

    let mut canceled = client.down(&ctx, req("", 0)).await.unwrap();
    let waiting = tokio::spawn(async move { canceled.header().await.map(drop) });
    tokio::task::yield_now().await;
    canceler.cancel();
    assert_eq!(ended(&soon(waiting).await.unwrap()), "12007 client");
}

#[tokio::test]
async fn set_header_fails_after_the_header_was_sent() {
    let (reporter, mut reported) = reports();
    let down = move |_, _, stream: kitex::ServerStreamingServer<_>| {
        let reporter = reporter.clone();
        async move {
            reporter.send(stream.set_header("hk", "hv").is_ok());
            stream.send_header()?;
            stream.send_header()?;
            reporter.send(stream.set_header("hk", "late").is_ok());
            stream.set_trailer("tk", "tv");
            stream.send(&resp("", 0)).await?;
            reporter.send(stream.set_header("hk", "later").is_ok());
            Ok(())
        }
    };
    let peer = Peer::start(Handlers::default().down(down)).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    assert_eq!(soon(down.header()).await.unwrap().get_str("hk"), Some("hv"));
    while soon(down.recv()).await.unwrap().is_some() {}
    assert_eq!([reported.next().await, reported.next().await, reported.next().await], [true, false, false]);
}

#[tokio::test]
async fn call_metadata_reaches_the_handler() {
    let (reporter, mut reported) = reports();
    let (of_call, of_stream) = (reporter.clone(), reporter);
    let read = |ctx: &Context| ctx.metadata().and_then(|strings| strings.get_str("ck").map(str::to_owned));
    let handlers = Handlers::default()
        .unary(move |ctx, req| {
            of_call.send(read(&ctx));
            async { Ok(crate::fixture::answer(req)) }
        })
        .down(move |ctx, _, _| {
            of_stream.send(read(&ctx));
            async { Ok(()) }
        });
    let peer = Peer::start(handlers).await;
    let plain = peer.raw_client(|client| client);
    let with = plain.with_options(|options| options.headers.insert("ck", "cv"));
    for (client, expected) in [(with, Some("cv".to_owned())), (plain, None)] {
        let (client, ctx) = (crate::fixture::EchoClient::new(client), Context::background());
        soon(client.unary(&ctx, req("", 0))).await.unwrap();
        assert_eq!(reported.next().await, expected);
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert_eq!(soon(down.recv()).await.unwrap(), None);
        assert_eq!(reported.next().await, expected);
    }
}

#[tokio::test]
async fn header_that_is_too_large_fails_one_call() {
    let huge = "x".repeat(70_000);
    let down = |_, req: crate::fixture::Req, stream: kitex::ServerStreamingServer<_>| async move {
        let huge = "x".repeat(70_000);
        match req.seq {
            Some(0) => stream.set_trailer("tk", huge),
            _ => stream.set_header("hk", huge)?,
        }
        stream.send(&resp("", 0)).await
    };
    let peer = Peer::start(Handlers::default().down(down)).await;
    let client = peer.raw_client(|client| client);
    let (ctx, echo) = (Context::background(), crate::fixture::EchoClient::new(client.clone()));
    let mut other = echo.bidi(&ctx).await.unwrap();

    let with = client.with_options(|options| options.headers.insert("ck", huge.clone()));
    let with = crate::fixture::EchoClient::new(with);
    assert_eq!(ended(&soon(with.down(&ctx, req("", 0))).await), "12005 client");
    assert!(soon(with.unary(&ctx, req("", 0))).await.is_err());
    let persistent = ctx.with_persistent("pk", huge);
    assert_eq!(ended(&soon(echo.bidi(&persistent)).await), "12005 client");

    for seq in [0, 1] {
        let mut down = echo.down(&ctx, req("", seq)).await.unwrap();
        let error = loop {
            match soon(down.recv()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{seq}: a trailer or a header was lost without a word"),
                Err(error) => break error,
            }
        };
        assert_eq!(brief(&error), "12001 client", "{seq}");
    }

    other.send(&req("still here", 1)).await.unwrap();
    assert_eq!(soon(other.recv()).await.unwrap().unwrap().seq, Some(1));
}

/// Counts the headers that observers are shown; `wants` is what it says of them.
struct Headers {
    wants: bool,
    shown: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl kitex::observe::Observer for Headers {
    fn start(&self, _: &mut kitex::observe::CallStart<'_>) -> Option<Box<dyn kitex::observe::CallObserver>> {
        Some(Box::new(Self { wants: self.wants, shown: self.shown.clone() }))
    }
}

impl kitex::observe::CallObserver for Headers {
    fn wants_header(&self) -> bool {
        self.wants
    }

    fn header(&self, _: &kitex::Metadata) {
        self.shown.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test]
async fn wants_header_decides_whether_observers_are_shown_the_header() {
    let peer = Peer::start(Handlers::default().down(|_, _, stream| async move {
        stream.set_header("hk", "hv")?;
        stream.send(&resp("", 0)).await
    }))
    .await;
    // What each of two observers wants; whether they are shown it.
    for (wants, expected) in [([true, true], 2), ([false, true], 2), ([true, false], 2), ([false, false], 0)]
    {
        let shown = std::sync::Arc::default();
        let headers = |wants| Headers { wants, shown: std::sync::Arc::clone(&shown) };
        let builder = crate::fixture::builder(&peer.address);
        let builder = builder.observer(headers(wants[0])).observer(headers(wants[1]));
        let client = crate::fixture::EchoClient::new(builder.build().unwrap());
        let mut stream = client.down(&kitex::Context::background(), req("", 0)).await.unwrap();
        while soon(stream.recv()).await.unwrap().is_some() {}
        assert_eq!(shown.load(std::sync::atomic::Ordering::Relaxed), expected, "{wants:?}");
    }
}
