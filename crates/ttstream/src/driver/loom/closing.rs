//! Models of the end of a connection: graceful shutdown, and a pool that retires it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use kerrors::{Code, Side};

use super::model::Model;
use super::{client, code, front};
use crate::cancel::Scope;
use crate::models::{Count, check};
use crate::proto::{Config, Finish};

#[test]
fn graceful_shutdown_refuses_or_ends_a_stream_that_begins_during_it() {
    check(|| {
        let (link, front) = (Model::new(Side::Server, Config::default()), front());
        let key = front.open();
        let bytes = front.written();
        let reading = link.doing(move |link| {
            let handler = link.read(&bytes).pop();
            let scope = Scope::new();
            handler.into_iter().for_each(|handler| drop(link.begin(handler, &scope)));
            (link.unread() == 0, handler, scope)
        });
        link.drain();
        link.end_all("ServiceB");
        let (read, handler, scope) = reading.join().unwrap();
        assert_eq!(scope.reason().is_some(), handler.is_some());
        front.read(&link.written());
        let outcome = code(&front.update_connection(|connection| connection.outcome(key)));
        match (read, handler) {
            // None: the connection was already being closed, which is the refusal.
            (true, None) => assert!(outcome.is_none_or(|code| code == Code::DRAINING), "{outcome:?}"),
            (true, Some(_)) => assert_eq!(outcome, Some(Code::CONNECTION_CLOSED)),
            (false, _) => assert_eq!(outcome, None, "it was closed before it was read"),
        }
        if let Some(handler) = handler {
            assert_eq!(link.closes(), 0, "a handler runs");
            link.update_connection(|connection| connection.finish(handler, &Finish::default()));
            link.release(handler);
        }
        link.settle();
        assert_eq!(link.closes(), 1);
        link.check_empty();
    });
}

#[test]
fn retire_while_the_last_stream_ends_closes_the_connection_once() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default());
        peer.0.finish(handler, &Finish::default());
        let end = link.reading(peer.writes());
        link.retire();
        end.join().unwrap();
        link.settle();
        assert_eq!(link.closes(), 1);
        assert!(matches!(link.poll_recv(&Count::new(), key), Poll::Ready(Ok(None))), "its end is its own");
        assert!(!link.written().is_empty(), "the client's trailer is written first");
    });
}

#[test]
fn closed_is_woken_or_ready_during_a_close() {
    check(|| {
        let (link, woken) = (front(), Count::new());
        let closing = link.doing(|link| link.retire());
        let waker = woken.waker();
        let mut closed = pin!(link.closed());
        let seen = closed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        closing.join().unwrap();
        assert_eq!(woken.get(), usize::from(!seen));
        assert!(seen || closed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        link.check_empty();
    });
}

#[test]
fn retire_refuses_a_concurrent_open_or_lets_it_live() {
    check(|| {
        let (link, woken) = (front(), Count::new());
        let retiring = link.doing(|link| link.retire());
        let opened = link.poll_open(&woken);
        retiring.join().unwrap();
        let Poll::Ready(opened) = opened else { panic!("it waits for nothing") };
        assert_eq!(link.closes(), usize::from(opened.is_err()));
        if let Ok(key) = opened {
            assert!(link.poll_recv(&woken, key).is_pending());
            link.release(key);
        }
        link.settle();
        assert_eq!(link.closes(), 1);
        link.check_empty();
    });
}
