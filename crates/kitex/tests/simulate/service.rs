//! The services of the chain: each passes its calls on to the next one; the last does what the plan says.

use std::sync::Arc;

use kitex::bytes::Bytes;
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, MemoryBudget, Result, SendMessage,
    ServerStreamingServer,
};
use tokio::time::sleep;

use crate::echo::{Echo, EchoClient, EchoPingError, Req, Resp};
use crate::ledger::{Ledger, Running};
use crate::plan::{Call, Last, Plan};

/// The persistent metainfo with the number of a call.
pub(crate) const CALL: &str = "CALL";

/// What one read of a connection adds to a full memory budget before streams are ended.
const ONE_READ: usize = 64 * 1024;

/// One service.
pub(crate) struct Hop {
    pub(crate) place: usize,
    pub(crate) next: Option<EchoClient>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Ledger,
    pub(crate) memory: MemoryBudget,
}

pub(crate) fn req(seq: i64, size: usize) -> Req {
    Req { msg: None, seq: Some(seq), payload: Some(Bytes::from(vec![7; size])) }
}

fn resp(seq: i64, size: usize) -> Resp {
    Resp { msg: None, seq: Some(seq), payload: Some(Bytes::from(vec![7; size])) }
}

impl Hop {
    fn begin(&self, ctx: &Context) -> (&Call, Running) {
        let number = ctx.persistent(CALL).map(|number| String::from_utf8_lossy(number).parse());
        let number = number.expect("metainfo passes the chain").expect("the number of a call");
        (&self.plan.calls[number], self.ledger.begin(number, self.place))
    }

    async fn send<'a>(&self, send: impl Fn() -> SendMessage<'a>, run: &Running) -> Result<()> {
        if let Err(error) = send().await {
            self.ledger.check_same(&error, &send().await, "Send of a handler");
            return Err(error);
        }
        run.sent();
        let (used, limit) = (self.memory.used(), self.plan.memory);
        self.ledger.check(used <= limit + ONE_READ, || format!("{used} bytes are held, of {limit}"));
        Ok(())
    }

    async fn end(&self, ctx: &Context, call: &Call) -> Result<()> {
        match call.last {
            Last::Returns => Ok(()),
            Last::Fails => Err(Error::other("failed")),
            Last::WaitsForCancel => Err(ctx.canceled().await.into()),
        }
    }

    async fn count(&self, stream: &mut ClientStreamingServer<Req>, run: &Running) -> Result<i64> {
        let mut count = 0;
        while stream.recv().await?.is_some() {
            run.received();
            count += 1;
        }
        Ok(count)
    }

    async fn on_up(
        &self,
        ctx: &Context,
        mut stream: ClientStreamingServer<Req>,
        run: &Running,
        call: &Call,
    ) -> Result<i64> {
        let Some(next) = &self.next else {
            let count = self.count(&mut stream, run).await?;
            return self.end(ctx, call).await.map(|()| count);
        };
        let mut upstream = next.up(ctx).await?;
        while let Some(message) = stream.recv().await? {
            run.received();
            upstream.send(&message).await?;
        }
        Ok(upstream.close_and_recv().await?.seq.unwrap_or_default())
    }

    async fn on_down(
        &self,
        ctx: &Context,
        req: Req,
        stream: &ServerStreamingServer<Resp>,
        run: &Running,
        call: &Call,
    ) -> Result<()> {
        let Some(next) = &self.next else {
            for seq in 0..call.count {
                let message = resp(seq, call.size);
                self.send(|| stream.send(&message), run).await?;
                sleep(call.pause).await;
            }
            return self.end(ctx, call).await;
        };
        let mut messages = next.down(ctx, req).await?;
        while let Some(message) = messages.recv().await? {
            self.send(|| stream.send(&message), run).await?;
        }
        Ok(())
    }

    async fn on_bidi(
        &self,
        ctx: &Context,
        stream: BidiStreamingServer<Req, Resp>,
        run: &Running,
        call: &Call,
    ) -> Result<()> {
        let (mut receiver, sender) = stream.split();
        let Some(next) = &self.next else {
            while let Some(Req { msg, seq, payload }) = receiver.recv().await? {
                run.received();
                let message = Resp { msg, seq, payload };
                self.send(|| sender.send(&message), run).await?;
            }
            return self.end(ctx, call).await;
        };
        let (to_next, mut from_next) = next.bidi(ctx).await?.split();
        let there = async {
            while let Some(message) = receiver.recv().await? {
                run.received();
                to_next.send(&message).await?;
            }
            to_next.close_send();
            Ok(())
        };
        let back = async {
            while let Some(message) = from_next.recv().await? {
                self.send(|| sender.send(&message), run).await?;
            }
            Ok::<_, Error>(())
        };
        tokio::try_join!(there, back).map(drop)
    }

    async fn on_unary(&self, ctx: &Context, req: Req, call: &Call) -> Result<Resp> {
        match &self.next {
            Some(next) => next.unary(ctx, req).await,
            None => {
                sleep(call.pause).await;
                self.end(ctx, call).await.map(|()| resp(req.seq.unwrap_or_default(), call.size))
            }
        }
    }
}

#[kitex::async_trait]
impl Echo for Hop {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp, EchoPingError> {
        Ok(resp(0, 0))
    }

    async fn unary(&self, ctx: Context, req: Req) -> Result<Resp> {
        let (call, run) = self.begin(&ctx);
        let result = self.on_unary(&ctx, req, call).await;
        run.end(result.as_ref().map(drop).map_err(Clone::clone))?;
        result
    }

    async fn up(&self, ctx: Context, stream: ClientStreamingServer<Req>) -> Result<Resp> {
        let (call, run) = self.begin(&ctx);
        let result = self.on_up(&ctx, stream, &run, call).await;
        run.end(result.as_ref().map(drop).map_err(Clone::clone))?;
        result.map(|count| resp(count, 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let (call, run) = self.begin(&ctx);
        let result = self.on_down(&ctx, req, &stream, &run, call).await;
        run.end(result)
    }

    async fn bidi(&self, ctx: Context, stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        let (call, run) = self.begin(&ctx);
        let result = self.on_bidi(&ctx, stream, &run, call).await;
        run.end(result)
    }

    async fn note(&self, _: Context, _: Req) -> Result<()> {
        Ok(())
    }
}
