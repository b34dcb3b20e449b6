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
fn a_child_scope_made_during_a_cancel_is_canceled() {
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
fn a_target_that_registers_during_a_cancel_is_canceled_or_refused() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let cancel = canceling(&scope);
        let registered = scope.register(cancels.clone(), 1);
        cancel.join().unwrap();
        assert_eq!(cancels.get(), usize::from(registered.is_ok()));
    });
}

#[test]
fn a_target_that_unregisters_during_a_cancel_is_canceled_once_at_most() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let registration = scope.register(cancels.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        drop(registration);
        cancel.join().unwrap();
        assert!(cancels.get() <= 1);
        assert_eq!(Arc::strong_count(&cancels), 1, "no registration is left");
    });
}

#[test]
fn of_two_concurrent_cancels_one_is_the_reason_of_the_whole_tree() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let child = scope.child();
        let _registration = child.register(cancels.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        scope.cancel(&Reason::Stream(StreamError::new(Code::CONNECTION_CLOSED)));
        cancel.join().unwrap();
        let reasons = [&scope, &child].map(|scope| scope.reason().unwrap().to_string());
        assert_eq!(reasons[0], reasons[1]);
        assert_eq!(cancels.get(), 1);
    });
}

#[test]
fn a_parent_and_its_child_may_be_canceled_concurrently() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let child = scope.child();
        let _registration = child.register(cancels.clone(), 1).unwrap();
        let cancel = canceling(&child);
        scope.cancel(&Reason::DeadlineExceeded);
        cancel.join().unwrap();
        assert_eq!(scope.reason().unwrap().to_string(), "context deadline exceeded");
        assert!(child.reason().is_some());
        assert_eq!(cancels.get(), 1);
    });
}

#[test]
fn canceled_is_woken_or_ready_during_a_cancel() {
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
fn canceled_wakes_the_last_of_two_wakers() {
    check(|| {
        let (scope, first, last) = (Scope::new(), Arc::new(Count::default()), Arc::new(Count::default()));
        let mut canceled = pin!(scope.canceled());
        let waker = Waker::from(first.clone());
        assert!(canceled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let cancel = canceling(&scope);
        let waker = Waker::from(last.clone());
        let poll: Poll<Reason> = canceled.as_mut().poll(&mut Context::from_waker(&waker));
        cancel.join().unwrap();
        // If the cancel took the first waker before it was replaced, the second poll is ready.
        let woken = (first.get(), last.get());
        assert_eq!(woken, if poll.is_ready() { (1, 0) } else { (0, 1) });
    });
}

#[test]
fn canceled_dropped_during_a_cancel_leaves_no_waker() {
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
fn a_cancel_passes_through_a_scope_that_is_being_dropped() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let middle = scope.child();
        let registration = middle.child().register(cancels.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        drop(middle);
        cancel.join().unwrap();
        assert_eq!(cancels.get(), 1);
        drop(registration);
        assert_eq!(Arc::strong_count(&cancels), 1);
    });
}

#[test]
fn a_tree_may_be_dropped_bottom_up_during_a_cancel() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let registration = scope.child().child().register(cancels.clone(), 1).unwrap();
        let cancel = canceling(&scope);
        drop(registration);
        cancel.join().unwrap();
        assert!(cancels.get() <= 1);
        assert_eq!(Arc::strong_count(&cancels), 1);
    });
}

#[test]
fn two_children_may_be_dropped_and_a_third_registered_during_a_cancel() {
    check(|| {
        let (scope, cancels) = (Scope::new(), Arc::new(Count::default()));
        let (first, second) = (scope.child(), scope.child());
        let cancel = canceling(&scope);
        let leaving = thread::spawn(move || drop(first));
        drop(second);
        let third = scope.register(cancels.clone(), 1);
        cancel.join().unwrap();
        leaving.join().unwrap();
        assert_eq!(cancels.get(), usize::from(third.is_ok()));
    });
}
