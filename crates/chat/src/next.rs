//! The next service of the chain, as the one before it sees it. Owns how a reply is passed on, and in
//! which words a failure on the way reaches whoever asked.

use kitex::client::BuildError;
use kitex::{BizStatusError, Client, Context, Error, Result, ServerStreamingServer};

use crate::api::{ChatClient, Question, Token};
use crate::text::one_line;

/// The next service.
#[derive(Clone, Debug)]
pub struct Next {
    /// Who asks.
    own: &'static str,
    /// Who is asked.
    name: &'static str,
    address: String,
    client: ChatClient,
}

impl Next {
    /// The service `name` at `address`, as `own` sees it. Nothing is dialed before the first question.
    ///
    /// # Errors
    /// The address is not `host:port`.
    pub fn new(own: &'static str, name: &'static str, address: &str) -> Result<Self, BuildError> {
        let client = Client::builder(name).caller(own).address(address).build()?;
        Ok(Self { own, name, address: address.to_owned(), client: ChatClient::new(client) })
    }

    /// Calls it.
    pub fn client(&self) -> &ChatClient {
        &self.client
    }

    /// Passes its reply on to `stream`, `limit` tokens at most, and counts them. All of it is under the
    /// handler's own `ctx`: when the asker goes away, so does the next service's stream.
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
                // The drop of `reply` tells those behind it, and them alone.
                stream.set_trailer(FINISH, AT_LIMIT);
                return Ok(());
            }
        }
        if let Some(finish) = reply.trailer().as_ref().and_then(|trailer| trailer.get(FINISH)) {
            stream.set_trailer(FINISH, finish.clone());
        }
        Ok(())
    }

    /// What to tell the asker when the next service's reply failed: one line that every hop passes on as
    /// it is. An end that came from the asker's side stays what it is.
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

/// An error's text without code and side, which say nothing to whoever asked.
fn said(error: &Error) -> String {
    error.stream().map_or_else(|| one_line(&error.to_string()), |error| one_line(error.message()))
}

/// Key of the trailer that says why a reply ended before the model's own end.
pub(crate) const FINISH: &str = "finish";
/// Its value when the agent's limit was reached.
pub(crate) const AT_LIMIT: &str = "limit";

/// The question cannot be asked so.
pub(crate) const BAD_QUESTION: i32 = 400;
/// The model failed.
pub(crate) const MODEL_FAILED: i32 = 502;
/// A service of the chain is not there, or no longer.
const UNAVAILABLE: i32 = 503;
