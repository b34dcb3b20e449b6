//! Health (`grpc.health.v1`) and server reflection (v1 and v1alpha) for servers of the crate `kitex`: for probes,
//! meshes, load balancers and grpcurl. Both are services like any other, beside those of Thrift too.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use kitex::Server;
//! use kitex_grpc_services::{Health, HealthStatus, Reflection};
//!
//! let health = Health::new();
//! health.set("acme.speech.Speech", HealthStatus::Serving);
//! // Descriptors that `kitex-codegen` has generated, `SPEECH_DESCRIPTORS` for one.
//! let reflection = Reflection::of([kitex_grpc_services::HEALTH_DESCRIPTORS])?;
//!
//! let server = Server::builder("speech")
//!     .service(health.service())
//!     .service(reflection.service())
//!     // Time for those who watch to send their calls elsewhere.
//!     .drain_delay(Duration::from_secs(2));
//! # drop(server);
//! # Ok(())
//! # }
//! ```
//!
//! When the server is shut down, every status becomes `NotServing` first; then the drain begins.

mod health;
mod index;
mod reflection;

#[path = "generated/health.rs"]
mod health_pb;
#[path = "generated/reflection.rs"]
mod reflection_pb;

pub use health::{Health, HealthStatus};
pub use health_pb::grpc::health::v1::HEALTH_DESCRIPTORS;
pub use index::BadDescriptors;
pub use reflection::Reflection;
pub use reflection_pb::grpc::reflection::v1::REFLECTION_DESCRIPTORS;
