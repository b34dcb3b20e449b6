//! The tree: who is told, once, of what; who is not any more; how deep and how wide it may be. What a
//! reason makes of the streams along a chain of services is `cancel_reason.rs`'s.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use kerrors::{Code, StreamError};
use stream_core::cancel::{Canceled, Reason, Registration, Scope, Target};

const MANY: usize = 100_000;

/// Keeps what it was told.
#[derive(Default)]
struct Told(Mutex<Vec<(u64, String)>>);

impl Told {
    fn tokens(&self) -> Vec<u64> {
        let mut tokens: Vec<u64> = self.0.lock().unwrap().iter().map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        tokens
    }
}

impl Target for Told {
    fn cancel(&self, token: u64, reason: &Reason) {
        self.0.lock().unwrap().push((token, reason.to_string()));
    }
}

/// Does something with the tree when it is told.
struct Act<F>(F);

impl<F: Fn(u64) + Send + Sync> Target for Act<F> {
    fn cancel(&self, token: u64, _: &Reason) {
        self.0(token);
    }
}

/// Counts wakes, and does something when it is woken and when it is dropped.
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
fn everything_below_is_told_once_and_nothing_beside() {
    let told = Arc::new(Told::default());
    let root = Scope::new();
    let (left, right) = (root.child(), root.child());
    let below = left.child();
    let scopes = [&root, &left, &right, &below];
    let registrations: Vec<Registration> = (0..8)
        .map(|token| scopes[usize::try_from(token % 4).unwrap()].register(told.clone(), token).unwrap())
        .collect();
    left.cancel(&Reason::Canceled);
    assert_eq!(told.tokens(), [1, 3, 5, 7]);
    assert_eq!(scopes.map(|scope| scope.reason().is_some()), [false, true, false, true]);
    root.cancel(&Reason::DeadlineExceeded);
    assert_eq!(told.tokens(), [0, 1, 2, 3, 4, 5, 6, 7]);
    root.cancel(&Reason::Canceled);
    drop(registrations);
    assert_eq!(told.tokens().len(), 8);
}

#[test]
fn the_first_reason_stays_and_is_the_reason_of_all_below() {
    let told = Arc::new(Told::default());
    let root = Scope::new();
    let child = root.child();
    let registration = child.register(told.clone(), 1).unwrap();
    root.cancel(&lost());
    root.cancel(&Reason::Canceled);
    child.cancel(&Reason::DeadlineExceeded);
    let expected = "[ttstream error, code=12013] canceled by connection closed";
    assert_eq!([text(&root), text(&child)], [Some(expected.to_owned()), Some(expected.to_owned())]);
    assert_eq!(registration.reason().map(|reason| reason.to_string()).as_deref(), Some(expected));
    assert_eq!(*told.0.lock().unwrap(), [(1, expected.to_owned())]);
    assert_eq!(root.reason().unwrap().stream().map(StreamError::code), Some(Code::CONNECTION_CLOSED));
}

#[test]
fn a_child_keeps_its_own_reason_and_its_parent_goes_on() {
    let root = Scope::new();
    let child = root.child();
    child.cancel(&Reason::Canceled);
    assert_eq!(text(&root), None);
    root.cancel(&lost());
    assert_eq!(text(&child), Some("context canceled".to_owned()));
}

#[test]
fn who_joins_late_is_told_as_it_joins() {
    let root = Scope::new();
    let child = root.child();
    root.cancel(&Reason::DeadlineExceeded);
    let told = Arc::new(Told::default());
    for scope in [root.clone(), child.clone(), root.child(), child.child().child()] {
        assert_eq!(text(&scope), Some("context deadline exceeded".to_owned()));
        let refused = scope.register(told.clone(), 1).unwrap_err();
        assert_eq!(refused.to_string(), "context deadline exceeded");
        assert!(poll(pin!(scope.canceled()), Waker::noop()).is_ready());
    }
    assert!(told.tokens().is_empty());
    assert_eq!(Arc::strong_count(&told), 1);
}

