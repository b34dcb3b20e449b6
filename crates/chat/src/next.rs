//! The client of the next service in the chain. Owns how a reply is forwarded, and the texts of failures for
//! the caller.

use kitex::client::{BuildError, ClientBuilder, PoolStats};
use kitex::{BizStatusError, Client, Context, Error, Result, ServerStreamingServer};

use crate::api::{ChatClient, Question, Token};
use crate::proto::Proto;
use crate::text::one_line;

/// The next service.
#[derive(Clone, Debug)]
pub struct Next {
    /// The name of the calling service.
    own: &'static str,
    /// The name of the next service.
    name: &'static str,
    address: String,
    client: ChatClient,
}

impl Next {
    /// Returns the client of `own` for the service `name` at `address`, over TTHeader Streaming. Nothing is dialed
    /// before the first question.
    ///
    /// # Errors
    /// The address is not `host:port`.
    pub fn new(own: &'static str, name: &'static str, address: &str) -> Result<Self, BuildError> {
        Self::over(Proto::Tt, own, name, address)
    }

    /// Returns the same over another transport.
    ///
    /// # Errors
    /// The address is not `host:port`.
    pub fn over(
        proto: Proto,
        own: &'static str,
        name: &'static str,
        address: &str,
    ) -> Result<Self, BuildError> {
        Self::with(own, name, address, |builder| builder.transport(proto.to(name)))
    }

    /// The service `name` at `address`, with a client of the caller's settings.
    ///
    /// # Errors
    /// The address is not `host:port`.
    pub fn with(
        own: &'static str,
        name: &'static str,
        address: &str,
        settings: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, BuildError> {
        let client = settings(Client::builder(name).caller(own).address(address)).build()?;
        Ok(Self { own, name, address: address.to_owned(), client: ChatClient::new(client) })
    }

    /// Returns the client.
    pub fn client(&self) -> &ChatClient {
        &self.client
    }

    /// Returns the name of the service that is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what reads the state of the client's connections.
    pub(crate) fn pool_stats(&self) -> impl Fn() -> PoolStats + Send + Sync + use<> {
        let client = self.client.clone();
        move || client.as_ref().pool_stats()
    }

    /// Forwards its reply to `stream`, at most `limit` tokens, and counts them. The call is made under the
    /// handler's own `ctx`: when the caller cancels, the stream to the next service is canceled too.
    pub(crate) async fn pass_on(
        &self,
        ctx: &Context,
        question: Question,
        stream: &ServerStreamingServer<Token>,
        limit: u64,
        passed: &mut u64,
    ) -> Result<()> {
        let mut reply = self.client.ask(ctx, question).await?;
        while let Some(token) = reply.recv().await? {
            stream.send(&token).await?;
            *passed += 1;
            if *passed == limit {
                // Dropping `reply` cancels the downstream services only.
                stream.set_trailer(FINISH, AT_LIMIT);
                return Ok(());
            }
        }
        if let Some(finish) = reply.trailer().as_ref().and_then(|trailer| trailer.get(FINISH)) {
            stream.set_trailer(FINISH, finish.clone());
        }
        Ok(())
    }

    /// Returns the error for the caller when the next service's reply has failed: one line that every hop
    /// forwards unchanged. A cancel by the caller stays unchanged.
    pub(crate) fn explain(&self, ctx: &Context, error: Error) -> Error {
        let Self { own, name, address, .. } = self;
        let text = match &error {
            Error::Biz(_) => return error,
            _ if ctx.reason().is_some() => return error,
            Error::Connect { source, .. } => format!(
                "{own} cannot reach {name} at {address} ({}): start it with `chat serve {name} --addr {address}`, \
                 or correct the address",
                one_line(&source.to_string())
            ),
            error => format!(
                "{own} got no whole reply from {name} at {address} ({}): check that {name} still runs, and ask again",
                said(error)
            ),
        };
        BizStatusError::new(UNAVAILABLE, text).into()
    }
}

/// Returns an error's text without code and side, which the user does not need.
fn said(error: &Error) -> String {
    one_line(&error.message())
}

/// The trailer key for the reason that a reply ended before the model's own end.
pub(crate) const FINISH: &str = "finish";
/// Its value when the agent's limit was reached.
pub(crate) const AT_LIMIT: &str = "limit";

/// The question is invalid.
pub(crate) const BAD_QUESTION: i32 = 400;
/// The model failed.
pub(crate) const MODEL_FAILED: i32 = 502;
/// A service of the chain is unavailable.
const UNAVAILABLE: i32 = 503;
