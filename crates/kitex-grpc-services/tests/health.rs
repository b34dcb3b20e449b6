//! Health as a client sees it, over gRPC in memory.

use std::time::Duration;

use kitex::client::Transport;
use kitex::prost::Message;
use kitex::testing::Network;
use kitex::{Context, Method, PayloadCodec, Server, StreamingMode};
use kitex_grpc_services::{Health, HealthStatus};

#[derive(Clone, PartialEq, kitex::prost::Message)]
#[prost(prost_path = "::kitex::prost")]
struct Status {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, kitex::prost::Message)]
#[prost(prost_path = "::kitex::prost")]
struct Request {
    #[prost(string, tag = "1")]
    service: String,
}

fn method(name: &'static str, mode: StreamingMode) -> Method {
    Method::new("Health", name, mode).with_package("grpc.health.v1").with_codec(PayloadCodec::Protobuf)
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("what is awaited never happened")
}

#[tokio::test]
async fn check_and_watch_follow_what_is_set_and_a_shutdown_makes_all_not_serving() {
    let (network, health) = (Network::new(), Health::new());
    let server = network.serve(Server::builder("model").service(health.service())).unwrap();
    let client = network.client("model").transport(Transport::Grpc).build().unwrap();
    let ctx = Context::background();
    let check = async |service: &str| {
        let request = Request { service: service.to_owned() }.encode_to_vec();
        let answer = client.call_raw(&ctx, &method("Check", StreamingMode::Unary), request.into()).await;
        answer.map(|bytes| Status::decode(bytes).unwrap().status)
    };
    assert_eq!(soon(check("")).await.unwrap(), SERVING);
    let unknown = soon(check("acme.Model")).await.unwrap_err();
    assert_eq!(unknown.grpc_status().map(kitex::GrpcStatus::code), Some(5), "{unknown}");

    let mut watch = client
        .server_streaming::<Request, Status, kitex::Protobuf>(
            &ctx,
            &method("Watch", StreamingMode::Server),
            &Request { service: "acme.Model".to_owned() },
        )
        .await
        .unwrap();
    let mut next = async || soon(watch.recv()).await.map(|status| status.map(|status| status.status));
    assert_eq!(next().await.unwrap(), Some(SERVICE_UNKNOWN));
    for (status, expected) in [(HealthStatus::NotServing, NOT_SERVING), (HealthStatus::Serving, SERVING)] {
        health.set("acme.Model", status);
        assert_eq!(next().await.unwrap(), Some(expected));
        assert_eq!(soon(check("acme.Model")).await.unwrap(), expected);
    }
    // Nothing changes for this service: the next response is sent at the shutdown.
    health.set("acme.Model", HealthStatus::Serving);
    health.set("acme.Other", HealthStatus::NotServing);
    let ended = tokio::spawn(async move { soon(server.shutdown()).await });
    assert_eq!(next().await.unwrap(), Some(NOT_SERVING));
    let error = next().await.unwrap_err();
    assert_eq!(error.grpc_status().map(kitex::GrpcStatus::code), Some(14), "{error}");
    ended.await.unwrap();
}
