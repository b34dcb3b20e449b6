//! Runs the model, token by token, until the reply is complete or canceled. Owns the token count, and that
//! the tokens are kept however a reply ends.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use kitex::{BizStatusError, Context, Error, Result, ServerStreamingServer};

use super::MODEL;
use super::transcripts::{Transcript, Transcripts};
use crate::api::{Chat, Question, Token};
use crate::model::Model;
use crate::next::MODEL_FAILED;
use crate::options::{ReplyOptions, chat_id};
use crate::report::{Report, Reports, Work};

/// Serves a model.
pub struct ModelService {
    model: Arc<dyn Model>,
    transcripts: Transcripts,
    reports: Reports,
}

impl ModelService {
    /// Returns a service of `model`.
    pub fn new(model: Arc<dyn Model>, transcripts: Transcripts, reports: Reports) -> Self {
        Self { model, transcripts, reports }
    }
}

impl fmt::Debug for ModelService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelService").field("model", &self.model.name()).finish_non_exhaustive()
    }
}

#[kitex::async_trait]
impl Chat for ModelService {
    async fn ask(
        &self,
        ctx: Context,
        question: Question,
        stream: ServerStreamingServer<Token>,
    ) -> Result<()> {
        let mut draft = Draft::new(self, &ctx, &question.prompt);
        let ended = self.write(&ctx, &stream, &mut draft).await;
        draft.end(ended.clone());
        ended
    }
}

impl ModelService {
    /// Writes until the reply is complete or canceled. The model works only while it is polled here, so
    /// returning from here ends its work.
    async fn write(
        &self,
        ctx: &Context,
        stream: &ServerStreamingServer<Token>,
        draft: &mut Draft<'_>,
    ) -> Result<()> {
        let options = ReplyOptions::of(ctx);
        // What a cancel saves is known where the length of the reply is.
        let work = ctx.extension::<kitex_metrics::Work>().cloned().unwrap_or_default();
        work.plan(options.length.or(options.limit).unwrap_or_default());
        let mut reply = self.model.reply_with(&draft.transcript.prompt, &options);
        let mut canceled = pin!(ctx.canceled());
        let mut began_late = false;
        loop {
            let token = tokio::select! {
                biased;
                reason = &mut canceled => return Err(reason.into()),
                token = poll_fn(|cx| {
                    began_late = ctx.reason().is_some();
                    reply.poll_next_unpin(cx)
                }) => token,
            };
            let Some(token) = token else { return Ok(()) };
            let token = token.map_err(|error| BizStatusError::new(MODEL_FAILED, error.to_string()))?;
            draft.add(&token, began_late);
            work.done(1);
            stream.send(&Token { text: token.into() }).await?;
        }
    }
}

/// A reply that is being written. However its handler ends, its tokens go to the transcripts and into the
/// service's report.
struct Draft<'a> {
    service: &'a ModelService,
    ctx: &'a Context,
    transcript: Transcript,
    late: u64,
    ended: Option<(Instant, Result<()>)>,
}

impl<'a> Draft<'a> {
    fn new(service: &'a ModelService, ctx: &'a Context, prompt: &str) -> Self {
        let transcript = Transcript { prompt: prompt.to_owned(), ..Transcript::default() };
        Self { service, ctx, transcript, late: 0, ended: None }
    }

    fn add(&mut self, token: &str, began_late: bool) {
        self.transcript.reply.push_str(token);
        self.transcript.tokens += 1;
        self.late += u64::from(began_late);
    }

    fn end(mut self, ended: Result<()>) {
        self.ended = Some((Instant::now(), ended));
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let dropped = || (Instant::now(), Err(Error::other("the model's handler ended before it returned")));
        let (at, ended) = self.ended.take().unwrap_or_else(dropped);
        let mut transcript = std::mem::take(&mut self.transcript);
        transcript.error = ended.as_ref().err().map(Error::to_string);
        let (tokens, bytes) = (transcript.tokens, transcript.reply.len());
        let file = self.service.transcripts.keep(transcript);
        let work = Some(Work { late: self.late, bytes, file });
        let chat = chat_id(self.ctx);
        self.service.reports.publish(Report {
            service: MODEL,
            chat,
            ended,
            received: None,
            at,
            tokens,
            work,
        });
    }
}
