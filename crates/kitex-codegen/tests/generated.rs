//! Generated code compiles, and a client reaches a handler through it. Owns no expectation of the text: that
//! is in `golden`.

#![allow(missing_docs, clippy::unused_async)]

// Makes `::kitex` in generated code mean this crate, with a stand-in for the facade.
extern crate self as kitex;

mod stand_in;

pub use async_trait::async_trait;
pub use kitex_thrift::generated;
pub use stand_in::*;

use acme::{
    shared::{self, Health, HealthCheckError},
    zoo::{self, Animal, Food, Zoo, ZooClient, ZooFeedError, ZooGetError, ZooServer},
};
use bytes::Bytes;
use kitex_thrift::FastStr;
use lab::{Lab, LabClient, LabError, LabPingError, LabServer, Req, Resp};

include!("golden/lab.rs");
include!("golden/zoo.rs");

struct LabHandler;

#[async_trait]
impl Lab for LabHandler {
    async fn ping(&self, _: Context, req: Req) -> std::result::Result<Resp, LabPingError> {
        match req.msg.as_deref() {
            Some("throw") => Err(LabError { code: Some(7), reason: Some("no".into()) }.into()),
            Some("fail") => Err(Error::new("handler failed").into()),
            _ => Ok(echo(req)),
        }
    }

    async fn unary(&self, _: Context, req: Req) -> Result<Resp> {
        Ok(echo(req))
    }

    async fn up(&self, _: Context, mut stream: ClientStreamingServer<Req>) -> Result<Resp> {
        let mut sum = 0;
        while let Some(req) = stream.recv()? {
            sum += req.seq.unwrap_or_default();
        }
        Ok(Resp { seq: Some(sum), ..Resp::default() })
    }

    async fn down(&self, _: Context, req: Req, mut stream: ServerStreamingServer<Resp>) -> Result<()> {
        for seq in 0..req.seq.unwrap_or_default() {
            stream.send(&Resp { seq: Some(seq), ..Resp::default() })?;
        }
        Ok(())
    }

    async fn bidi(&self, _: Context, mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        while let Some(req) = stream.recv()? {
            stream.send(&echo(req))?;
        }
        Ok(())
    }
}

fn echo(req: Req) -> Resp {
    Resp { msg: req.msg, seq: req.seq, payload: req.payload }
}

fn lab() -> LabClient {
    Client::new(LabServer::new(LabHandler)).into()
}

fn req(msg: &'static str, seq: i64) -> Req {
    Req { msg: Some(msg.into()), seq: Some(seq), payload: Some(Bytes::from_static(b"bytes")) }
}

#[test]
fn a_call_comes_back_as_what_the_handler_returned() {
    assert_eq!(block_on(lab().ping(&Context, req("hello", 1))).unwrap(), echo(req("hello", 1)));
    assert_eq!(block_on(lab().unary(&Context, req("hello", 2))).unwrap(), echo(req("hello", 2)));
}

#[test]
fn a_declared_exception_comes_back_with_its_type() {
    let error = block_on(lab().ping(&Context, req("throw", 1))).unwrap_err();
    assert!(matches!(&error, LabPingError::E(e) if e.code == Some(7)), "{error}");
    let error = block_on(lab().ping(&Context, req("fail", 1))).unwrap_err();
    assert!(matches!(&error, LabPingError::Other(e) if e.0 == "handler failed"), "{error}");
}

#[test]
fn each_kind_of_stream_carries_bare_structs() {
    let mut up = block_on(lab().up(&Context)).unwrap();
    for seq in [1, 2, 3] {
        up.send(&req("up", seq)).unwrap();
    }
    assert_eq!(block_on(up.close_and_recv()).unwrap().seq, Some(6));

    let down = block_on(lab().down(&Context, req("down", 3))).unwrap();
    assert_eq!(down.all().unwrap().iter().map(|resp| resp.seq.unwrap()).collect::<Vec<_>>(), [0, 1, 2]);

    let mut bidi = block_on(lab().bidi(&Context)).unwrap();
    bidi.send(&req("bidi", 5)).unwrap();
    assert_eq!(block_on(bidi.finish()).unwrap(), [echo(req("bidi", 5))]);
}

#[test]
fn a_method_that_the_table_lacks_is_refused() {
    static OTHER: Method = Method::new("Lab", "Other", StreamingMode::PingPong);
    let client = Client::new(LabServer::new(LabHandler));
    let error =
        block_on(client.call::<Req, Resp, stand_in::Thrift>(&Context, &OTHER, &req("x", 1))).unwrap_err();
    assert_eq!(error.0, "unknown method");
}

struct ZooHandler;

#[async_trait]
impl Zoo for ZooHandler {
    async fn check(&self, _: Context, caller: shared::Caller) -> std::result::Result<bool, HealthCheckError> {
        match caller.name.as_str() {
            "hasty" => Err(shared::Busy { retry_ms: Some(5) }.into()),
            _ => Ok(true),
        }
    }

