//! The user: makes the calls of the plan, and reports how each has ended.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use kitex::bytes::Bytes;
use kitex::testing::Simulation;
use kitex::{Context, Error, MessageReceiver, MessageSender, Result};
use tokio::time::{sleep, timeout};

use crate::echo::{EchoClient, Req, Resp};
use crate::ledger::Ledger;
use crate::plan::{Call, Mode, Plan, User};
use crate::service::{CALL, req};

/// What the user has seen of a call.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) sent: i64,
    pub(crate) received: i64,
    pub(crate) end: Ended,
    /// The time of the end, from the start.
    pub(crate) at: Duration,
}

/// How a call has ended for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By the trailer, or with a response.
    Cleanly,
    Failed(String),
    /// The user has dropped it.
    Dropped,
}

/// The user of one simulation.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: EchoClient,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Ledger,
    pub(crate) simulation: Simulation,
}

impl Caller {
    /// Makes one call. Returns what was seen of it.
    pub(crate) async fn call(self, number: usize) -> Seen {
        let call = &self.plan.calls[number];
        sleep(call.start).await;
        let mut seen = Seen { sent: 0, received: 0, end: Ended::Dropped, at: Duration::ZERO };
        let (ctx, canceler) = Context::background().with_persistent(CALL, number.to_string()).with_cancel();
        let ctx = if let User::HasDeadline(after) = call.user { ctx.with_timeout(after) } else { ctx };
        let talk = self.talk(call, &ctx, &mut seen);
        let ended = match call.user {
            User::Reads | User::HasDeadline(_) => Some(talk.await),
            User::Drops(after) => timeout(after, talk).await.ok(),
            User::Cancels(after) => {
                let cancel = async {
                    sleep(after).await;
                    canceler.cancel();
                    pending::<Infallible>().await
                };
                tokio::select! {
                    biased;
                    ended = talk => Some(ended),
                    never = cancel => match never {},
                }
            }
        };
        seen.end = match ended {
            None => Ended::Dropped,
            Some(Ok(())) => Ended::Cleanly,
            Some(Err(error)) => Ended::Failed(error.to_string()),
        };
        seen.at = self.simulation.elapsed();
        self.simulation.note(format!("call {number} at the user: {:?}", seen.end));
        seen
    }

    async fn talk(&self, call: &Call, ctx: &Context, seen: &mut Seen) -> Result<()> {
        match call.mode {
            Mode::Unary => {
                self.client.unary(ctx, req(call.count, call.size)).await?;
                Ok(())
            }
            Mode::Up => self.talk_up(call, ctx, seen).await,
            Mode::Down => self.talk_down(call, ctx, seen).await,
            Mode::Bidi => {
                let (sender, receiver) = self.client.bidi(ctx).await?.split();
                let Seen { sent, received, .. } = seen;
                let (sending, receiving) =
                    tokio::join!(send_all(sender, call, sent), self.receive(receiver, call, received));
                if let (Err(first), Err(second)) = (&sending, &receiving) {
                    self.check_one_outcome(first, second);
                }
                receiving
            }
        }
    }

    async fn talk_up(&self, call: &Call, ctx: &Context, seen: &mut Seen) -> Result<()> {
        let mut stream = self.client.up(ctx).await?;
        for seq in 0..call.count {
            if let Err(error) = stream.send(&req(seq, call.size)).await {
                let outcome = stream.close_and_recv().await;
                // A handler may return before it has received everything.
                return outcome.map(drop).inspect_err(|outcome| self.check_one_outcome(&error, outcome));
            }
            seen.sent += 1;
            sleep(call.pause).await;
        }
        let response = stream.close_and_recv().await?;
        self.ledger
            .check(response.seq == Some(seen.sent), || format!("{response:?} after {} messages", seen.sent));
        Ok(())
    }

    async fn talk_down(&self, call: &Call, ctx: &Context, seen: &mut Seen) -> Result<()> {
        let mut stream = self.client.down(ctx, req(0, 0)).await?;
        loop {
            match stream.recv().await {
                Ok(Some(message)) => self.on_message(&message, call, &mut seen.received).await,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.ledger.check_same(&error, &stream.recv().await, "Recv of the user");
                    return Err(error);
                }
            }
        }
    }

    async fn receive(
        &self,
        mut receiver: MessageReceiver<Resp>,
        call: &Call,
        received: &mut i64,
    ) -> Result<()> {
        loop {
            match receiver.recv().await {
                Ok(Some(message)) => self.on_message(&message, call, received).await,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.ledger.check_same(&error, &receiver.recv().await, "Recv of the user");
                    return Err(error);
                }
            }
        }
    }

    async fn on_message(&self, message: &Resp, call: &Call, received: &mut i64) {
        let (seq, length) = (message.seq, message.payload.as_ref().map(Bytes::len));
        self.ledger.check(seq == Some(*received) && length == Some(call.size), || {
            format!("message {seq:?} of {length:?} bytes in place of {received}")
        });
        *received += 1;
        sleep(call.reading).await;
    }

    /// Send and Recv report one outcome, except that Send may report that the server takes no more messages.
    fn check_one_outcome(&self, sending: &Error, receiving: &Error) {
        let (sending, receiving) = (sending.to_string(), receiving.to_string());
        let is_closed = sending.contains("closed send") || sending.contains("the stream is done");
        self.ledger
            .check(sending == receiving || is_closed, || format!("Send: {sending}, Recv: {receiving}"));
    }
}

async fn send_all(sender: MessageSender<Req>, call: &Call, sent: &mut i64) -> Result<()> {
    for seq in 0..call.count {
        sender.send(&req(seq, call.size)).await?;
        *sent += 1;
        sleep(call.pause).await;
    }
    sender.close_send();
    Ok(())
}
