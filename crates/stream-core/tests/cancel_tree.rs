//! The cancellation tree: which targets and waiters a cancel reaches, how often, and in trees of which depth
//! and width. `cancel_reason.rs` tests what a reason means to the streams of a chain of services.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use kerrors::{Code, StreamError};
use stream_core::cancel::{Canceled, Reason, Registration, Scope, Target};

const MANY: usize = 100_000;

/// Records each cancel.
#[derive(Default)]
struct Recorder(Mutex<Vec<(u64, String)>>);

impl Recorder {
    fn tokens(&self) -> Vec<u64> {
        let mut tokens: Vec<u64> = self.0.lock().unwrap().iter().map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        tokens
    }
}

impl Target for Recorder {
    fn cancel(&self, token: u64, reason: &Reason) {
        self.0.lock().unwrap().push((token, reason.to_string()));
    }
}

/// Calls a function when it is canceled.
struct Act<F>(F);

impl<F: Fn(u64) + Send + Sync> Target for Act<F> {
    fn cancel(&self, token: u64, _: &Reason) {
        self.0(token);
    }
}

/// Counts wakes, and calls a function when it is woken and when it is dropped.
struct Woken<F: Fn()> {
    wakes: Arc<AtomicUsize>,
    act: F,
}

impl<F: Fn() + Send + Sync + 'static> Woken<F> {
    fn waker(wakes: &Arc<AtomicUsize>, act: F) -> Waker {
        Waker::from(Arc::new(Self { wakes: wakes.clone(), act }))
    }
}

impl<F: Fn() + Send + Sync> Wake for Woken<F> {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        (self.act)();
    }
}

impl<F: Fn()> Drop for Woken<F> {
    fn drop(&mut self) {
        (self.act)();
    }
}

fn poll(canceled: Pin<&mut Canceled>, waker: &Waker) -> Poll<String> {
    canceled.poll(&mut Context::from_waker(waker)).map(|reason| reason.to_string())
}

fn text(scope: &Scope) -> Option<String> {
    scope.reason().map(|reason| reason.to_string())
}

fn lost() -> Reason {
    Reason::Stream(StreamError::new(Code::CONNECTION_CLOSED))
}

#[test]
fn a_cancel_reaches_everything_below_once_and_nothing_else() {
    let recorder = Arc::new(Recorder::default());
    let root = Scope::new();
    let (left, right) = (root.child(), root.child());
    let below = left.child();
    let scopes = [&root, &left, &right, &below];
    let registrations: Vec<Registration> = (0..8)
        .map(|token| scopes[usize::try_from(token % 4).unwrap()].register(recorder.clone(), token).unwrap())
        .collect();
    left.cancel(&Reason::Canceled);
    assert_eq!(recorder.tokens(), [1, 3, 5, 7]);
    assert_eq!(scopes.map(|scope| scope.reason().is_some()), [false, true, false, true]);
    root.cancel(&Reason::DeadlineExceeded);
    assert_eq!(recorder.tokens(), [0, 1, 2, 3, 4, 5, 6, 7]);
    root.cancel(&Reason::Canceled);
    drop(registrations);
    assert_eq!(recorder.tokens().len(), 8);
}

#[test]
fn the_first_cancel_reason_stays_and_is_the_reason_of_all_below() {
    let recorder = Arc::new(Recorder::default());
    let root = Scope::new();
    let child = root.child();
    let registration = child.register(recorder.clone(), 1).unwrap();
    root.cancel(&lost());
    root.cancel(&Reason::Canceled);
    child.cancel(&Reason::DeadlineExceeded);
    let expected = "[ttstream error, code=12013] canceled by connection closed";
    assert_eq!([text(&root), text(&child)], [Some(expected.to_owned()), Some(expected.to_owned())]);
    assert_eq!(registration.reason().map(|reason| reason.to_string()).as_deref(), Some(expected));
    assert_eq!(*recorder.0.lock().unwrap(), [(1, expected.to_owned())]);
    assert_eq!(root.reason().unwrap().stream().map(StreamError::code), Some(Code::CONNECTION_CLOSED));
}

#[test]
fn a_canceled_child_keeps_its_own_reason_and_leaves_its_parent_open() {
    let root = Scope::new();
    let child = root.child();
    child.cancel(&Reason::Canceled);
    assert_eq!(text(&root), None);
    root.cancel(&lost());
    assert_eq!(text(&child), Some("context canceled".to_owned()));
}

#[test]
fn register_in_a_canceled_scope_returns_the_reason() {
    let root = Scope::new();
    let child = root.child();
    root.cancel(&Reason::DeadlineExceeded);
    let recorder = Arc::new(Recorder::default());
    for scope in [root.clone(), child.clone(), root.child(), child.child().child()] {
        assert_eq!(text(&scope), Some("context deadline exceeded".to_owned()));
        let refused = scope.register(recorder.clone(), 1).unwrap_err();
        assert_eq!(refused.to_string(), "context deadline exceeded");
        assert!(poll(pin!(scope.canceled()), Waker::noop()).is_ready());
    }
    assert!(recorder.tokens().is_empty());
    assert_eq!(Arc::strong_count(&recorder), 1);
}

