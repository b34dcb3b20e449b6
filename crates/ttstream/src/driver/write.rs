//! The writer task: writes what senders leave to it, all queued frames with one call.

use std::sync::Arc;

use super::guard::CloseOnDrop;
use super::link::Link;
use super::state::State;
use crate::io::write_all;
use crate::rt::yield_now;

/// Writes whenever the scheduler selects the task, until the connection is closed. If it is dropped before,
/// `guard` closes the connection.
pub(super) async fn write_loop(link: Arc<Link>, guard: CloseOnDrop) {
    write_until_closed(link).await;
    guard.disarm();
}

async fn write_until_closed(link: Arc<Link>) {
    let mut done = None;
    while let Some(enough) = std::future::poll_fn(|cx| link.lock(|state| state.poll_writer_task(cx))).await {
        if !enough {
            // Tasks that are ready to run may add to the batch first.
            yield_now().await;
        }
        let batch = link.update(|state| State::begin_batch(state, done.take()));
        let Some(mut batch) = batch else { continue };
        match write_all(link.io(), &mut batch, link.write_timeout()).await {
            Ok(()) => done = Some(batch),
            Err(error) => return link.write_failed(&error),
        }
    }
}
