//! The transport between the services.

use clap::ValueEnum;
use kitex::client::Transport;

use crate::service::{AGENT, GATEWAY};

/// The transport to each service. Every service accepts both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Proto {
    /// TTHeader Streaming.
    #[default]
    Tt,
    /// gRPC.
    Grpc,
    /// gRPC to the gateway and the agent, TTHeader Streaming to the model and the retriever.
    Mixed,
}

impl Proto {
    /// Returns the transport to this service.
    pub(crate) fn to(self, service: &str) -> Transport {
        match self {
            Self::Grpc => Transport::Grpc,
            Self::Mixed if [GATEWAY, AGENT].contains(&service) => Transport::Grpc,
            Self::Tt | Self::Mixed => Transport::TtHeader,
        }
    }

    /// Returns the arguments that select it in another process.
    pub(crate) fn words(self) -> Vec<String> {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        name.into_iter().flat_map(|name| ["--proto".to_owned(), name]).collect()
    }
}