    async fn touch(&self, _: Context) -> Result<()> {
        Ok(())
    }

    async fn get(
        &self,
        _: Context,
        id: zoo::Id,
        color: Option<zoo::Color>,
    ) -> std::result::Result<Animal, ZooGetError> {
        match id {
            404 => Err(zoo::NotFound { id: Some(id), text: None }.into()),
            503 => Err(shared::Busy { retry_ms: None }.into()),
            _ => Ok(Animal { id, color, ..Animal::default() }),
        }
    }

    async fn for_get(&self, _: Context, ids: Vec<zoo::Id>) -> Result<zoo::Herd> {
        Ok(ids.into_iter().map(|id| Animal { id, ..Animal::default() }).collect())
    }

    async fn feed(
        &self,
        _: Context,
        food: Food,
        ctx: i32,
        args: i32,
    ) -> std::result::Result<(), ZooFeedError> {
        match food {
            Food::Plant(plant) if ctx + args == 3 => {
                Err(zoo::NotFound { id: None, text: Some(plant) }.into())
            }
            _ => Ok(()),
        }
    }

    async fn log(&self, _: Context, _line: FastStr) -> Result<()> {
        Ok(())
    }

    async fn look(&self, _: Context, r#type: zoo::Result) -> Result<zoo::Option> {
        Ok(r#type.option.unwrap_or_default())
    }

    async fn r#move(&self, _: Context, mut stream: ClientStreamingServer<Animal>) -> Result<zoo::Empty> {
        while stream.recv()?.is_some() {}
        Ok(zoo::Empty {})
    }

    async fn watch(
        &self,
        _: Context,
        stream: acme::shared::Someone,
        mut stream_: ServerStreamingServer<Animal>,
    ) -> Result<()> {
        stream_.send(&Animal { name: Some(stream.name), ..Animal::default() })
    }

    async fn talk(&self, _: Context, mut stream: BidiStreamingServer<Food, Food>) -> Result<()> {
        while let Some(food) = stream.recv()? {
            stream.send(&Food::Menu(vec![food]))?;
        }
        Ok(())
    }
}

fn zoo() -> ZooClient {
    Client::new(ZooServer::new(ZooHandler)).into()
}

#[test]
fn inherited_methods_are_methods_of_the_service_that_extends() {
    let caller = |name: &'static str| shared::Caller { name: name.into(), zone: None };
    assert!(block_on(zoo().check(&Context, caller("calm"))).unwrap());
    let error = block_on(zoo().check(&Context, caller("hasty"))).unwrap_err();
    assert!(matches!(&error, HealthCheckError::Busy(busy) if busy.retry_ms == Some(5)), "{error}");
    block_on(zoo().touch(&Context)).unwrap();
    assert!(zoo::ZOO_METHODS.iter().all(|method| method.service == "Zoo"));
}

#[test]
fn arguments_keep_their_requiredness_and_their_names() {
    let animal = block_on(zoo().get(&Context, 1, Some(zoo::Color::RED))).unwrap();
    assert_eq!((animal.id, animal.color), (1, Some(zoo::Color::RED)));
    // A field that is not sent has the IDL's default when it arrives.
    assert_eq!(block_on(zoo().get(&Context, 1, None)).unwrap().color, Some(zoo::Color::DARK_BLUE));
    let error = block_on(zoo().get(&Context, 404, None)).unwrap_err();
    assert!(matches!(error, ZooGetError::Missing(_)));
    let error = block_on(zoo().get(&Context, 503, None)).unwrap_err();
    assert!(matches!(error, ZooGetError::Busy(_)));
}

#[test]
fn void_and_oneway_methods_return_unit() {
    block_on(zoo().feed(&Context, Food::Plant("hay".into()), 1, 1)).unwrap();
    let error = block_on(zoo().feed(&Context, Food::Plant("hay".into()), 1, 2)).unwrap_err();
    assert!(
        matches!(&error, ZooFeedError::Missing(missing) if missing.text.as_deref() == Some("hay")),
        "{error}"
    );
    block_on(zoo().log(&Context, "line".into())).unwrap();
    let log = zoo::ZOO_METHODS.iter().find(|method| method.name == "Log").unwrap();
    assert!(log.oneway);
}

#[test]
fn names_that_rust_needs_are_usable() {
    let asked =
        zoo::Result { option: Some(zoo::Option { some: Some("yes".into()) }), ..zoo::Result::default() };
    assert_eq!(block_on(zoo().look(&Context, asked)).unwrap().some.as_deref(), Some("yes"));
    let someone = shared::Caller { name: "kim".into(), zone: None };
    let seen = block_on(zoo().watch(&Context, someone)).unwrap().all().unwrap();
    assert_eq!(seen[0].name.as_deref(), Some("kim"));
}

