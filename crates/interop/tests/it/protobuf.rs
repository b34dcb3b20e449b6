//! Protobuf services over gRPC with real Kitex at either end: each mode, an error, and a message that is not Protobuf.

use kitex::bytes::Bytes;
use kitex::client::{ClientBuilder, Transport};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Protobuf, Result, Server,
    ServerStreamingServer,
};
use serde_json::{Value, json};

use self::generated::acme::labpb::{PB_LAB_METHODS, PbLab, PbLabClient, PbLabServer, PbReq, PbResp};
use crate::peer::{Peer, Process, free_address, go_is_here};

#[path = "../generated/lab_pb.rs"]
pub(crate) mod generated;

struct Handler;

fn echo(req: PbReq) -> PbResp {
    PbResp { msg: req.msg, seq: req.seq, payload: req.payload }
}

#[kitex::async_trait]
impl PbLab for Handler {
    async fn unary(&self, _: Context, req: PbReq) -> Result<PbResp> {
        if req.msg == "fail" { Err(Error::other("handler failed")) } else { Ok(echo(req)) }
    }

    async fn up(&self, _: Context, mut stream: ClientStreamingServer<PbReq, Protobuf>) -> Result<PbResp> {
        let mut seq = 0;
        while stream.recv().await?.is_some() {
            seq += 1;
        }
        Ok(PbResp { msg: format!("n={seq}"), seq, payload: Bytes::new() })
    }

    async fn down(
        &self,
        _: Context,
        req: PbReq,
        stream: ServerStreamingServer<PbResp, Protobuf>,
    ) -> Result<()> {
        for seq in 0..req.seq {
            stream.send(&echo(PbReq { seq, ..req.clone() })).await?;
        }
        Ok(())
    }

    async fn bidi(&self, _: Context, mut stream: BidiStreamingServer<PbReq, PbResp, Protobuf>) -> Result<()> {
        while let Some(req) = stream.recv().await? {
            stream.send(&echo(req)).await?;
        }
        Ok(())
    }
}

const PAYLOAD: usize = 100_000;

fn line(what: &str, seq: i64) -> Value {
    json!({"ev": what, "msg": "hello", "seq": seq, "len": PAYLOAD, "err": ""})
}

/// The lines of the client of Kitex after a unary call and its error.
fn streams() -> Vec<Value> {
    let mut lines = vec![json!({"ev": "up", "msg": "n=3", "seq": 3, "len": 0, "err": ""})];
    lines.extend((0..3).map(|seq| line("down", seq)));
    lines.push(json!({"ev": "down", "err": "EOF"}));
    lines.extend((0..2).map(|seq| line("bidi", seq)));
    lines.push(json!({"ev": "bidi", "err": "EOF"}));
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protobuf_client_of_kitex_calls_our_service() {
    if !go_is_here() {
        return;
    }
    let server = Server::builder("ServiceB").service(PbLabServer::new(Handler)).bind("127.0.0.1:0").await;
    let server = server.expect("a free port of the loopback");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let words = format!("pbclient --addr {address} --msg hello --b {PAYLOAD}");
    let ended = Process::start(Peer::Go, &words).ends();
    let failed = "remote or network error: rpc error: code = 13 desc = handler failed [biz error]";
    let mut expected =
        vec![line("unary", 7), json!({"ev": "fail", "msg": "", "seq": 0, "len": 0, "err": failed})];
    expected.extend(streams());
    assert_eq!(ended.lines, expected, "{:?}", ended.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_protobuf_client_calls_a_service_of_kitex() {
    if !go_is_here() {
        return;
    }
    let address = free_address();
    let server = Process::start(Peer::Go, &format!("pbserver --addr {address}"));
    assert!(server.listens(), "{server:?}");
    let ctx = Context::background();
    let sent = |seq| PbReq { msg: "hello".to_owned(), seq, payload: Bytes::from(vec![0; PAYLOAD]) };
    let client =
        ClientBuilder::new("ServiceB").caller("ServiceA").address(&address).transport(Transport::Grpc);
    let client = PbLabClient::new(client.build().expect("the address is one"));
    assert_eq!(client.unary(&ctx, sent(7)).await.unwrap(), echo(sent(7)));
    let failed = client.unary(&ctx, PbReq { msg: "fail".to_owned(), ..PbReq::default() }).await;
    let expected = "remote or network error: rpc error: code = 13 desc = handler failed [biz error]";
    assert_eq!(failed.unwrap_err().to_string(), expected);
    let mut up = client.up(&ctx).await.unwrap();
    for seq in 0..3 {
        up.send(&PbReq { seq, ..PbReq::default() }).await.unwrap();
    }
    assert_eq!(up.close_and_recv().await.unwrap().msg, "n=3");
    let mut down = client.down(&ctx, sent(3)).await.unwrap();
    for seq in 0..3 {
        assert_eq!(down.recv().await.unwrap(), Some(echo(sent(seq))));
    }
    assert_eq!(down.recv().await.unwrap(), None);
    let mut bidi = client.bidi(&ctx).await.unwrap();
    for seq in 0..2 {
        bidi.send(&sent(seq)).await.unwrap();
        assert_eq!(bidi.recv().await.unwrap(), Some(echo(sent(seq))));
    }
    bidi.close_send();
    assert_eq!(bidi.recv().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn kitex_and_we_refuse_a_message_that_is_not_protobuf() {
    let address = free_address();
    let theirs = go_is_here().then(|| Process::start(Peer::Go, &format!("pbserver --addr {address}")));
    if let Some(server) = &theirs {
        assert!(server.listens(), "{server:?}");
    }
    let server = Server::builder("ServiceB").service(PbLabServer::new(Handler)).bind("127.0.0.1:0").await;
    let server = server.expect("a free port of the loopback");
    let ours = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let addresses = [Some(ours), theirs.as_ref().map(|_| address)];
    for address in addresses.into_iter().flatten() {
        let client = ClientBuilder::new("ServiceB").address(&address).transport(Transport::Grpc).build();
        let client = client.expect("the address is one");
        // Field 1 has a length of 5 and no byte.
        let refused =
            client.call_raw(&Context::background(), &PB_LAB_METHODS[0], Bytes::from_static(&[0x0a, 5])).await;
        let error = refused.unwrap_err();
        assert_eq!(error.grpc_status().map(kitex::GrpcStatus::code), Some(13), "{error}");
    }
}
