//! Models of the tree under every order of two or three threads. To be run alone: `cargo xtask ci --only loom`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::loom::thread;
use kerrors::{Code, StreamError};

use super::{Reason, Scope};
use crate::models::{Count, check};

fn canceling(scope: &Scope) -> thread::JoinHandle<()> {
    let scope = scope.clone();
    thread::spawn(move || scope.cancel(&Reason::Canceled))
}

#[test]
fn a_child_that_is_made_during_a_cancel_is_canceled() {
    check(|| {
        let scope = Scope::new();
        let cancel = canceling(&scope);
        let child = scope.child();
        let grandchild = child.child();
        cancel.join().unwrap();
        assert!(child.reason().is_some() && grandchild.reason().is_some());
    });
}

#[test]
fn a_target_that_registers_during_a_cancel_is_told_or_refused() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let cancel = canceling(&scope);
        let registered = scope.register(told.clone(), 1);
        cancel.join().unwrap();
        assert_eq!(told.get(), usize::from(registered.is_ok()));
    });
}

#[test]
fn a_target_that_leaves_during_a_cancel_is_told_once_at_most() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let registration = scope.register(told.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        drop(registration);
        cancel.join().unwrap();
        assert!(told.get() <= 1);
        assert_eq!(Arc::strong_count(&told), 1, "nothing holds it any more");
    });
}

#[test]
fn of_two_cancels_one_is_the_reason_of_the_whole_tree() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let child = scope.child();
        let _registration = child.register(told.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        scope.cancel(&Reason::Stream(StreamError::new(Code::CONNECTION_CLOSED)));
        cancel.join().unwrap();
        let reasons = [&scope, &child].map(|scope| scope.reason().unwrap().to_string());
        assert_eq!(reasons[0], reasons[1]);
        assert_eq!(told.get(), 1);
    });
}

#[test]
fn a_parent_and_its_child_may_be_canceled_at_once() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let child = scope.child();
        let _registration = child.register(told.clone(), 1).unwrap();
        let cancel = canceling(&child);
        scope.cancel(&Reason::DeadlineExceeded);
        cancel.join().unwrap();
        assert_eq!(scope.reason().unwrap().to_string(), "context deadline exceeded");
        assert!(child.reason().is_some());
        assert_eq!(told.get(), 1);
    });
}

#[test]
fn who_waits_during_a_cancel_is_woken_or_sees_it() {
    check(|| {
        let (scope, woken) = (Scope::new(), Arc::new(Count::default()));
        let cancel = canceling(&scope);
        let waker = Waker::from(woken.clone());
        let mut canceled = pin!(scope.canceled());
        let seen = canceled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        cancel.join().unwrap();
        assert_eq!(woken.get(), usize::from(!seen));
        assert!(canceled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    });
}

#[test]
fn the_last_of_two_wakers_is_woken() {
    check(|| {
        let (scope, first, last) = (Scope::new(), Arc::new(Count::default()), Arc::new(Count::default()));
        let mut canceled = pin!(scope.canceled());
        let waker = Waker::from(first.clone());
        assert!(canceled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let cancel = canceling(&scope);
        let waker = Waker::from(last.clone());
        let poll: Poll<Reason> = canceled.as_mut().poll(&mut Context::from_waker(&waker));
        cancel.join().unwrap();
        // The first may have been taken before it was replaced; then the second poll has seen the end.
        let woken = (first.get(), last.get());
        assert_eq!(woken, if poll.is_ready() { (1, 0) } else { (0, 1) });
    });
}

#[test]
fn a_wait_that_is_given_up_during_a_cancel_leaves_nothing() {
    check(|| {
        let (scope, woken) = (Scope::new(), Arc::new(Count::default()));
        let mut canceled = Box::pin(scope.canceled());
        let waker = Waker::from(woken.clone());
        assert!(canceled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        let cancel = canceling(&scope);
        drop(canceled);
        cancel.join().unwrap();
        assert!(woken.get() <= 1);
        assert_eq!(Arc::strong_count(&woken), 1, "no waker is left");
    });
}

#[test]
fn a_cancel_passes_through_a_scope_that_is_just_dropped() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let middle = scope.child();
        let registration = middle.child().register(told.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        drop(middle);
        cancel.join().unwrap();
        assert_eq!(told.get(), 1);
        drop(registration);
        assert_eq!(Arc::strong_count(&told), 1);
    });
}

#[test]
fn a_tree_may_be_dropped_from_below_during_a_cancel() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let registration = scope.child().child().register(told.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        drop(registration);
        cancel.join().unwrap();
        assert!(told.get() <= 1);
        assert_eq!(Arc::strong_count(&told), 1);
    });
}

#[test]
fn two_children_may_leave_and_a_third_may_join_during_a_cancel() {
    check(|| {
        let (scope, told) = (Scope::new(), Arc::new(Count::default()));
        let (first, second) = (scope.child(), scope.child());
        let cancel = canceling(&scope);
        let leaving = thread::spawn(move || drop(first));
        drop(second);
        let third = scope.register(told.clone(), 1);
        cancel.join().unwrap();
        leaving.join().unwrap();
        assert_eq!(told.get(), usize::from(third.is_ok()));
    });
}
