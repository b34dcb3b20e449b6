//! The basic example of a cancel: ServiceA cancels, and ServiceB's send returns an error with Kitex's text
//! and with code, side and path.

use interop::lab::{Lab, LabPingError, LabServer, Req, Resp};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Code, Context, Error, ErrorKind, Result, Server,
    ServerStreamingServer, Side,
};
use tokio::sync::mpsc;

use crate::local::{ends, lab_client, request};

const SPECIAL: &str = "that will do";

#[tokio::test]
async fn send_on_a_canceled_stream_returns_code_side_and_cancel_path() {
    let (seen, mut send_error) = mpsc::channel(1);
    let server = Server::builder("ServiceB").service(LabServer::new(ServiceB { seen }));
    let server = server.bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());

    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = lab_client(&address).down(&ctx, request("go on")).await.expect("a stream");
    while let Some(resp) = ends("recv", stream.recv()).await.expect("the stream is not canceled yet") {
        if resp.msg.as_deref() == Some(SPECIAL) {
            canceler.cancel();
            break;
        }
    }
    let error = ends("recv", stream.recv()).await.expect_err("the stream is canceled");
    assert_eq!(
        error.to_string(),
        "[ttstream error, code=12007] [client-side stream] user code invoking stream RPC with context processed by \
         context.WithCancel or context.WithTimeout, then invoking cancel() actively"
    );
    assert_eq!((error.is_canceled(), error.path()), (true, None));

    let error: Error = ends("send", send_error.recv()).await.expect("ServiceB's send fails");
    assert_eq!(
        error.to_string(),
        "[ttstream error, code=12007] [server-side stream] [canceled path: ServiceA] user code invoking stream RPC \
         with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively"
    );
    assert!(error.is_canceled());
    assert_eq!((error.code(), error.kind()), (Some(Code::CANCELED), ErrorKind::Canceled));
    assert_eq!(error.stream().and_then(kitex::StreamError::side), Some(Side::Server));
    let path = error.path().expect("a peer canceled");
    assert_eq!(path.services().collect::<Vec<_>>(), ["ServiceA"]);
}

/// Sends until a send fails.
struct ServiceB {
    seen: mpsc::Sender<Error>,
}

#[kitex::async_trait]
impl Lab for ServiceB {
    async fn down(&self, _: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        for seq in 0.. {
            let msg = if seq == 3 { SPECIAL } else { "more" };
            let resp = Resp { msg: Some(msg.into()), seq: Some(seq), payload: None };
            if let Err(error) = stream.send(&resp).await {
                self.seen.send(error.clone()).await.expect("the test waits for it");
                return Err(error);
            }
        }
        Ok(())
    }

    async fn ping(&self, _: Context, _: Req) -> Result<Resp, LabPingError> {
        Err(not_asked().into())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Err(not_asked())
    }

    async fn up(&self, _: Context, _: ClientStreamingServer<Req>) -> Result<Resp> {
        Err(not_asked())
    }

    async fn bidi(&self, _: Context, _: BidiStreamingServer<Req, Resp>) -> Result<()> {
        Err(not_asked())
    }
}

fn not_asked() -> Error {
    Error::other("the example needs only Down")
}
