//! Models of a connection whose task is dropped while others use it, for example by a runtime that shuts
//! down.

use std::sync::Arc;
use std::task::Poll;

use kerrors::Code;
use loom::thread::{JoinHandle, spawn};

use super::model::Model;
use super::{client, code};
use crate::cancel::Reason;
use crate::models::{Count, check};
use crate::proto::Config;

fn abandon(link: &Arc<Model>) -> JoinHandle<()> {
    let link = link.clone();
    spawn(move || link.drop_writer())
}

#[test]
fn recv_is_woken_or_ready_while_a_task_is_dropped() {
    check(|| {
        let (link, key, ..) = client(Config::default());
        let woken = Count::new();
        let dropped = abandon(&link);
        let seen = link.poll_recv(&woken, key).is_ready();
        dropped.join().unwrap();
        assert_eq!(woken.get(), usize::from(!seen));
        assert!(matches!(link.poll_recv(&woken, key), Poll::Ready(Err(_))));
        assert!(!link.is_open());
        link.release(key);
        link.check_empty();
    });
}

#[test]
fn a_cancel_and_a_dropped_task_make_one_outcome() {
    check(|| {
        let (link, key, ..) = client(Config::default());
        let dropped = abandon(&link);
        link.update_connection(|connection| connection.cancel(key, &Reason::Canceled));
        dropped.join().unwrap();
        let outcome = link.update_connection(|connection| connection.outcome(key));
        assert!(
            [Some(Code::CANCELED), Some(Code::TRANSPORT_CLOSING)].contains(&code(&outcome)),
            "{outcome:?}"
        );
        assert!(!link.is_open());
        link.release(key);
        link.check_empty();
    });
}

#[test]
fn a_connection_whose_task_was_never_polled_is_closed() {
    check(|| {
        let (link, key, ..) = client(Config::default());
        link.drop_writer();
        link.drop_writer();
        let outcome = link.update_connection(|connection| connection.outcome(key));
        assert_eq!(code(&outcome), Some(Code::TRANSPORT_CLOSING));
    });
}
