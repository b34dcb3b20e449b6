//! The invariants of a simulation, on what its handlers and its user have seen.

use kitex::client::Transport;

use crate::chain::Ended as Checked;
use crate::ledger::{End, Entries, Run};
use crate::plan::{Call, Last, Mode, Plan, Trouble, User};
use crate::user::{Ended, Seen};

/// The attempts of an opening after the first one: the default of `ClientBuilder::retry`.
const RETRIES: usize = 2;

/// Checks what was seen; `retries` are those of the user's client, then of that of each service but the last.
pub(crate) fn check(plan: &Plan, entries: &Entries, seen: &[Seen], retries: &[u64]) -> Checked {
    if let Some(broken) = entries.broken.first() {
        return Err(broken.clone().into());
    }
    for (place, most) in &entries.most {
        holds(*most <= plan.max_handlers, || format!("{most} handlers at s{place}"))?;
    }
    for (place, retries) in retries.iter().enumerate() {
        let openings = if place == 0 { plan.calls.len() } else { runs_at(&entries.runs, place).count() };
        let most = u64::try_from(openings * RETRIES)?;
        holds(*retries <= most, || {
            format!("{retries} retries before s{}, of {openings} openings", place + 1)
        })?;
    }
    for (number, (call, seen)) in plan.calls.iter().zip(seen).enumerate() {
        let runs: Vec<&Run> = entries.runs.iter().filter(|run| run.call == number).collect();
        check_attempts(plan, &runs).map_err(|what| format!("call {number}: {what}"))?;
        if seen.end == Ended::Cleanly {
            check_clean(plan, call, &runs, seen).map_err(|what| format!("call {number}: {what}"))?;
        }
        check_canceled(plan, call, &runs).map_err(|what| format!("call {number}: {what}"))?;
        let may_fail =
            plan.trouble != Trouble::None || call.last != Last::Returns || call.user != User::Reads;
        holds(may_fail || seen.end == Ended::Cleanly, || format!("call {number}: {:?}", seen.end))?;
    }
    Ok(())
}

fn runs_at<'a>(runs: impl IntoIterator<Item = &'a Run>, place: usize) -> impl Iterator<Item = &'a Run> {
    runs.into_iter().filter(move |run| run.hop == place)
}

fn holds(is_so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what()) }
}

/// Handlers of a call run once; after a loss at most as often as retries permit, and those below a retried call once for it.
fn check_attempts(plan: &Plan, runs: &[&Run]) -> Result<(), String> {
    for place in 1..=plan.hops {
        let count = runs_at(runs.iter().copied(), place).count();
        let most = if plan.trouble == Trouble::All { 1 + RETRIES * place } else { 1 };
        holds(count <= most, || format!("{count} handlers at s{place}"))?;
    }
    Ok(())
}

/// Without faults, nothing but the cancel of the user ends handlers, at every service with the code of a cancel.
fn check_canceled(plan: &Plan, call: &Call, runs: &[&Run]) -> Result<(), String> {
    let expected = match (plan.trouble, plan.transport, call.user) {
        (Trouble::None, Transport::TtHeader, User::Cancels(_) | User::Drops(_)) => "code=12007",
        (Trouble::None, Transport::Grpc, User::Cancels(_) | User::Drops(_)) => "code = 1 ",
        _ => return Ok(()),
    };
    // Ping-pong calls have no codes.
    let may_fail_otherwise = call.last == Last::Fails || call.mode == Mode::Unary;
    let is_expected = |run: &&Run| match &run.end {
        Some(End::Failed(error)) => may_fail_otherwise || error.contains(expected),
        _ => true,
    };
    holds(runs.iter().all(is_expected), || format!("canceled, but {runs:?}"))
}

/// A clean end comes from the last service: at every service a handler has returned, with all messages.
fn check_clean(plan: &Plan, call: &Call, runs: &[&Run], seen: &Seen) -> Result<(), String> {
    holds(call.last == Last::Returns, || "a clean end of a handler that has not returned".to_owned())?;
    let expected = if call.mode == Mode::Unary { 0 } else { call.count };
    let (sent, received) = match call.mode {
        Mode::Unary => (0, 0),
        Mode::Up => (0, expected),
        Mode::Down => (expected, 0),
        Mode::Bidi => (expected, expected),
    };
    holds(seen.received == sent && seen.sent == received, || format!("the user has seen {seen:?}"))?;
    for place in 1..=plan.hops {
        let has_ended =
            |run: &Run| run.end == Some(End::Returned) && (run.sent, run.received) == (sent, received);
        holds(runs_at(runs.iter().copied(), place).any(has_ended), || {
            format!("a clean end, but s{place} has {runs:?}")
        })?;
    }
    Ok(())
}