#[test]
fn who_has_left_is_not_told() {
    let (root, told) = (Scope::new(), Arc::new(Told::default()));
    let leaves = root.register(told.clone(), 1).unwrap();
    let stays = root.child().register(told.clone(), 2).unwrap();
    drop(leaves);
    root.cancel(&Reason::Canceled);
    assert_eq!(told.tokens(), [2]);
    drop(stays);
    assert_eq!(Arc::strong_count(&told), 1, "the tree keeps nobody who has left");
}

#[test]
fn a_cancel_passes_through_scopes_that_nobody_holds() {
    let (root, told) = (Scope::new(), Arc::new(Told::default()));
    let registration = root.child().child().child().register(told.clone(), 7).unwrap();
    let middle = root.child();
    let waits = middle.child();
    drop(middle);
    root.cancel(&Reason::Canceled);
    assert_eq!(told.tokens(), [7]);
    assert_eq!(text(&waits), Some("context canceled".to_owned()));
    drop(registration);
}

#[test]
fn dropping_a_scope_cancels_nothing() {
    let told = Arc::new(Told::default());
    let child = {
        let root = Scope::new();
        let _clone = root.clone();
        root.child()
    };
    let registration = child.register(told.clone(), 1).unwrap();
    drop(child);
    assert!(told.tokens().is_empty());
    drop(registration);
    assert_eq!(Arc::strong_count(&told), 1);
}

/// On a stack on which a hundred thousand frames have no room.
fn on_a_small_stack(play: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(64 * 1024).spawn(play).unwrap().join().unwrap();
}

fn chain(root: &Scope) -> Vec<Scope> {
    std::iter::successors(Some(root.clone()), |scope| Some(scope.child())).take(MANY).collect()
}

#[test]
fn a_cancel_goes_as_deep_as_the_tree() {
    on_a_small_stack(|| {
        let (root, told) = (Scope::new(), Arc::new(Told::default()));
        let mut chain = chain(&root);
        let deepest = chain.pop().unwrap();
        let registration = deepest.register(told.clone(), 1).unwrap();
        // Half of the way is held by nobody but what hangs below it.
        chain.truncate(MANY / 2);
        root.cancel(&Reason::Canceled);
        assert_eq!(told.tokens(), [1]);
        assert!(chain.iter().all(|scope| scope.reason().is_some()));
        drop(registration);
    });
}

#[test]
fn a_chain_of_any_length_is_dropped_from_any_end() {
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
            // By a registration too, which holds a node as a scope does.
            let registration = chain(&root).pop().unwrap().register(Arc::new(Told::default()), 1).unwrap();
            drop(root);
            drop(registration);
        });
    }
}

#[test]
fn a_hundred_thousand_children_are_told_and_let_go() {
    let (root, told) = (Scope::new(), Arc::new(Told::default()));
    let children: Vec<Scope> = (0..MANY).map(|_| root.child()).collect();
    let mut registrations: Vec<Registration> =
        (0..MANY).map(|token| root.register(told.clone(), u64::try_from(token).unwrap()).unwrap()).collect();
    registrations.truncate(MANY / 2);
    assert_eq!(Arc::strong_count(&told), MANY / 2 + 1);
    root.cancel(&Reason::Canceled);
    assert_eq!(told.tokens().len(), MANY / 2);
    assert!(children.iter().all(|child| child.reason().is_some()));
    assert_eq!(Arc::strong_count(&told), 1, "a canceled scope keeps nobody");
}