#[test]
fn a_cancel_does_not_reach_a_dropped_registration() {
    let (root, recorder) = (Scope::new(), Arc::new(Recorder::default()));
    let leaves = root.register(recorder.clone(), 1).unwrap();
    let stays = root.child().register(recorder.clone(), 2).unwrap();
    drop(leaves);
    root.cancel(&Reason::Canceled);
    assert_eq!(recorder.tokens(), [2]);
    drop(stays);
    assert_eq!(Arc::strong_count(&recorder), 1, "the tree does not keep a dropped registration");
}

#[test]
fn a_cancel_passes_through_dropped_scopes() {
    let (root, recorder) = (Scope::new(), Arc::new(Recorder::default()));
    let registration = root.child().child().child().register(recorder.clone(), 7).unwrap();
    let middle = root.child();
    let waits = middle.child();
    drop(middle);
    root.cancel(&Reason::Canceled);
    assert_eq!(recorder.tokens(), [7]);
    assert_eq!(text(&waits), Some("context canceled".to_owned()));
    drop(registration);
}

#[test]
fn dropping_a_scope_cancels_nothing() {
    let recorder = Arc::new(Recorder::default());
    let child = {
        let root = Scope::new();
        let _clone = root.clone();
        root.child()
    };
    let registration = child.register(recorder.clone(), 1).unwrap();
    drop(child);
    assert!(recorder.tokens().is_empty());
    drop(registration);
    assert_eq!(Arc::strong_count(&recorder), 1);
}

/// Runs `play` on a stack too small for a hundred thousand frames.
fn on_a_small_stack(play: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(64 * 1024).spawn(play).unwrap().join().unwrap();
}

fn chain(root: &Scope) -> Vec<Scope> {
    std::iter::successors(Some(root.clone()), |scope| Some(scope.child())).take(MANY).collect()
}

#[test]
fn a_cancel_of_a_deep_tree_uses_no_stack() {
    on_a_small_stack(|| {
        let (root, recorder) = (Scope::new(), Arc::new(Recorder::default()));
        let mut chain = chain(&root);
        let deepest = chain.pop().unwrap();
        let registration = deepest.register(recorder.clone(), 1).unwrap();
        // Only their children hold the scopes of the other half.
        chain.truncate(MANY / 2);
        root.cancel(&Reason::Canceled);
        assert_eq!(recorder.tokens(), [1]);
        assert!(chain.iter().all(|scope| scope.reason().is_some()));
        drop(registration);
    });
}

#[test]
fn a_deep_tree_is_dropped_in_any_order_without_stack() {
    let orders: [fn(Vec<Scope>); 4] = [
        drop,
        |chain| chain.into_iter().rev().for_each(drop),
        |mut chain| drop(chain.split_off(MANY / 2)),
        |mut chain| {
            let deepest = chain.pop().unwrap();
            drop(chain);
            drop(deepest);
        },
    ];
    for order in orders {
        on_a_small_stack(move || {
            let root = Scope::new();
            order(chain(&root));
            // A registration holds a node as a scope does.
            let registration =
                chain(&root).pop().unwrap().register(Arc::new(Recorder::default()), 1).unwrap();
            drop(root);
            drop(registration);
        });
    }
}

#[test]
fn a_cancel_of_a_wide_tree_reaches_and_releases_every_target() {
    let (root, recorder) = (Scope::new(), Arc::new(Recorder::default()));
    let children: Vec<Scope> = (0..MANY).map(|_| root.child()).collect();
    let mut registrations: Vec<Registration> = (0..MANY)
        .map(|token| root.register(recorder.clone(), u64::try_from(token).unwrap()).unwrap())
        .collect();
    registrations.truncate(MANY / 2);
    assert_eq!(Arc::strong_count(&recorder), MANY / 2 + 1);
    root.cancel(&Reason::Canceled);
    assert_eq!(recorder.tokens().len(), MANY / 2);
    assert!(children.iter().all(|child| child.reason().is_some()));
    assert_eq!(Arc::strong_count(&recorder), 1, "a canceled scope keeps no target");
}

#[test]
fn a_target_finds_every_scope_above_canceled() {
    let root = Scope::new();
    let scopes = Arc::new([root.clone(), root.child(), root.child().child()]);
    let seen = Arc::new(AtomicUsize::new(0));
    let registrations: Vec<_> = (1..3)
        .map(|at| {
            let (above, seen) = (scopes.clone(), seen.clone());
            let target = Act(move |_| {
                seen.fetch_add(1, SeqCst);
                assert!(above[0].reason().is_some() && above[at].reason().is_some());
            });
            scopes[at].register(Arc::new(target), 0).unwrap()
        })
        .collect();
    root.cancel(&Reason::Canceled);
    assert_eq!(seen.load(SeqCst), registrations.len());
}

