//! One node of the tree: its children, the tasks that wait for its cancel, and how a cancel cascades.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::Reason;
use super::inline_slab::InlineSlab;
use crate::sync::Mutex;

/// Identifies the stream that a scope belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The number of the connection, unique in this process.
    pub connection: u64,
    /// The id of the stream on that connection.
    pub stream: i32,
}

impl Label {
    /// Returns the number of a new connection, unique in this process.
    pub fn next_connection() -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

/// Something that ends when its scope is canceled: a stream on a connection.
pub trait Target: Send + Sync {
    /// Cancels the stream that `token` identifies. Called at most once per registration, by the task that
    /// cancels the scope, with no lock of the tree held. A token whose stream has already ended must be
    /// ignored.
    fn cancel(&self, token: u64, reason: &Reason);
}

/// A node of the cancellation tree. Clones are the same node. Dropping it cancels nothing.
#[derive(Clone)]
pub struct Scope {
    node: Arc<Node>,
}

struct Node {
    label: Option<Label>,
    state: Mutex<State>,
    /// Keeps the ancestors alive, so that a cancel passes through scopes whose handles were all dropped.
    parent: Option<(Arc<Node>, usize)>,
}

enum State {
    Open(Members),
    Canceled(Reason),
}

#[derive(Default)]
struct Members {
    children: InlineSlab<Child, 1>,
    /// Usually the handler, and the guard that applies its `OnCancel` policy.
    waiters: InlineSlab<Waker, 2>,
}

enum Child {
    Scope(Weak<Node>),
    Target(Arc<dyn Target>, u64),
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Scope {
    /// Returns a root scope, which has no parent.
    pub fn new() -> Self {
        Self::with_parent(None, None, State::Open(Members::default()))
    }

    /// Returns a root scope that belongs to the stream `label`, as all scopes made from it do.
    pub fn labeled(label: Label) -> Self {
        Self::with_parent(Some(label), None, State::Open(Members::default()))
    }

    /// Returns the stream that the scope belongs to, if any.
    pub fn label(&self) -> Option<Label> {
        self.node.label
    }

    /// Returns a child scope: canceled when this scope is, with the same reason.
    pub fn child(&self) -> Self {
        match &mut *self.node.state.lock() {
            State::Canceled(reason) => {
                Self::with_parent(self.node.label, None, State::Canceled(reason.clone()))
            }
            State::Open(members) => {
                // Inserted before the lock is released: a cancel must find the child itself.
                let parent = Some((self.node.clone(), members.children.vacant_key()));
                let child = Self::with_parent(self.node.label, parent, State::Open(Members::default()));
                members.children.insert(Child::Scope(Arc::downgrade(&child.node)));
                child
            }
        }
    }

    /// Cancels this scope and everything below it. The first reason stays: does nothing if this scope or an
    /// ancestor was canceled before, although that cancel's cascade may still be running.
    pub fn cancel(&self, reason: &Reason) {
        if self.reason().is_none() {
            self.close(reason).run();
        }
    }

    /// Performs the first half of a cancel, for a caller that holds a lock: from now on this scope and all
    /// scopes below it have the reason. No target is canceled and no task woken before the cascade runs.
    pub fn close(&self, reason: &Reason) -> Cascade {
        Cascade { members: self.node.close(reason), reason: reason.clone() }
    }

    /// Returns the reason, if the scope or an ancestor was canceled.
    pub fn reason(&self) -> Option<Reason> {
        self.node.reason()
    }

    /// Waits until the scope is canceled. Cancel-safe.
    pub fn canceled(&self) -> Canceled {
        Canceled { node: self.node.clone(), waiter: None }
    }

    /// Registers `target`, which is canceled with this scope unless the registration is dropped before.
    ///
    /// # Errors
    /// Returns the reason if the scope is already canceled; then `target` is not called.
    pub fn register(&self, target: Arc<dyn Target>, token: u64) -> Result<Registration, Reason> {
        match &mut *self.node.state.lock() {
            State::Canceled(reason) => Err(reason.clone()),
            State::Open(members) => {
                let key = members.children.insert(Child::Target(target, token));
                Ok(Registration { node: self.node.clone(), key })
            }
        }
    }

    fn with_parent(label: Option<Label>, parent: Option<(Arc<Node>, usize)>, state: State) -> Self {
        Self { node: Arc::new(Node { label, state: Mutex::new(state), parent }) }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("reason", &self.reason()).finish_non_exhaustive()
    }
}

/// The second half of a cancel: the members of a closed scope, which are to be canceled and woken.
#[must_use = "no target is canceled before it runs"]
pub struct Cascade {
    members: Members,
    reason: Reason,
}

impl Cascade {
    /// Cancels all targets below and wakes all waiting tasks. To be called with no lock held.
    pub fn run(self) {
        let Self { members, reason } = self;
        let mut pending = members.wake();
        while let Some(child) = pending.pop() {
            match child {
                Child::Scope(node) => {
                    pending.extend(node.upgrade().into_iter().flat_map(|node| node.close(&reason).wake()));
                }
                Child::Target(target, token) => target.cancel(token, &reason),
            }
        }
    }
}

impl Members {
    /// Wakes the waiting tasks. Returns the children, which are to be canceled.
    fn wake(self) -> Vec<Child> {
        self.waiters.for_each(Waker::wake);
        let mut children = Vec::with_capacity(self.children.len());
        self.children.for_each(|child| children.push(child));
        children
    }
}

impl Node {
    /// Cancels this node alone. Returns its members; none if it was canceled before.
    fn close(&self, reason: &Reason) -> Members {
        let mut state = self.state.lock();
        match &mut *state {
            State::Canceled(_) => Members::default(),
            State::Open(members) => {
                let members = mem::take(members);
                *state = State::Canceled(reason.clone());
                members
            }
        }
    }

