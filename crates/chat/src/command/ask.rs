//! `chat ask`: a question to a gateway in another process; and the part that every client shares.

use std::future::{Future, ready};
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::args::{Done, Failure, ProtoArgs, QuestionArgs};
use super::screen::{Form, Screen};
use super::serve::GATEWAY_ADDRESS;
use super::signal::interrupt;
use super::watch::Watch;
use crate::next::Next;
use crate::report::Report;
use crate::service::{GATEWAY, USER};
use crate::user::{Stop, Wish, ask};
use crate::watch::Names;

/// The arguments of `chat ask`.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    #[command(flatten)]
    question: QuestionArgs,
    #[command(flatten)]
    form: Form,
    /// Address of the gateway.
    #[arg(long, value_name = "HOST:PORT", default_value = GATEWAY_ADDRESS)]
    addr: String,
    #[command(flatten)]
    transport: ProtoArgs,
}

/// Asks, and shows the outcome of the client; the services print theirs where they run.
pub(super) async fn run(args: AskArgs) -> Result<Done, Failure> {
    let gateway = Next::over(args.transport.proto, USER, GATEWAY, &args.addr)?;
    let watch = Watch::asked_for(args.question.watch, Names::new());
    let done =
        converse(&gateway, args.question.wish()?, Screen::new(args.form), watch, ready(Vec::new())).await;
    // The end of the process would reset the connection, and a cancel that the gateway has not read yet would be lost.
    let _ = timeout(CLOSE, gateway.client().close()).await;
    done
}

/// How long the connection to the gateway may take to close.
const CLOSE: Duration = Duration::from_secs(1);

/// Shows a reply as it arrives, then its outcome; `hops` are the reports of the other services.
pub(super) async fn converse(
    gateway: &Next,
    wish: Wish,
    mut screen: Screen,
    watch: Option<Watch>,
    hops: impl Future<Output = Vec<Report>>,
) -> Result<Done, Failure> {
    let show = |token: &str| match &watch {
        Some(watch) => watch.around(|| screen.show(token)),
        None => screen.show(token),
    };
    let outcome = ask(gateway, wish, interrupt(), show).await;
    let failure = outcome.failure(gateway);
    match watch {
        Some(watch) => watch.end(|| screen.end_line()),
        None => screen.end_line(),
    }
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    screen.end(&outcome, &hops.await);
    let interrupted = outcome.cancel.is_some_and(|cancel| cancel.why == Stop::Interrupt);
    Ok(if interrupted { Done::Interrupted } else { Done::Well })
}
