//! The client's blocks of the page.

use std::time::Duration;

use kitex::bytes::Bytes;
use kitex::client::{BuildError, CallProtocol, PoolKind};
use kitex::middleware::{Invoke, RawStream};
use kitex::{
    CallOptions, Client, Code, Context, Error, ErrorKind, Method, Propagation, RecvTimeout, Result,
    ServerStreamingClient, StreamError,
};
use tower_layer::layer_fn;

use crate::server::{Metrics, Sizes};
use crate::shared::echo::{EchoClient, EchoPingError};
use crate::shared::{Ended, Req, Resp, brief, req};

pub(crate) fn client(address: &str) -> Result<EchoClient, BuildError> {
    let client = Client::builder("echo")
        .caller("reader")
        .address(address)
        .connect_timeout(Duration::from_secs(1))
        .build()?;
    let client = EchoClient::new(client);
    Ok(client)
}

pub(crate) async fn four_modes(client: &EchoClient, ctx: &Context) -> Result<()> {
    let response = client.unary(ctx, req("hello", 0)).await?;
    println!("{response:?}");

    let mut stream = client.up(ctx).await?;
    stream.send(&req("", 1)).await?;
    let response = stream.close_and_recv().await?;
    println!("{response:?}");

    let mut stream = client.down(ctx, req("", 3)).await?;
    while let Some(response) = stream.recv().await? {
        println!("{response:?}");
    }

    let mut stream = client.bidi(ctx).await?;
    stream.send(&req("", 1)).await?;
    println!("{:?}", stream.recv().await?);
    stream.close_send();
    assert!(stream.recv().await?.is_none());
    Ok(())
}

pub(crate) async fn header_and_trailer(client: &EchoClient, ctx: &Context) -> Result<()> {
    let mut stream = client.down(ctx, req("", 1)).await?;
    let header = stream.header().await?;
    println!("{:?}", header.get_str("hk"));
    while stream.recv().await?.is_some() {}
    let trailer = stream.trailer().unwrap_or_default();
    println!("{:?}", trailer.get_str("tk"));
    Ok(())
}

pub(crate) async fn metainfo(client: &EchoClient) -> Result<()> {
    let ctx = Context::background().with_transient("tk", "tval");
    let ctx = ctx.with_persistent("pk", "pval").with_backward();
    client.unary(&ctx, req("hello", 0)).await?;
    println!("{:?}", ctx.backward("bk"));
    Ok(())
}

pub(crate) async fn business_error(client: &EchoClient, ctx: &Context) -> Option<i32> {
    let error = client.unary(ctx, req("", 0)).await.err()?;
    if let Some(biz) = error.biz() {
        println!("{} {} {:?}", biz.code, biz.message, biz.extra.get("key"));
    }
    error.biz().map(|biz| biz.code)
}

pub(crate) async fn thrown(client: &EchoClient, ctx: &Context) {
    match client.ping(ctx, Req::default()).await {
        Err(EchoPingError::E(thrown)) => println!("{:?}", thrown.reason),
        Err(EchoPingError::Other(error)) => println!("{error}"),
        Ok(response) => println!("{response:?}"),
    }
}

pub(crate) async fn cancel(client: &EchoClient) -> String {
    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = client.down(&ctx, req("wait", 0)).await.expect("a stream");
    canceler.cancel();
    let error = stream.recv().await.expect_err("it is canceled");
    look_at(&error);
    brief(&error)
}

fn look_at(error: &Error) {
    match error.kind() {
        ErrorKind::Canceled => println!("by {:?}", error.path()),
        ErrorKind::Timeout => println!("code {:?}", error.code()),
        _ => println!("{error}"),
    }
    assert_eq!(error.code(), Some(Code::CANCELED));
}

pub(crate) async fn cancel_with_cause(client: &EchoClient) -> String {
    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = client.down(&ctx, req("wait", 0)).await.expect("a stream");
    canceler.cancel_with_cause("user pressed stop");
    let error = stream.recv().await.expect_err("it is canceled");
    brief(&error)
}

pub(crate) async fn deadline(client: &EchoClient) -> String {
    let ctx = Context::background().with_timeout(Duration::from_millis(200));
    let error = match client.down(&ctx, req("wait", 0)).await {
        Ok(mut stream) => stream.recv().await.expect_err("its time is over"),
        Err(error) => error,
    };
    brief(&error)
}

pub(crate) async fn recv_timeout(client: &Client, ctx: &Context) -> String {
    let wait = RecvTimeout { timeout: Duration::from_millis(50), disable_cancel_remote: true };
    let patient = EchoClient::new(client.with_recv_timeout(wait));
    let mut stream = patient.down(ctx, req("wait", 0)).await.expect("a stream");
    let error = stream.recv().await.expect_err("nothing comes");
    if error.stream().is_some_and(StreamError::is_retryable) {
        println!("the stream is as it was: {:?}", stream.recv().await);
    }
    brief(&error)
}

pub(crate) async fn close_callback(client: &EchoClient, ctx: &Context) -> Result<()> {
    let mut stream = client.down(ctx, req("", 1)).await?;
    stream.on_close(|error| println!("ended with {error:?}"));
    while stream.recv().await?.is_some() {}
    Ok(())
}

pub(crate) async fn take_it_apart(mut stream: ServerStreamingClient<Resp>) {
    use futures_util::StreamExt;
    while let Some(Ok(response)) = stream.next().await {
        println!("{response:?}");
    }
}

pub(crate) fn pools(address: &str) -> Result<Vec<EchoClient>, BuildError> {
    let client = || Client::builder("echo").address(address);
    let clients = [
        client().pool(PoolKind::Mux(4)).build()?,
        client().pool(PoolKind::long()).build()?,
        client().pool(PoolKind::Short).build()?,
    ];
    Ok(clients.map(EchoClient::new).into())
}

pub(crate) fn protocols(address: &str) -> Result<Vec<EchoClient>, BuildError> {
    let client = || Client::builder("echo").address(address).propagation(Propagation::Legacy);
    let clients = [
        client().call_protocol(CallProtocol::Ttheader).build()?,
        client().call_protocol(CallProtocol::Framed).build()?,
    ];
    Ok(clients.map(EchoClient::new).into())
}

struct Stamped<C>(C);

#[kitex::async_trait]
impl<C: Invoke> Invoke for Stamped<C> {
    async fn call(
        &self,
        ctx: &Context,
        method: &Method,
        mut options: CallOptions,
        args: Bytes,
    ) -> Result<Bytes> {
        options.headers.insert("stamp", method.name().to_string());
        self.0.call(ctx, method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, mut options: CallOptions) -> Result<RawStream> {
        options.headers.insert("stamp", method.name().to_string());
        self.0.open(ctx, method, options).await
    }
}

pub(crate) async fn with_layers(address: &str) -> Ended {
    let client = Client::builder("echo").address(address);
    let client = client.layer(layer_fn(Stamped)).message_layer(Sizes).observer(Metrics::default()).build()?;
    let stamped = client.with_options(|options| options.headers.insert("key", "value"));
    four_modes(&EchoClient::new(stamped), &Context::background()).await?;
    close(&EchoClient::new(client)).await;
    Ok(())
}

async fn close(client: &EchoClient) {
    client.close().await;
}
