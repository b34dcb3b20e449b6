//! `chat ask`: a question to a gateway that is served elsewhere; and what every asker does.

use std::future::{Future, ready};

use clap::Args;

use super::args::{Done, Failure, QuestionArgs};
use super::screen::Screen;
use super::serve::GATEWAY_ADDRESS;
use super::signal::interrupt;
use super::watch::Watch;
use crate::next::Next;
use crate::report::Report;
use crate::service::{GATEWAY, USER};
use crate::show::ending;
use crate::user::{Stop, Wish, ask};
use crate::watch::Names;

/// The words of `chat ask`.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    #[command(flatten)]
    question: QuestionArgs,
    /// Address of the gateway.
    #[arg(long, value_name = "HOST:PORT", default_value = GATEWAY_ADDRESS)]
    addr: String,
}

/// Asks, and shows what the user's end saw; the services tell the rest where they run.
pub(super) async fn run(args: AskArgs) -> Result<Done, Failure> {
    let gateway = Next::new(USER, GATEWAY, &args.addr)?;
    let watch = Watch::asked_for(args.question.watch, Names::new());
    converse(&gateway, args.question.wish()?, Screen::new(), watch, ready(Vec::new())).await
}

/// Shows a reply as it comes, then how it ended; `hops` are the reports of the other services.
pub(super) async fn converse(
    gateway: &Next,
    wish: Wish,
    mut screen: Screen,
    watch: Option<Watch>,
    hops: impl Future<Output = Vec<Report>>,
) -> Result<Done, Failure> {
    screen.wrap(watch.as_ref().is_some_and(Watch::is_in_place));
    let show = |token: &str| match &watch {
        Some(watch) => watch.around(|| screen.show(token)),
        None => screen.show(token),
    };
    let outcome = ask(gateway, wish, interrupt(), show).await;
    let failure = outcome.failure(gateway);
    let hops = if failure.is_none() { hops.await } else { Vec::new() };
    match watch {
        Some(watch) => watch.end(|| screen.end_line()).await,
        None => screen.end_line(),
    }
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    let paint = screen.paint();
    screen.say(&format!("\n{}", ending(&outcome, &hops, paint)));
    let interrupted = outcome.cancel.is_some_and(|cancel| cancel.why == Stop::Interrupt);
    Ok(if interrupted { Done::Interrupted } else { Done::Well })
}
