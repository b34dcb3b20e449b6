//! The statuses of services, and the service that reports them. Owns what a graceful shutdown changes.

use std::collections::HashMap;
use std::sync::Arc;

use kitex::{Call, Context, GrpcStatus, Method, Protobuf, Response, Result, ServerStreamingServer, Service};
use tokio::sync::watch;

use crate::health_pb::grpc::health::v1::health_check_response::ServingStatus;
use crate::health_pb::grpc::health::v1::{
    Health as Handler, HealthCheckRequest, HealthCheckResponse, HealthServer,
};

/// Whether a service takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// It takes calls.
    Serving,
    /// It takes no calls.
    NotServing,
}

/// The statuses of a server and its services. Clones are the same statuses.
#[derive(Clone, Debug)]
pub struct Health(Arc<watch::Sender<Statuses>>);

#[derive(Debug, Default)]
struct Statuses {
    of: HashMap<String, HealthStatus>,
    /// The server is shut down: nothing is served, whatever was set.
    shut_down: bool,
}

impl Statuses {
    fn get(&self, service: &str) -> Option<ServingStatus> {
        self.of.get(service).map(|status| match status {
            HealthStatus::Serving if !self.shut_down => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        })
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Returns the statuses of a server that takes calls, without a service.
    pub fn new() -> Self {
        let of = HashMap::from([(String::new(), HealthStatus::Serving)]);
        Self(Arc::new(watch::Sender::new(Statuses { of, shut_down: false })))
    }

    /// Sets the status of `service`, its full name in the IDL; of the server if it is empty. Sends it to
    /// every Watch of the service. After [`shut_down`](Self::shut_down) it is stored but not reported.
    pub fn set(&self, service: impl Into<String>, status: HealthStatus) {
        let service = service.into();
        self.0.send_if_modified(|statuses| statuses.of.insert(service, status) != Some(status));
    }

    /// Makes every status `NotServing`, for good. A server that has [`service`](Self::service) does so when it begins
    /// to shut down.
    pub fn shut_down(&self) {
        self.0.send_if_modified(|statuses| !std::mem::replace(&mut statuses.shut_down, true));
    }

    /// Returns the service `grpc.health.v1.Health`. When the server shuts down, a Watch reports
    /// it and ends with status 14, so that it does not delay the drain.
    pub fn service(&self) -> impl Service + use<> {
        HealthService { inner: HealthServer::new(Watched(self.clone())), health: self.clone() }
    }

    fn get(&self, service: &str) -> Option<ServingStatus> {
        self.0.borrow().get(service)
    }
}

struct HealthService {
    inner: HealthServer<Watched>,
    health: Health,
}

#[kitex::async_trait]
impl Service for HealthService {
    fn methods(&self) -> &[Method] {
        self.inner.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        self.inner.call(call).await
    }

    fn draining(&self) {
        self.health.shut_down();
    }
}

struct Watched(Health);

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[kitex::async_trait]
impl Handler for Watched {
    async fn check(&self, _: Context, request: HealthCheckRequest) -> Result<HealthCheckResponse> {
        match self.0.get(&request.service) {
            Some(status) => Ok(response(status)),
            None => Err(GrpcStatus::new(NOT_FOUND, "unknown service").into()),
        }
    }

    async fn watch(
        &self,
        ctx: Context,
        request: HealthCheckRequest,
        stream: ServerStreamingServer<HealthCheckResponse, Protobuf>,
    ) -> Result<()> {
        let mut statuses = self.0.0.subscribe();
        let mut reported = None;
        loop {
            let (status, shut_down) = {
                let statuses = statuses.borrow_and_update();
                (statuses.get(&request.service).unwrap_or(ServingStatus::ServiceUnknown), statuses.shut_down)
            };
            if reported != Some(status) {
                stream.send(&response(status)).await?;
                reported = Some(status);
            }
            // The sender lives as long as its service does.
            if shut_down || ctx.until_canceled(statuses.changed()).await?.is_err() {
                return Err(GrpcStatus::new(GrpcStatus::UNAVAILABLE, "the server shuts down").into());
            }
        }
    }
}

/// The code for a service that is not known.
const NOT_FOUND: u32 = 5;
