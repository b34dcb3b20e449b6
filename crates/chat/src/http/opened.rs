//! What the gateway remembers of its chats: which of its streams belongs to which, and how long replies are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kitex::observe::{CallObserver, CallStart, Connected, Observer};
use kitex::stream_core::cancel::Label;

/// Opens a call of the chat `id`, so that its stream is known as the chat's.
pub(super) async fn opening<T>(id: String, open: impl Future<Output = T>) -> T {
    CHAT.scope(id, open).await
}

tokio::task_local! {
    /// The chat whose call is being opened.
    static CHAT: String;
}

/// Which chat each of the gateway's streams belongs to, of the last 4,096. The call is opened on the task that asks, and
/// so is the stream's start observed there.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened(Arc<Mutex<VecDeque<(Label, String)>>>);

impl Opened {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Label, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ids of streams, as the tree has them, and their chats, of one client or all.
    pub(super) fn of(&self, client: &str) -> Vec<(String, String)> {
        let prefix = format!("{client}.");
        let opened = self.lock();
        let own = opened.iter().filter(|(_, chat)| chat.starts_with(&prefix));
        own.map(|(label, chat)| (format!("{}.{}", label.connection, label.stream), chat.clone())).collect()
    }
}

impl Observer for Opened {
    fn start(&self, _: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        let chat = CHAT.try_with(Clone::clone).ok()?;
        Some(Box::new(Call { opened: self.clone(), chat }))
    }
}

/// One call, until it has its stream.
struct Call {
    opened: Opened,
    chat: String,
}

impl CallObserver for Call {
    fn connected(&self, connection: &Connected<'_>) {
        let Some(label) = connection.stream else { return };
        let mut opened = self.opened.lock();
        if opened.len() >= MAX_OPENED {
            opened.pop_front();
        }
        opened.push_back((label, self.chat.clone()));
    }
}

const MAX_OPENED: usize = 4096;

/// How many tokens a whole reply has: the mean of those that ended by themselves.
#[derive(Debug, Default)]
pub(super) struct Usual {
    replies: AtomicU64,
    tokens: AtomicU64,
}

impl Usual {
    pub(super) fn add(&self, tokens: u64) {
        self.replies.fetch_add(1, Ordering::Relaxed);
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// The mean; before the first reply that of the built-in model.
    pub(super) fn mean(&self) -> u64 {
        let replies = self.replies.load(Ordering::Relaxed);
        self.tokens.load(Ordering::Relaxed).checked_div(replies).unwrap_or(BUILT_IN_MEAN)
    }
}

/// Tokens of a reply of the built-in model, on average.
const BUILT_IN_MEAN: u64 = 120;
