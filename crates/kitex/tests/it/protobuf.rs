//! Services whose messages are Protobuf: generated code, over both transports.

use kitex::client::Transport;
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, PayloadCodec, Protobuf, Result, Server,
    ServerStreamingServer, StreamingMode,
};

use self::speech::acme::speech::{
    Heard, SPEECH_DESCRIPTORS, SPEECH_METHODS, Say, Speech, SpeechClient, SpeechServer, say::Tone,
};
use crate::fixture::{EchoClient, Handlers, Peer, req, soon};

#[path = "../generated/speech.rs"]
mod speech;

struct Parrot;

fn heard(say: &Say, seq: i64) -> Heard {
    Heard { text: say.text.clone(), seq, sound: say.sound.clone() }
}

#[kitex::async_trait]
impl Speech for Parrot {
    async fn echo(&self, _: Context, say: Say) -> Result<Heard> {
        Ok(heard(&say, say.tone.map_or(0, |tone| tone.pitch.into())))
    }

    async fn listen(&self, _: Context, mut stream: ClientStreamingServer<Say, Protobuf>) -> Result<Heard> {
        let mut all = Heard::default();
        while let Some(say) = stream.recv().await? {
            all.text.push_str(&say.text);
            all.seq += 1;
        }
        Ok(all)
    }

    async fn talk(&self, _: Context, say: Say, stream: ServerStreamingServer<Heard, Protobuf>) -> Result<()> {
        for seq in 0..say.times {
            stream.send(&heard(&say, seq)).await?;
        }
        Ok(())
    }

    async fn chat(&self, _: Context, mut stream: BidiStreamingServer<Say, Heard, Protobuf>) -> Result<()> {
        while let Some(say) = stream.recv().await? {
            stream.send(&heard(&say, say.times)).await?;
        }
        Ok(())
    }

    async fn close_(&self, _: Context, (): ()) -> Result<()> {
        Ok(())
    }
}

async fn serve() -> String {
    let server =
        Server::builder("parrot").service(SpeechServer::new(Parrot)).bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    address
}

fn client(address: &str, transport: Transport) -> SpeechClient {
    let client = kitex::Client::builder("parrot").caller("reader").address(address).transport(transport);
    SpeechClient::new(client.build().unwrap())
}

fn say(text: &str, times: i64) -> Say {
    Say {
        text: text.to_owned(),
        times,
        sound: kitex::bytes::Bytes::from_static(&[0, 0xff]),
        ..Say::default()
    }
}

#[tokio::test]
async fn each_mode_of_a_protobuf_service_brings_its_messages_there_and_back() {
    let address = serve().await;
    let ctx = Context::background();
    for transport in [Transport::Grpc, Transport::TtHeader] {
        let client = client(&address, transport);
        let mut talk = soon(client.talk(&ctx, say("hello", 3))).await.unwrap();
        for seq in 0..3 {
            assert_eq!(soon(talk.recv()).await.unwrap(), Some(heard(&say("hello", 3), seq)), "{transport:?}");
        }
        assert_eq!(soon(talk.recv()).await.unwrap(), None, "{transport:?}");

        let mut listen = soon(client.listen(&ctx)).await.unwrap();
        for text in ["a", "b", ""] {
            soon(listen.send(&Say { text: text.to_owned(), ..Say::default() })).await.unwrap();
        }
        let all = soon(listen.close_and_recv()).await.unwrap();
        assert_eq!((all.text.as_str(), all.seq), ("ab", 3), "{transport:?}: an empty message counts");

        let mut chat = soon(client.chat(&ctx)).await.unwrap();
        for seq in 0..3 {
            soon(chat.send(&say("x", seq))).await.unwrap();
            assert_eq!(soon(chat.recv()).await.unwrap(), Some(heard(&say("x", 0), seq)), "{transport:?}");
        }
        chat.close_send();
        assert_eq!(soon(chat.recv()).await.unwrap(), None, "{transport:?}");
    }
    let client = client(&address, Transport::Grpc);
    let tone = Some(Tone { pitch: 440 });
    let echoed = soon(client.echo(&ctx, Say { tone, ..say("hello", 0) })).await.unwrap();
    assert_eq!(echoed, heard(&say("hello", 0), 440));
    soon(client.close_(&ctx, ())).await.unwrap();
}

