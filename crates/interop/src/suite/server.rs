//! The server of the suite.

use std::time::Duration;

use kitex::bytes::Bytes;
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, GrpcStatus, Protobuf, Result,
    ServerStreamingServer,
};

use super::testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse, TestService,
};
use super::{INITIAL, TRAILING};

/// The service `grpc.testing.TestService`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suite;

/// The largest response, in bytes. A request of a few bytes may not ask for more.
const MAX_RESPONSE: usize = 8 * 1024 * 1024;

fn payload(size: i32) -> Result<Payload> {
    match usize::try_from(size).ok().filter(|size| *size <= MAX_RESPONSE) {
        Some(size) => Ok(Payload { body: Bytes::from(vec![0; size]), ..Payload::default() }),
        None => Err(GrpcStatus::new(3, format!("a response of {size} bytes")).into()),
    }
}

/// Fails with the status that a request asks for.
fn check(status: Option<EchoStatus>) -> Result<()> {
    let Some(EchoStatus { code, message }) = status.filter(|status| status.code != 0) else { return Ok(()) };
    Err(GrpcStatus::new(u32::try_from(code).unwrap_or(2), message).into())
}

fn echo(ctx: &Context, name: &str) -> Option<Bytes> {
    ctx.metadata()?.get(name).cloned()
}

async fn pause(of: &ResponseParameters) {
    if let Some(micros) = u64::try_from(of.interval_us).ok().filter(|micros| *micros > 0) {
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
}

#[kitex::async_trait]
impl TestService for Suite {
    async fn empty_call(&self, _: Context, _: Empty) -> Result<Empty> {
        Ok(Empty {})
    }

    async fn unary_call(&self, ctx: Context, request: SimpleRequest) -> Result<SimpleResponse> {
        echo(&ctx, INITIAL).into_iter().for_each(|value| ctx.set_header(INITIAL, value));
        echo(&ctx, TRAILING).into_iter().for_each(|value| ctx.set_trailer(TRAILING, value));
        check(request.response_status)?;
        Ok(SimpleResponse { payload: Some(payload(request.response_size)?) })
    }

    async fn streaming_output_call(
        &self,
        _: Context,
        request: StreamingOutputCallRequest,
        stream: ServerStreamingServer<StreamingOutputCallResponse, Protobuf>,
    ) -> Result<()> {
        for of in &request.response_parameters {
            pause(of).await;
            stream.send(&StreamingOutputCallResponse { payload: Some(payload(of.size)?) }).await?;
        }
        Ok(())
    }

    async fn streaming_input_call(
        &self,
        _: Context,
        mut stream: ClientStreamingServer<StreamingInputCallRequest, Protobuf>,
    ) -> Result<StreamingInputCallResponse> {
        let mut sum = 0;
        while let Some(request) = stream.recv().await? {
            sum += request.payload.map_or(0, |payload| payload.body.len());
        }
        let aggregated_payload_size = i32::try_from(sum).map_err(Error::other)?;
        Ok(StreamingInputCallResponse { aggregated_payload_size })
    }

    async fn full_duplex_call(
        &self,
        ctx: Context,
        mut stream: BidiStreamingServer<StreamingOutputCallRequest, StreamingOutputCallResponse, Protobuf>,
    ) -> Result<()> {
        if let Some(value) = echo(&ctx, INITIAL) {
            stream.set_header(INITIAL, value)?;
        }
        if let Some(value) = echo(&ctx, TRAILING) {
            stream.set_trailer(TRAILING, value);
        }
        while let Some(request) = stream.recv().await? {
            check(request.response_status)?;
            for of in &request.response_parameters {
                pause(of).await;
                stream.send(&StreamingOutputCallResponse { payload: Some(payload(of.size)?) }).await?;
            }
        }
        Ok(())
    }
}
