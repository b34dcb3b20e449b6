//! The cases of the suite, as its client runs them. Names and sizes are those of the suite's description.

use std::fmt::Debug;
use std::time::Duration;

use kitex::bytes::Bytes;
use kitex::{
    BidiStreamingClient, Client, Context, Error, GrpcStatus, Metadata, Method, PayloadCodec, Protobuf,
    StreamingMode,
};

use super::testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest, StreamingOutputCallResponse, TestServiceClient, UnimplementedServiceClient,
};
use super::{INITIAL, TRAILING};

/// The names of the cases.
pub const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

const REQUESTS: [usize; 4] = [27182, 8, 1828, 45904];
const RESPONSES: [i32; 4] = [31415, 9, 2653, 58979];

type Outcome = Result<(), String>;
type Duplex = BidiStreamingClient<StreamingOutputCallRequest, StreamingOutputCallResponse, Protobuf>;

/// Runs the case `name` against the server of `client`.
///
/// # Errors
/// What differs from what the suite expects.
pub async fn run(name: &str, client: Client) -> Outcome {
    let suite = TestServiceClient::new(client.clone());
    match name {
        "empty_unary" => empty_unary(&suite).await,
        "large_unary" => large_unary(&suite).await,
        "client_streaming" => client_streaming(&suite).await,
        "server_streaming" => server_streaming(&suite).await,
        "ping_pong" => ping_pong(&suite).await,
        "empty_stream" => empty_stream(&suite).await,
        "timeout_on_sleeping_server" => timeout_on_sleeping_server(&suite).await,
        "cancel_after_begin" => cancel_after_begin(&suite).await,
        "cancel_after_first_response" => cancel_after_first_response(&suite).await,
        "status_code_and_message" => status_code_and_message(&suite).await,
        "special_status_message" => special_status_message(&suite).await,
        "custom_metadata" => custom_metadata(&suite).await,
        "unimplemented_method" => unimplemented_method(&client).await,
        "unimplemented_service" => {
            let client = UnimplementedServiceClient::new(client);
            failed(client.unimplemented_call(&background(), Empty {}).await, GrpcStatus::UNIMPLEMENTED, None)
        }
        other => Err(format!("no case {other}")),
    }
}

fn background() -> Context {
    Context::background()
}

fn payload(len: usize) -> Option<Payload> {
    Some(Payload { body: Bytes::from(vec![0; len]), ..Payload::default() })
}

fn parameters(sizes: &[i32]) -> Vec<ResponseParameters> {
    sizes.iter().map(|size| ResponseParameters { size: *size, interval_us: 0 }).collect()
}

fn asking(sizes: &[i32], len: usize) -> StreamingOutputCallRequest {
    let response_parameters = parameters(sizes);
    StreamingOutputCallRequest { response_parameters, payload: payload(len), ..Default::default() }
}

#[allow(clippy::needless_pass_by_value, reason = "what is compared is made for it")]
fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

