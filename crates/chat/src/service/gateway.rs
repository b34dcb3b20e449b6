//! The entry point: the only service that users call. Forwards everything.

use kitex::{Context, Result, ServerStreamingServer};

use super::GATEWAY;
use crate::api::{Chat, Question, Token};
use crate::next::Next;
use crate::report::{Report, Reports};

/// The door.
#[derive(Debug)]
pub struct Gateway {
    agent: Next,
    reports: Reports,
}

impl Gateway {
    /// Returns a gateway to `agent`.
    pub fn new(agent: Next, reports: Reports) -> Self {
        Self { agent, reports }
    }
}

#[kitex::async_trait]
impl Chat for Gateway {
    async fn ask(
        &self,
        ctx: Context,
        question: Question,
        stream: ServerStreamingServer<Token>,
    ) -> Result<()> {
        let mut passed = 0;
        let ended = self.agent.pass_on(&ctx, question, &stream, u64::MAX, &mut passed).await;
        self.reports.publish(Report::new(GATEWAY, &ended, passed).of(&ctx));
        ended.map_err(|error| self.agent.explain(&ctx, error))
    }
}
