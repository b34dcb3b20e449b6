//! Prepares the question for the model, and ends a reply at its limit. With a retriever it has two branches: the model
//! writes while the retriever finds passages. Owns the validation of questions; knows nothing of the model.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use kitex::{BizStatusError, Context, Result, ServerStreamingServer};

use super::AGENT;
use crate::api::{Chat, Question, Token};
use crate::next::{AT_LIMIT, BAD_QUESTION, FINISH, Next};
use crate::options::ReplyOptions;
use crate::report::{Report, Reports};

/// The default limit of a reply, in tokens.
pub const DEFAULT_LIMIT: u64 = 1000;

/// The service between the gateway and the model.
#[derive(Debug)]
pub struct Agent {
    model: Next,
    retriever: Option<Next>,
    limit: u64,
    reports: Reports,
}

impl Agent {
    /// Returns an agent that asks `model` and limits a reply to `limit` tokens.
    pub fn new(model: Next, limit: u64, reports: Reports) -> Self {
        Self { model, retriever: None, limit, reports }
    }

    /// Asks `retriever` beside the model.
    #[must_use]
    pub fn with_retriever(mut self, retriever: Next) -> Self {
        self.retriever = Some(retriever);
        self
    }

    async fn answer(
        &self,
        ctx: &Context,
        question: &Question,
        stream: &ServerStreamingServer<Token>,
        passed: &mut u64,
    ) -> Result<()> {
        let question = Question { prompt: prepare(&question.prompt)?.into() };
        let options = ReplyOptions::of(ctx);
        let limit = options.limit.map_or(self.limit, |limit| limit.min(self.limit));
        let Some(retriever) = &self.retriever else {
            return self.model.pass_on(ctx, question, stream, limit, passed).await;
        };
        let sources = Sources::default();
        let (branch, canceler) = ctx.with_cancel();
        let mut search = pin!(sources.gather(retriever, &branch, question.clone()));
        let mut searching = true;
        let mut reply = self.model.client().ask(ctx, question).await?;
        loop {
            let token = tokio::select! {
                biased;
                token = reply.recv() => token?,
                () = &mut search, if searching => {
                    searching = false;
                    continue;
                }
                () = sources.enough(options.sources), if searching => {
                    canceler.cancel_with_cause("the agent has enough passages");
                    searching = false;
                    continue;
                }
            };
            let Some(token) = token else { break };
            stream.send(&token).await?;
            *passed += 1;
            if *passed == limit {
                stream.set_trailer(FINISH, AT_LIMIT);
                break;
            }
        }
        canceler.cancel_with_cause("the reply is complete");
        stream.set_trailer(PASSAGES, sources.text());
        Ok(())
    }
}

/// Key of the trailer that holds the passages, a line each.
pub(crate) const PASSAGES: &str = "passages";

/// The passages that have come so far.
#[derive(Clone, Debug, Default)]
struct Sources {
    passages: Arc<Mutex<Vec<String>>>,
    came: Arc<tokio::sync::Notify>,
}

impl Sources {
    /// Takes passages until there are none, or the branch is canceled. A reply needs no passages, so a retriever that
    /// fails does not fail it: its own report says what happened.
    async fn gather(&self, retriever: &Next, ctx: &Context, question: Question) {
        let Ok(mut found) = retriever.client().ask(ctx, question).await else { return };
        while let Ok(Some(passage)) = found.recv().await {
            self.passages.lock().unwrap_or_else(PoisonError::into_inner).push(passage.text.to_string());
            self.came.notify_one();
        }
    }

    async fn enough(&self, wanted: Option<u64>) {
        let Some(wanted) = wanted else { return std::future::pending().await };
        while self.count() < wanted {
            self.came.notified().await;
        }
    }

    fn count(&self) -> u64 {
        self.passages.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn text(&self) -> String {
        let passages = self.passages.lock().unwrap_or_else(PoisonError::into_inner);
        passages.iter().take(MAX_SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

const MAX_SHOWN: usize = 3;

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
        self.reports.publish(Report::new(AGENT, &ended, passed).of(&ctx));
        ended.map_err(|error| self.model.explain(&ctx, error))
    }
}

/// Returns the prompt without surrounding whitespace and control characters.
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
