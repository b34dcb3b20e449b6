//! Runs the model: token by token, as long as somebody wants the reply. Owns the count of what was made,
//! and that it is kept however a reply ends.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use kitex::{BizStatusError, Context, Error, Reason, Result, ServerStreamingServer};

use super::MODEL;
use super::transcripts::{Transcript, Transcripts};
use crate::api::{Chat, Question, Token};
use crate::model::Model;
use crate::next::MODEL_FAILED;
use crate::report::{Report, Reports, Work};

/// Serves a model.
pub struct ModelService {
    model: Arc<dyn Model>,
    transcripts: Transcripts,
    reports: Reports,
}

impl ModelService {
    /// A service whose replies are `model`'s.
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
    /// Writes until the reply is whole or nobody wants it any more. The model works only while it is
    /// polled here, so the return from here ends its work.
    async fn write(
        &self,
        ctx: &Context,
        stream: &ServerStreamingServer<Token>,
        draft: &mut Draft<'_>,
    ) -> Result<()> {
        let mut reply = self.model.reply(&draft.transcript.prompt);
        let mut canceled = pin!(ctx.canceled());
        loop {
            let token = tokio::select! {
                biased;
                reason = &mut canceled => return Err(ended_by(&reason)),
                token = reply.next() => token,
            };
            let Some(token) = token else { return Ok(()) };
            let token = token.map_err(|error| BizStatusError::new(MODEL_FAILED, error.to_string()))?;
            draft.add(&token);
            stream.send(&Token { text: token.into() }).await?;
        }
    }
}

/// A reply that is being written. However its handler ends, what there is goes to the transcripts and
/// into the service's report.
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

    fn add(&mut self, token: &str) {
        self.transcript.reply.push_str(token);
        self.transcript.tokens += 1;
        self.late += u64::from(self.ctx.reason().is_some());
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
        self.service.reports.tell(Report { service: MODEL, ended, at, tokens, work });
    }
}

/// A context's end as the error that a Send or Recv under it ends with.
fn ended_by(reason: &Reason) -> Error {
    reason.stream().cloned().map_or_else(|| Error::other(reason.clone()), Error::from)
}