#[test]
fn whoever_is_told_finds_every_scope_above_canceled() {
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
fn who_is_told_may_do_anything_with_the_tree() {
    let root = Scope::new();
    let sibling = Arc::new(Mutex::new(None));
    let (scope, place) = (root.clone(), sibling.clone());
    let target = Arc::new(Act(move |_| {
        scope.cancel(&lost());
        assert_eq!(text(&scope.child()), Some("context canceled".to_owned()));
        assert!(scope.register(Arc::new(Told::default()), 1).is_err());
        assert!(poll(pin!(scope.canceled()), Waker::noop()).is_ready());
        // Leaves while the cancel is on its way to it: told or not, nothing breaks.
        drop(place.lock().unwrap().take());
    }));
    let _first = root.register(target.clone(), 1).unwrap();
    *sibling.lock().unwrap() = Some(root.register(Arc::new(Told::default()), 2).unwrap());
    let _last = root.child().register(target, 3).unwrap();
    root.cancel(&Reason::Canceled);
    assert!(sibling.lock().unwrap().is_none());
}

#[test]
fn only_the_last_task_that_polled_is_woken() {
    let (scope, [first, last]) = (Scope::new(), [(); 2].map(|()| Arc::new(AtomicUsize::new(0))));
    let mut canceled = pin!(scope.canceled());
    assert!(poll(canceled.as_mut(), &Woken::waker(&first, || {})).is_pending());
    assert!(poll(canceled.as_mut(), &Woken::waker(&last, || {})).is_pending());
    scope.cancel(&Reason::Canceled);
    assert_eq!((first.load(SeqCst), last.load(SeqCst)), (0, 1));
    for _ in 0..2 {
        let told = poll(canceled.as_mut(), Waker::noop());
        assert_eq!(told, Poll::Ready("context canceled".to_owned()));
    }
}

#[test]
fn each_who_waits_is_woken_and_who_gave_up_is_not() {
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

/// A waker is somebody else's code. If it ran under the scope's lock, this would never end.
#[test]
fn a_waker_may_use_the_scope_when_it_is_woken_or_dropped() {
    let scope = Scope::new();
    let wakes = Arc::new(AtomicUsize::new(0));
    let waker = || {
        let scope = scope.clone();
        Woken::waker(&wakes, move || {
            drop((scope.reason(), scope.child(), scope.register(Arc::new(Told::default()), 1)));
        })
    };
    let mut canceled = Box::pin(scope.canceled());
    for _ in 0..2 {
        // The second takes the place of the first, whose last holder is the tree.
        assert!(poll(canceled.as_mut(), &waker()).is_pending());
    }
    drop(canceled);
    let mut canceled = pin!(scope.canceled());
    assert!(poll(canceled.as_mut(), &waker()).is_pending());
    scope.cancel(&Reason::Canceled);
    assert_eq!(wakes.load(SeqCst), 1);
}

/// A target may be the last holder of what uses the tree as it is dropped: a connection's handle.
#[test]
fn a_target_may_use_the_scope_when_it_is_dropped() {
    struct Last(Scope, OnceLock<Registration>);
    impl Target for Last {
        fn cancel(&self, _: u64, _: &Reason) {}
    }
    impl Drop for Last {
        fn drop(&mut self) {
            drop(self.1.take());
            let _ = self.0.register(Arc::new(Told::default()), 1);
        }
    }
    for cancel in [false, true] {
        let scope = Scope::new();
        let other = scope.register(Arc::new(Told::default()), 2).unwrap();
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
fn threads_that_join_leave_and_cancel_agree_in_the_end() {
    for _ in 0..200 {
        let (root, told) = (Scope::new(), Arc::new(Told::default()));
        let joins = |root: Scope, told: Arc<Told>| {
            move || {
                let kept = (0..50).map(|token| {
                    let child = root.child();
                    drop(child.register(told.clone(), 1000));
                    (child.register(told.clone(), token).ok(), child)
                });
                let kept: Vec<_> = kept.collect();
                // If the other thread is at it, this returns before all of its own are told.
                root.cancel(&Reason::Canceled);
                kept
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(joins(root.clone(), told.clone())));
        let kept: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(kept.iter().all(|(_, child)| child.reason().is_some()), "joined unseen");
        let registered = kept.iter().filter(|(registered, _)| registered.is_some()).count();
        assert_eq!(told.tokens().iter().filter(|token| **token < 1000).count(), registered);
    }
}