fn ok<T>(result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// The call ended with the status `code`, and with `message` if it is given.
fn failed<T: Debug>(result: Result<T, Error>, code: u32, message: Option<&str>) -> Outcome {
    let error = match result {
        Ok(value) => return Err(format!("no error but {value:?}")),
        Err(error) => error,
    };
    let status = error.grpc_status().ok_or_else(|| format!("no status: {error}"))?;
    same("code", status.code(), code).map_err(|text| format!("{text}: {error}"))?;
    message.map_or(Ok(()), |message| same("message", status.message(), message))
}

fn len_of(response: Option<StreamingOutputCallResponse>) -> Option<usize> {
    response.map(|response| response.payload.map_or(0, |payload| payload.body.len()))
}

fn expected_len(size: i32) -> Option<usize> {
    usize::try_from(size).ok()
}

async fn empty_unary(client: &TestServiceClient) -> Outcome {
    ok(client.empty_call(&background(), Empty {}).await).map(drop)
}

async fn large_unary(client: &TestServiceClient) -> Outcome {
    let request =
        SimpleRequest { response_size: 314_159, payload: payload(271_828), ..SimpleRequest::default() };
    let response = ok(client.unary_call(&background(), request).await)?;
    same("length", response.payload.map(|payload| payload.body.len()), Some(314_159))
}

async fn client_streaming(client: &TestServiceClient) -> Outcome {
    let mut stream = ok(client.streaming_input_call(&background()).await)?;
    for len in REQUESTS {
        ok(stream.send(&StreamingInputCallRequest { payload: payload(len) }).await)?;
    }
    let response = ok(stream.close_and_recv().await)?;
    same("sum", response.aggregated_payload_size, 74_922)
}

async fn server_streaming(client: &TestServiceClient) -> Outcome {
    let mut stream = ok(client.streaming_output_call(&background(), asking(&RESPONSES, 0)).await)?;
    for size in RESPONSES {
        same("length", len_of(ok(stream.recv().await)?), expected_len(size))?;
    }
    same("end", len_of(ok(stream.recv().await)?), None)
}

async fn ping_pong(client: &TestServiceClient) -> Outcome {
    let mut stream: Duplex = ok(client.full_duplex_call(&background()).await)?;
    for (size, len) in RESPONSES.into_iter().zip(REQUESTS) {
        ok(stream.send(&asking(&[size], len)).await)?;
        same("length", len_of(ok(stream.recv().await)?), expected_len(size))?;
    }
    stream.close_send();
    same("end", len_of(ok(stream.recv().await)?), None)
}

async fn empty_stream(client: &TestServiceClient) -> Outcome {
    let mut stream: Duplex = ok(client.full_duplex_call(&background()).await)?;
    stream.close_send();
    same("end", len_of(ok(stream.recv().await)?), None)
}

async fn timeout_on_sleeping_server(client: &TestServiceClient) -> Outcome {
    let ctx = background().with_timeout(Duration::from_millis(1));
    let mut stream: Duplex = match client.full_duplex_call(&ctx).await {
        Ok(stream) => stream,
        ended => return failed(ended, GrpcStatus::DEADLINE_EXCEEDED, None),
    };
    // Fails if the deadline passes first; Recv says with what.
    let _ = stream.send(&asking(&[], 27_182)).await;
    failed(stream.recv().await, GrpcStatus::DEADLINE_EXCEEDED, None)
}

async fn cancel_after_begin(client: &TestServiceClient) -> Outcome {
    let (ctx, canceler) = background().with_cancel();
    let mut stream = ok(client.streaming_input_call(&ctx).await)?;
    canceler.cancel();
    failed(stream.close_and_recv().await, GrpcStatus::CANCELED, None)
}

async fn cancel_after_first_response(client: &TestServiceClient) -> Outcome {
    let (ctx, canceler) = background().with_cancel();
    let mut stream: Duplex = ok(client.full_duplex_call(&ctx).await)?;
    ok(stream.send(&asking(&[31415], 27_182)).await)?;
    same("length", len_of(ok(stream.recv().await)?), Some(31415))?;
    canceler.cancel();
    failed(stream.recv().await, GrpcStatus::CANCELED, None)
}

async fn status_code_and_message(client: &TestServiceClient) -> Outcome {
    let message = "test status message";
    let status = || Some(EchoStatus { code: 2, message: message.to_owned() });
    let request = SimpleRequest { response_status: status(), ..SimpleRequest::default() };
    failed(client.unary_call(&background(), request).await, 2, Some(message))?;
    let mut stream: Duplex = ok(client.full_duplex_call(&background()).await)?;
    ok(stream.send(&StreamingOutputCallRequest { response_status: status(), ..Default::default() }).await)?;
    stream.close_send();
    failed(stream.recv().await, 2, Some(message))
}

async fn special_status_message(client: &TestServiceClient) -> Outcome {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    let response_status = Some(EchoStatus { code: 2, message: message.to_owned() });
    let request = SimpleRequest { response_status, ..SimpleRequest::default() };
    failed(client.unary_call(&background(), request).await, 2, Some(message))
}

async fn custom_metadata(client: &TestServiceClient) -> Outcome {
    let (initial, trailing) = ("test_initial_metadata_value", &[0xab, 0xab, 0xab][..]);
    let headers =
        Metadata::from_iter([(INITIAL, Bytes::from(initial)), (TRAILING, Bytes::from_static(trailing))]);
    let client = client.with_options(|options| options.headers = headers);
    let check = |header: Option<Metadata>, trailer: Option<Metadata>| {
        let found =
            |metadata: Option<Metadata>, name| metadata.and_then(|metadata| metadata.get(name).cloned());
        same("header", found(header, INITIAL).as_deref(), Some(initial.as_bytes()))?;
        same("trailer", found(trailer, TRAILING).as_deref(), Some(trailing))
    };
    let ctx = background().with_backward();
    let request = SimpleRequest { response_size: 1, payload: payload(1), ..SimpleRequest::default() };
    ok(client.unary_call(&ctx, request).await)?;
    check(ctx.response_header(), ctx.response_trailer())?;

    let mut stream: Duplex = ok(client.full_duplex_call(&background()).await)?;
    ok(stream.send(&asking(&[1], 1)).await)?;
    let header = ok(stream.header().await)?;
    same("length", len_of(ok(stream.recv().await)?), Some(1))?;
    stream.close_send();
    same("end", len_of(ok(stream.recv().await)?), None)?;
    check(Some(header), stream.trailer())
}

async fn unimplemented_method(client: &Client) -> Outcome {
    let method = Method::new("TestService", "UnimplementedCall", StreamingMode::Unary);
    let method = method.with_package("grpc.testing").with_codec(PayloadCodec::Protobuf);
    failed(client.call_raw(&background(), &method, Bytes::new()).await, GrpcStatus::UNIMPLEMENTED, None)
}
