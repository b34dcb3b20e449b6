//! One node of the tree: who hangs below it, who waits on it, and how a cancel passes through.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::Reason;
use super::few::Few;
use crate::sync::Mutex;

/// The name of what a scope belongs to: a stream, on a connection, to whoever made the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// Which connection.
    pub connection: u64,
    /// Which stream of it.
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
    /// Ends what `token` names. Called at most once a registration, from whichever task cancels, with
    /// no lock of the tree held. A token whose stream has ended by itself must be ignored.
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
    /// Keeps the way up alive, so that a cancel passes through scopes that nobody holds any more.
    parent: Option<(Arc<Node>, usize)>,
}

enum State {
    Open(Members),
    Canceled(Reason),
}

#[derive(Default)]
struct Members {
    children: Few<Child, 1>,
    /// A handler that waits for its scope, and who stands over it.
    waiters: Few<Waker, 2>,
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
    /// A root: nothing above it cancels it.
    pub fn new() -> Self {
        Self::with_parent(None, None, State::Open(Members::default()))
    }

    /// A root that belongs to something with a name. Scopes made from it belong to the same.
    pub fn labeled(label: Label) -> Self {
        Self::with_parent(Some(label), None, State::Open(Members::default()))
    }

    /// What it belongs to.
    pub fn label(&self) -> Option<Label> {
        self.node.label
    }

    /// A scope below this one: canceled when this one is, with the same reason.
    pub fn child(&self) -> Self {
        match &mut *self.node.state.lock() {
            State::Canceled(reason) => {
                Self::with_parent(self.node.label, None, State::Canceled(reason.clone()))
            }
            State::Open(members) => {
                // Whole before the lock is released: a cancel must find more than the promise of a child.
                let parent = Some((self.node.clone(), members.children.vacant_key()));
                let child = Self::with_parent(self.node.label, parent, State::Open(Members::default()));
                members.children.insert(Child::Scope(Arc::downgrade(&child.node)));
                child
            }
        }
    }

    /// Cancels this scope and everything below it. The first reason stays: does nothing if another
    /// cancel has been here or above, though that one may still be on its way down.
    pub fn cancel(&self, reason: &Reason) {
        if self.reason().is_none() {
            self.close(reason).run();
        }
    }

    /// The first half of a cancel, for who holds a lock: from here on this scope and all below it have
    /// their reason. Nobody is told before the cascade runs.
    pub fn close(&self, reason: &Reason) -> Cascade {
        Cascade { members: self.node.close(reason), reason: reason.clone() }
    }

    /// Why it was canceled, if it or a scope above it was.
    pub fn reason(&self) -> Option<Reason> {
        self.node.reason()
    }

    /// Waits until it is canceled. Cancel-safe.
    pub fn canceled(&self) -> Canceled {
        Canceled { node: self.node.clone(), waiter: None }
    }

    /// Hangs `target` below this scope until the registration is dropped.
    ///
    /// # Errors
    /// The reason, if the scope is canceled already; then the target will not be told.
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

/// The second half of a cancel: a closed scope's members, who are to be told.
#[must_use = "nobody is told before it runs"]
pub struct Cascade {
    members: Members,
    reason: Reason,
}

impl Cascade {
    /// Tells everybody below. To be called with no lock held.
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
    /// Wakes who waits. Gives the children, who are to be told.
    fn wake(self) -> Vec<Child> {
        self.waiters.for_each(Waker::wake);
        let mut children = Vec::with_capacity(self.children.len());
        self.children.for_each(|child| children.push(child));
        children
    }
}

impl Node {
    /// Cancels this node alone. Gives its members; none if it was canceled before.
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

    /// That of the nearest node on the way up that is canceled: a cancel above is on its way here.
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
        // A long chain of scopes that nobody else holds is unlinked in a loop, not by recursion.
        let mut parent = self.parent.take();
        while let Some((node, key)) = parent {
            node.leave(key);
            parent = Arc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}

/// A target's place below its scope. Dropping it takes the target off; a cancel that is under way may
/// still tell it.
pub struct Registration {
    node: Arc<Node>,
    key: usize,
}

impl Registration {
    /// Why the scope was canceled, if it or a scope above it was.
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
        // Cloned before the lock, and what it replaces dropped after: a waker is somebody else's code.
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
        // Dropped here, after the lock: it may be the last that holds a task.
        drop(left);
    }
}

impl fmt::Debug for Canceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceled").finish_non_exhaustive()
    }
}