#[tokio::test]
async fn a_protobuf_service_refuses_thrift_and_a_thrift_service_protobuf() {
    let address = serve().await;
    let thrift =
        kitex::Client::builder("parrot").address(&address).transport(Transport::Grpc).build().unwrap();
    let method = kitex::Method::new("Speech", "Echo", StreamingMode::Unary);
    let error = soon(thrift.call_raw(&Context::background(), &method, vec![0].into())).await.unwrap_err();
    assert!(error.to_string().contains("grpc invalid payload"), "{error}");

    let peer = Peer::start(Handlers::default()).await;
    let raw =
        kitex::Client::builder("echo").address(&peer.address).transport(Transport::Grpc).build().unwrap();
    let method = kitex::Method::new("Echo", "Ping", StreamingMode::Unary).with_codec(PayloadCodec::Protobuf);
    let error = soon(raw.call_raw(&Context::background(), &method, Vec::new().into())).await.unwrap_err();
    assert!(error.to_string().contains("grpc invalid payload"), "{error}");
    // The same server goes on.
    let echo: EchoClient = peer.client_with(|client| client.transport(Transport::Grpc));
    soon(echo.ping(&Context::background(), req("", 1))).await.unwrap();
}

/// A `Say` with a reply that has a reply, and so on.
fn nested(levels: usize) -> Vec<u8> {
    use kitex::prost::Message;
    let deepest = say("", 0);
    (0..levels)
        .fold(deepest, |reply, _| Say { replies: [(String::new(), reply)].into(), ..Say::default() })
        .encode_to_vec()
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_or_nests_too_deep_is_refused() {
    let address = serve().await;
    let raw = kitex::Client::builder("parrot").address(&address).transport(Transport::Grpc).build().unwrap();
    let rows = [
        ("a length beyond the end", vec![0x0a, 5], false),
        ("a group that never ends", vec![0x0b], false),
        ("49 replies: 98 levels", nested(49), true),
        ("60 replies: 120 levels", nested(60), false),
    ];
    for (what, message, is_taken) in rows {
        let answer = soon(raw.call_raw(&Context::background(), &SPEECH_METHODS[0], message.into())).await;
        let text = answer.as_ref().map_or_else(ToString::to_string, |_| "taken".to_owned());
        let refused = text.starts_with("remote or network error: rpc error: code = 13 desc = ");
        assert_eq!((answer.is_ok(), refused), (is_taken, !is_taken), "{what}: {text}");
    }
}

/// What `docs/limits.md` says of the memory of a decoded message: an element without fields takes two bytes on the wire, and
/// its struct in memory.
#[test]
fn memory_of_a_protobuf_message_is_a_multiple_of_its_size() {
    use kitex::prost_types::{FileDescriptorProto, FileDescriptorSet};
    const ELEMENTS: usize = 100_000;
    let bytes = kitex::bytes::Bytes::from([0x0a, 0].repeat(ELEMENTS));
    let size = bytes.len();
    let set: FileDescriptorSet = kitex::Payload::<Protobuf>::decode(bytes).unwrap();
    assert_eq!(set.file.len(), ELEMENTS);
    let (held, of_one) =
        (set.file.capacity() * size_of::<FileDescriptorProto>(), size_of::<FileDescriptorProto>());
    let factor = held / size;
    println!("{of_one} bytes an element: {factor} times the size on the wire");
    assert!((of_one / 2..=of_one).contains(&factor), "{factor}");
}

#[test]
fn methods_of_a_proto_have_its_package_and_its_modes() {
    let modes = SPEECH_METHODS.iter().map(|method| (method.package(), method.codec(), method.mode()));
    let expected = [
        StreamingMode::Unary,
        StreamingMode::Client,
        StreamingMode::Server,
        StreamingMode::Bidirectional,
        StreamingMode::Unary,
    ];
    assert!(modes.eq(expected.map(|mode| ("acme.speech", PayloadCodec::Protobuf, mode))));
}

#[test]
fn descriptors_hold_a_file_and_all_that_it_imports() {
    use kitex::prost::Message;
    let set = kitex::prost_types::FileDescriptorSet::decode(SPEECH_DESCRIPTORS).unwrap();
    let names: Vec<_> = set.file.iter().map(kitex::prost_types::FileDescriptorProto::name).collect();
    assert_eq!(names, ["google/protobuf/empty.proto", "speech.proto"]);
}
