//! `chat ask`: a question to a gateway that is served elsewhere; and what every asker does.

use std::future::{Future, ready};

use clap::Args;

use super::screen::Screen;
use super::serve::GATEWAY_ADDRESS;
use super::signal::interrupt;
use super::{Done, Failure, QuestionArgs};
use crate::next::Next;
use crate::report::Report;
use crate::service::{GATEWAY, USER};
use crate::show::ending;
use crate::user::{Stop, Wish, ask};

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
    converse(&gateway, args.question.wish()?, Screen::new(), ready(Vec::new())).await
}

/// Shows a reply as it comes, then how it ended; `hops` are the reports of the other services.
pub(super) async fn converse(
    gateway: &Next,
    wish: Wish,
    mut screen: Screen,
    hops: impl Future<Output = Vec<Report>>,
) -> Result<Done, Failure> {
    let outcome = ask(gateway, wish, interrupt(), |token| screen.show(token)).await;
    screen.end_line();
    if let Some(failure) = outcome.failure(gateway) {
        return Err(failure.into());
    }
    let paint = screen.paint();
    screen.say(&format!("\n{}", ending(&outcome, &hops.await, paint)));
    let interrupted = outcome.cancel.is_some_and(|cancel| cancel.why == Stop::Interrupt);
    Ok(if interrupted { Done::Interrupted } else { Done::Well })
}
