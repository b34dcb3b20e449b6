//! Statuses, headers, trailers and metainfo.

use kitex::client::Transport;
use kitex::{
    BizStatusError, Client, Context, Error, GrpcStatus, Metadata, Method, Result, ServerStreamingServer,
    StreamingMode,
};

use super::{client, drain, text};
use crate::fixture::{EchoClient, Handlers, Peer, Req, Resp, reports, req, resp, soon};

#[tokio::test]
async fn grpc_handler_error_arrives_after_all_messages_with_the_text_of_kitex() {
    type Fails = fn() -> Error;
    let rows: [(Fails, &str); 5] = [
        (|| Error::other("handler failed"), "rpc error: code = 13 desc = handler failed [biz error]"),
        (|| GrpcStatus::new(5, "nope").into(), "rpc error: code = 5 desc = nope [biz error]"),
        (|| GrpcStatus::new(99, "é%\n").into(), "rpc error: code = 99 desc = é%\\n [biz error]"),
        (|| BizStatusError::new(404, "says no").into(), "biz error: code=404, msg=says no"),
        (
            || panic!("lab panic"),
            "rpc error: code = 13 desc = panic: [happened in biz handler, method=Echo.Down, please check the \
             panic at the server side] lab panic",
        ),
    ];
    for (fails, expected) in rows {
        for messages in [0, 3] {
            let handler = move |_, _, stream: ServerStreamingServer<Resp>| async move {
                for seq in 0..messages {
                    stream.send(&resp("", seq)).await?;
                }
                Err(fails())
            };
            let peer = Peer::start(Handlers::default().down(handler)).await;
            let (count, ended) = drain(&client(&peer), 0).await;
            assert_eq!((count, text(ended)), (usize::try_from(messages).unwrap(), expected.to_owned()));
        }
    }
}

#[tokio::test]
async fn grpc_biz_error_extra_and_status_details_arrive_whole() {
    let biz = BizStatusError::new(404, "no").with_extra("k", "é\"");
    let status = GrpcStatus::new(5, "nope").with_details([0, 255, 1]);
    let (of_stream, of_call) = (biz.clone(), status.clone());
    let handlers = Handlers::default()
        .down(move |_, _, _| {
            let error = of_stream.clone();
            async move { Err(error.into()) }
        })
        .unary(move |_, _| {
            let error = of_call.clone();
            async move { Err(error.into()) }
        });
    let peer = Peer::start(handlers).await;
    let (_, ended) = drain(&client(&peer), 0).await;
    assert_eq!(ended.unwrap_err().biz(), Some(&biz));
    let error = soon(client(&peer).unary(&Context::background(), req("", 0))).await.unwrap_err();
    assert_eq!(error.to_string(), "remote or network error: rpc error: code = 5 desc = nope [biz error]");
    assert_eq!(error.grpc_status().unwrap().details(), status.details());
}

#[tokio::test]
async fn grpc_unknown_method_and_service_are_refused_as_by_kitex() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.raw_client(|client| client.transport(Transport::Grpc));
    let rows = [
        ("Echo", "Nope", StreamingMode::Server, "rpc error: code = 1 desc = unknown method Nope"),
        ("Nobody", "Nope", StreamingMode::Server, "rpc error: code = 20 desc = unknown service Nobody"),
        (
            "Echo",
            "Nope",
            StreamingMode::Unary,
            "remote or network error: rpc error: code = 1 desc = unknown method Nope",
        ),
        (
            "Nobody",
            "Nope",
            StreamingMode::PingPong,
            "remote or network error: rpc error: code = 20 desc = unknown service Nobody",
        ),
    ];
    for (service, name, mode, expected) in rows {
        let method = Method::new(service, name, mode);
        assert_eq!(text(soon(call(&client, &method)).await), expected);
    }
}

async fn call(client: &Client, method: &Method) -> Result<()> {
    let ctx = Context::background();
    if !method.mode().is_stream() {
        return client.call::<Req, Resp, kitex::Thrift>(&ctx, method, &req("", 1)).await.map(drop);
    }
    let mut stream = client.server_streaming::<Req, Resp, kitex::Thrift>(&ctx, method, &req("", 1)).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn grpc_headers_trailers_and_metainfo_arrive() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, req: Req, stream| {
        let (metadata, peer) = (ctx.metadata().unwrap().clone(), ctx.service().unwrap().to_owned());
        reporter.send((metadata, peer, ctx.transient("TK").cloned(), ctx.persistent("PER_SIST").cloned()));
        async move {
            stream.set_header("hk", "hv")?;
            stream.set_header("raw-bin", &b"\x00\xff"[..])?;
            stream.set_trailer("tk", "tv");
            for seq in 0..req.seq.unwrap_or_default() {
                stream.send(&resp("", seq)).await?;
            }
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let headers = Metadata::from_iter([("user-key", "uv"), ("te", "x")]);
    let raw = peer.raw_client(|client| client.transport(Transport::Grpc));
    let client = EchoClient::new(raw.with_options(|options| options.headers = headers));
    let ctx = Context::background().with_transient("tk", "1").with_persistent("per_sist", "2");
    for messages in [0, 2] {
        let mut down = client.down(&ctx, req("", messages)).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        let header = soon(down.header()).await.unwrap();
        assert_eq!(header.get_str("content-type"), Some("application/grpc+thrift"));
        assert_eq!(
            (header.get_str("hk"), header.get("raw-bin").map(|raw| &raw[..])),
            (Some("hv"), Some(&[0, 255][..]))
        );
        let trailer = down.trailer().unwrap();
        assert_eq!((trailer.get_str("tk"), trailer.len()), (Some("tv"), 1));
        let (metadata, _, transient, persistent) = reported.next().await;
        assert_eq!((transient.unwrap(), persistent.unwrap()), ("1".into(), "2".into()));
        assert_eq!(metadata.get_str("user-key"), Some("uv"));
        assert_eq!(metadata.get_str("source-service"), Some("ServiceA"));
        assert_eq!(metadata.get("te"), None, "a header of the protocol is not shown");
    }
}

#[tokio::test]
async fn grpc_empty_response_is_trailers_only() {
    let peer = Peer::start(Handlers::default()).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.header()).await.unwrap().is_empty());
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    assert_eq!(down.trailer().unwrap().get_str("content-type"), Some("application/grpc+thrift"));
}

#[tokio::test]
async fn a_handlers_call_names_its_method() {
    let (reporter, mut received) = reports();
    let below = Handlers::default().unary(move |ctx: Context, _| {
        reporter
            .send(ctx.metadata().and_then(|metadata| metadata.get_str("source-method").map(str::to_owned)));
        async { Ok(resp("", 0)) }
    });
    let below = Peer::start(below).await;
    let caller = client(&below);
    let above = Handlers::default().ping(move |ctx: Context, req| {
        let caller = caller.clone();
        async move { Ok(caller.unary(&ctx, req).await?) }
    });
    let above = Peer::start(above).await;
    for transport in [Transport::Grpc, Transport::TtHeader] {
        let client = above.client_with(|client| client.transport(transport));
        soon(client.ping(&Context::background(), req("", 0))).await.unwrap();
        assert_eq!(received.next().await.as_deref(), Some("Ping"), "{transport:?}");
    }
    soon(client(&below).unary(&Context::background(), req("", 0))).await.unwrap();
    assert_eq!(received.next().await.as_deref(), Some(""), "no handler");
}
