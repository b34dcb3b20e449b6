//! Prepares the question for the model, and ends a reply that grows too long. Owns what a question may
//! be; knows nothing of how the model works.

use kitex::{BizStatusError, Context, Result, ServerStreamingServer};

use super::AGENT;
use crate::api::{Chat, Question, Token};
use crate::next::{BAD_QUESTION, Next};
use crate::report::{Report, Reports};

/// Tokens of a reply at most, if nobody says otherwise.
pub const DEFAULT_LIMIT: u64 = 1000;

/// Stands between the door and the model.
#[derive(Debug)]
pub struct Agent {
    model: Next,
    limit: u64,
    reports: Reports,
}

impl Agent {
    /// An agent that asks `model` and lets a reply have `limit` tokens.
    pub fn new(model: Next, limit: u64, reports: Reports) -> Self {
        Self { model, limit, reports }
    }

    async fn answer(
        &self,
        ctx: &Context,
        question: &Question,
        stream: &ServerStreamingServer<Token>,
        passed: &mut u64,
    ) -> Result<()> {
        let question = Question { prompt: prepare(&question.prompt)?.into() };
        self.model.pass_on(ctx, question, stream, self.limit, passed).await
    }
}

#[kitex::async_trait]
impl Chat for Agent {
    async fn ask(
        &self,
        ctx: Context,
        question: Question,
        stream: ServerStreamingServer<Token>,
    ) -> Result<()> {
        let mut passed = 0;
        let ended = self.answer(&ctx, &question, &stream, &mut passed).await;
        self.reports.tell(Report::new(AGENT, &ended, passed));
        ended.map_err(|error| self.model.explain(&ctx, error))
    }
}

/// The prompt without what no model should read: space around it, control characters.
fn prepare(prompt: &str) -> Result<String, BizStatusError> {
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let prompt = prompt.chars().filter(kept).collect::<String>();
    let prompt = prompt.trim();
    if prompt.is_empty() {
        return Err(BizStatusError::new(BAD_QUESTION, "nothing was asked: give a prompt"));
    }
    if prompt.len() > MAX_PROMPT {
        let text = format!("the prompt has {} bytes: give one of {MAX_PROMPT} at most", prompt.len());
        return Err(BizStatusError::new(BAD_QUESTION, text));
    }
    Ok(prompt.to_owned())
}

const MAX_PROMPT: usize = 16 * 1024;