    /// Returns the reason of this node or of the nearest canceled ancestor, whose cascade may not have
    /// arrived yet.
    fn reason(&self) -> Option<Reason> {
        let mut node = self;
        loop {
            if let State::Canceled(reason) = &*node.state.lock() {
                return Some(reason.clone());
            }
            node = &node.parent.as_ref()?.0;
        }
    }

    fn leave(&self, key: usize) {
        let left = match &mut *self.state.lock() {
            State::Open(members) => members.children.remove(key),
            State::Canceled(_) => None,
        };
        // Dropped here, after the lock: it may hold the last handle of a connection.
        drop(left);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A long chain of scopes without other handles is unlinked in a loop, not by recursion.
        let mut parent = self.parent.take();
        while let Some((node, key)) = parent {
            node.leave(key);
            parent = Arc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}

/// The registration of a target with a scope. Dropping it unregisters the target; a cancel that is running
/// may still reach it.
pub struct Registration {
    node: Arc<Node>,
    key: usize,
}

impl Registration {
    /// Returns the reason, if the scope or an ancestor was canceled.
    pub fn reason(&self) -> Option<Reason> {
        self.node.reason()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.node.leave(self.key);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

/// Waits until a scope is canceled; see [`Scope::canceled`].
#[must_use = "futures do nothing unless awaited"]
pub struct Canceled {
    node: Arc<Node>,
    waiter: Option<usize>,
}

impl Future for Canceled {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        let Self { node, waiter } = &mut *self;
        if let Some(key) = *waiter
            && let State::Open(members) = &*node.state.lock()
            && members.waiters.get(key).is_some_and(|known| known.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        // Cloned before the lock, and the replaced waker dropped after it: a waker is foreign code.
        let mut waker = cx.waker().clone();
        match &mut *node.state.lock() {
            State::Canceled(reason) => {
                *waiter = None;
                Poll::Ready(reason.clone())
            }
            State::Open(members) => {
                match waiter.and_then(|key| members.waiters.get_mut(key)) {
                    Some(known) => mem::swap(known, &mut waker),
                    None => *waiter = Some(members.waiters.insert(waker)),
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Canceled {
    fn drop(&mut self) {
        let Some(key) = self.waiter else { return };
        let left = match &mut *self.node.state.lock() {
            State::Open(members) => members.waiters.remove(key),
            State::Canceled(_) => None,
        };
        // Dropped here, after the lock: it may be the last handle of a task.
        drop(left);
    }
}

impl fmt::Debug for Canceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceled").finish_non_exhaustive()
    }
}