#[test]
fn a_target_may_use_the_tree_while_it_is_canceled() {
    let root = Scope::new();
    let sibling = Arc::new(Mutex::new(None));
    let (scope, place) = (root.clone(), sibling.clone());
    let target = Arc::new(Act(move |_| {
        scope.cancel(&lost());
        assert_eq!(text(&scope.child()), Some("context canceled".to_owned()));
        assert!(scope.register(Arc::new(Recorder::default()), 1).is_err());
        assert!(poll(pin!(scope.canceled()), Waker::noop()).is_ready());
        // Unregisters during the cascade: it may be canceled or not.
        drop(place.lock().unwrap().take());
    }));
    let _first = root.register(target.clone(), 1).unwrap();
    *sibling.lock().unwrap() = Some(root.register(Arc::new(Recorder::default()), 2).unwrap());
    let _last = root.child().register(target, 3).unwrap();
    root.cancel(&Reason::Canceled);
    assert!(sibling.lock().unwrap().is_none());
}

#[test]
fn canceled_wakes_only_the_last_task_that_polled() {
    let (scope, [first, last]) = (Scope::new(), [(); 2].map(|()| Arc::new(AtomicUsize::new(0))));
    let mut canceled = pin!(scope.canceled());
    assert!(poll(canceled.as_mut(), &Woken::waker(&first, || {})).is_pending());
    assert!(poll(canceled.as_mut(), &Woken::waker(&last, || {})).is_pending());
    scope.cancel(&Reason::Canceled);
    assert_eq!((first.load(SeqCst), last.load(SeqCst)), (0, 1));
    for _ in 0..2 {
        let reason = poll(canceled.as_mut(), Waker::noop());
        assert_eq!(reason, Poll::Ready("context canceled".to_owned()));
    }
}

#[test]
fn canceled_wakes_each_waiter_but_not_dropped_ones() {
    let (scope, wakes) = (Scope::new(), Arc::new(AtomicUsize::new(0)));
    let child = scope.child();
    let mut waits: Vec<_> =
        (0..100).map(|at| Box::pin(if at % 2 == 0 { &scope } else { &child }.canceled())).collect();
    for canceled in &mut waits {
        assert!(poll(canceled.as_mut(), &Woken::waker(&wakes, || {})).is_pending());
    }
    waits.truncate(60);
    scope.cancel(&Reason::Canceled);
    assert_eq!(wakes.load(SeqCst), 60);
    assert!(waits.iter_mut().all(|canceled| poll(canceled.as_mut(), Waker::noop()).is_ready()));
}

/// A waker is foreign code. If it ran under the scope's lock, this test would deadlock.
#[test]
fn a_waker_may_use_the_scope_when_it_is_woken_or_dropped() {
    let scope = Scope::new();
    let wakes = Arc::new(AtomicUsize::new(0));
    let waker = || {
        let scope = scope.clone();
        Woken::waker(&wakes, move || {
            drop((scope.reason(), scope.child(), scope.register(Arc::new(Recorder::default()), 1)));
        })
    };
    let mut canceled = Box::pin(scope.canceled());
    for _ in 0..2 {
        // The second waker replaces the first, which only the tree still holds.
        assert!(poll(canceled.as_mut(), &waker()).is_pending());
    }
    drop(canceled);
    let mut canceled = pin!(scope.canceled());
    assert!(poll(canceled.as_mut(), &waker()).is_pending());
    scope.cancel(&Reason::Canceled);
    assert_eq!(wakes.load(SeqCst), 1);
}

/// A target may be the last holder of something whose drop uses the tree, such as a connection's handle.
#[test]
fn a_target_may_use_the_scope_when_it_is_dropped() {
    struct Last(Scope, OnceLock<Registration>);
    impl Target for Last {
        fn cancel(&self, _: u64, _: &Reason) {}
    }
    impl Drop for Last {
        fn drop(&mut self) {
            drop(self.1.take());
            let _ = self.0.register(Arc::new(Recorder::default()), 1);
        }
    }
    for cancel in [false, true] {
        let scope = Scope::new();
        let other = scope.register(Arc::new(Recorder::default()), 2).unwrap();
        let target = Arc::new(Last(scope.clone(), OnceLock::new()));
        assert!(target.1.set(other).is_ok());
        let registration = scope.register(target, 1).unwrap();
        if cancel {
            scope.cancel(&Reason::Canceled);
        }
        drop(registration);
    }
}

#[test]
fn concurrent_registers_drops_and_cancels_agree() {
    for _ in 0..200 {
        let (root, recorder) = (Scope::new(), Arc::new(Recorder::default()));
        let joins = |root: Scope, recorder: Arc<Recorder>| {
            move || {
                let kept = (0..50).map(|token| {
                    let child = root.child();
                    drop(child.register(recorder.clone(), 1000));
                    (child.register(recorder.clone(), token).ok(), child)
                });
                let kept: Vec<_> = kept.collect();
                // If the other thread cancels at the same time, this returns before all targets are canceled.
                root.cancel(&Reason::Canceled);
                kept
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(joins(root.clone(), recorder.clone())));
        let kept: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(kept.iter().all(|(_, child)| child.reason().is_some()), "a child missed the cancel");
        let registered = kept.iter().filter(|(registered, _)| registered.is_some()).count();
        assert_eq!(recorder.tokens().iter().filter(|token| **token < 1000).count(), registered);
    }
}