struct GetterHandler;

#[async_trait]
impl zoo::Getter for GetterHandler {
    async fn get_all(&self, _: Context) -> Result<()> {
        Ok(())
    }

    async fn new_(&self, _: Context, _ctx: i32) -> Result<()> {
        Ok(())
    }

    async fn clone(&self, _: Context, self_: i32) -> Result<i32> {
        Ok(self_)
    }

    async fn to_string(&self, _: Context, call: FastStr, error: FastStr) -> Result<FastStr> {
        Ok(format!("{call} {error}").into())
    }
}

#[test]
fn methods_may_be_called_like_those_of_a_client_or_of_any_type() {
    let client = zoo::GetterClient::new(Client::new(zoo::GetterServer::new(GetterHandler)));
    block_on(client.get_all(&Context)).unwrap();
    block_on(client.new_(&Context, 1)).unwrap();
    assert_eq!(block_on(client.clone(&Context, 7)).unwrap(), 7);
    assert_eq!(block_on(client.to_string(&Context, "a".into(), "b".into())).unwrap(), "a b");
    let names: Vec<_> = zoo::GETTER_METHODS.iter().map(|method| method.name).collect();
    assert_eq!(names, ["get_all", "New", "clone", "to_string"]);
}

#[test]
fn a_result_with_neither_value_nor_exception_is_missing() {
    struct Nothing;

    #[async_trait]
    impl Service for Nothing {
        fn methods(&self) -> &[Method] {
            &lab::LAB_METHODS
        }

        async fn call(&self, _: Call) -> Result<Response> {
            Response::message(&zoo::Empty {})
        }
    }

    let client = LabClient::new(Client::new(Nothing));
    let error = block_on(client.unary(&Context, req("x", 1))).unwrap_err();
    assert_eq!(error.0, "missing result");
}

#[test]
fn defaults_of_the_idl_are_defaults_in_rust() {
    let animal = Animal::default();
    assert_eq!(animal.name.as_deref(), Some("nobody"));
    assert_eq!(animal.color, Some(zoo::Color::DARK_BLUE));
    assert_eq!(animal.limit, Some(shared::LIMIT));
    assert_eq!(zoo::FAVOURITE, zoo::Color::RED);
    assert_eq!(zoo::GREETING, "::kitex is a word // and no path");
}

/// Extending a service makes a trait of its own: `Health` alone is still one.
#[allow(dead_code)]
fn a_base_service_stands_alone(handler: impl Health) -> shared::HealthServer<impl Health> {
    shared::HealthServer::new(handler)
}

/// `Animal` has 20 fields, and a level costs the stack what its decoder keeps there, most without optimisation.
#[test]
fn the_deepest_value_fits_into_a_small_stack() {
    let bytes = [12, 0, 4].repeat(1000);
    let decode = move || <Animal as kitex_thrift::Payload>::decode(bytes.into()).unwrap_err().to_string();
    let error = std::thread::Builder::new().stack_size(1 << 20).spawn(decode).unwrap().join().unwrap();
    assert_eq!(error, "nested deeper than 256 levels at byte 768");
}

/// A caller that knows fewer arguments, or one whose union is nil: Kitex's handler gets zero values.
#[test]
fn missing_argument_is_a_zero_value() {
    use kitex_thrift::Payload;
    let nothing = || Bytes::from_static(&[0]);
    let args = zoo::ZooGetArgs::decode(nothing()).unwrap();
    assert_eq!((args.id, args.color), (0, None));
    let args = zoo::ZooFeedArgs::decode(nothing()).unwrap();
    assert_eq!((args.food, args.ctx, args.args), (Food::Unknown, 0, 0));
    let known = Bytes::from_static(&[8, 0, 2, 0, 0, 0, 5, 0]);
    let args = zoo::ZooFeedArgs::decode(known).unwrap();
    assert_eq!((args.food, args.ctx, args.args), (Food::Unknown, 5, 0));
    assert_eq!(zoo::ZooForGetArgs::decode(nothing()).unwrap().ids, []);
    assert_eq!(zoo::ZooLookArgs::decode(nothing()).unwrap().r#type, zoo::Result::default());
}

/// A union that Go left nil is a response; a missing result is an error.
#[test]
fn a_result_may_be_a_union_without_a_variant() {
    use kitex_thrift::{Fault, Payload};
    let nil = Bytes::from_static(&[12, 0, 0, 0, 0]);
    let zoo::CageOpenResult::Ok(food) = zoo::CageOpenResult::decode(nil).unwrap();
    assert_eq!(food, Food::Unknown);
    let error = zoo::CageOpenResult::decode(Bytes::from_static(&[0])).unwrap_err();
    assert_eq!(*error.fault(), Fault::MissingResult);
}
