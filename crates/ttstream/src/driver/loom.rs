//! Models of a connection in all interleavings of two or three threads: no wake is lost, a stream has one
//! outcome, nothing is left over. They drive the production link, writer task and reader. To be run alone:
//! `cargo xtask ci --only loom`.

mod abandoned;
mod closing;
mod credits;
mod model;
mod writing;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kerrors::{Code, Error, Side};

use self::model::{Model, Peer};
use crate::cancel::{Reason, Scope};
use crate::clock;
use crate::models::{Count, check};
use crate::proto::{Config, Finish, StreamKey};

/// Returns a client's connection with one stream, and the server's state machine that has accepted it.
fn client(config: Config) -> (Arc<Model>, StreamKey, Peer, StreamKey) {
    let link = Model::new(Side::Client, config);
    let key = link.open();
    let mut peer = link.peer(Side::Server);
    let handler = peer.opened()[0];
    (link, key, peer, handler)
}

/// Returns a server's connection that has read the header of one stream, and the client's state machine.
fn server() -> (Arc<Model>, StreamKey, Arc<Model>, StreamKey) {
    let (link, front) = (Model::new(Side::Server, Config::default()), front());
    let key = front.open();
    let handler = link.read(&front.written())[0];
    (link, handler, front, key)
}

fn front() -> Arc<Model> {
    Model::new(Side::Client, Config::default())
}

fn code(outcome: &Option<Result<(), Error>>) -> Option<Code> {
    outcome.as_ref()?.as_ref().err()?.stream().map(kerrors::StreamError::code)
}

#[test]
fn a_cancel_and_the_end_make_one_outcome_and_wake_recv() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default());
        peer.0.finish(handler, &Finish::default());
        let woken = Count::new();
        assert!(link.poll_recv(&woken, key).is_pending());
        let end = link.reading(peer.writes());
        link.update_connection(|connection| connection.cancel(key, &Reason::Canceled));
        end.join().unwrap();
        assert_eq!(woken.get(), 1);
        let outcome = link.update_connection(|connection| connection.outcome(key)).unwrap();
        for _ in 0..2 {
            let recv = link.poll_recv(&woken, key).map_ok(|message| assert_eq!(message, None));
            assert_eq!(format!("{recv:?}"), format!("{:?}", Poll::Ready(&outcome)));
            assert!(matches!(link.poll_send(&woken, key), Poll::Ready(Err(_))));
        }
    });
}

#[test]
fn recv_is_woken_or_ready_while_the_end_arrives() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default());
        peer.0.finish(handler, &Finish::default());
        let end = link.reading(peer.writes());
        let woken = Count::new();
        let seen = link.poll_recv(&woken, key).is_ready();
        end.join().unwrap();
        assert_eq!(woken.get(), usize::from(!seen));
        assert!(matches!(link.poll_recv(&woken, key), Poll::Ready(Ok(None))));
    });
}

#[test]
fn recv_wakes_the_last_of_two_tasks() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default());
        peer.send(handler, 1);
        let (first, last) = (Count::new(), Count::new());
        assert!(link.poll_recv(&first, key).is_pending());
        let data = link.reading(peer.writes());
        let seen = link.poll_recv(&last, key).is_ready();
        data.join().unwrap();
        assert_eq!((first.get(), last.get()), if seen { (1, 0) } else { (0, 1) });
    });
}

#[test]
fn release_while_messages_arrive_leaves_nothing() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default());
        peer.send(handler, 2);
        let woken = Count::new();
        assert!(link.poll_recv(&woken, key).is_pending());
        let data = link.reading(peer.writes());
        link.release(key);
        data.join().unwrap();
        link.check_empty();
        assert_eq!(Arc::strong_count(&woken), 1, "no waker is left");
        peer.read(&link);
        assert_eq!(code(&peer.0.outcome(handler)), Some(Code::CANCELED));
    });
}

#[test]
fn release_while_the_end_arrives_leaves_nothing() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default());
        peer.send(handler, 1);
        peer.0.finish(handler, &Finish::default());
        let end = link.reading(peer.writes());
        link.release(key);
        end.join().unwrap();
        link.check_empty();
    });
}

#[test]
fn finish_while_an_rst_arrives_leaves_nothing() {
    check(|| {
        let (link, handler, front, key) = server();
        let scope = Scope::new();
        link.begin(handler, &scope);
        front.update_connection(|connection| connection.cancel(key, &Reason::Canceled));
        let rst = link.reading(front.written());
        link.update_connection(|connection| connection.finish(handler, &Finish::default()));
        link.release(handler);
        rst.join().unwrap();
        link.check_empty();
    });
}

#[test]
fn begin_while_an_rst_arrives_cancels_the_handler() {
    check(|| {
        let (link, handler, front, key) = server();
        front.update_connection(|connection| connection.cancel(key, &Reason::Canceled));
        let rst = link.reading(front.written());
        let scope = Scope::new();
        link.begin(handler, &scope);
        rst.join().unwrap();
        let reason = scope.reason().expect("the scope is canceled");
        assert_eq!(reason.stream().map(kerrors::StreamError::code), Some(Code::CANCELED));
    });
}

/// After its stream has ended, a handler's own drops and cancels have the reason of the stream's end, even if
/// the cascade has not run yet.
fn check_reason_below(
    end: impl Fn(&Arc<Model>, StreamKey, &Arc<Model>, StreamKey, Scope) + Send + Sync + 'static,
) {
    check(move || {
        let (link, handler, front, key) = server();
        let (scope, target) = (Scope::new(), Arc::new(Count::default()));
        link.begin(handler, &scope);
        let child = scope.child();
        let registration = child.register(target.clone(), 1).unwrap();
        let running = link.doing({
            let scope = child.clone();
            move |link| {
                let ended = matches!(link.poll_send(&Count::new(), handler), Poll::Ready(Err(_)));
                if ended {
                    scope.cancel(&Reason::Canceled);
                }
                assert!(!ended || registration.reason().is_some_and(|reason| reason.stream().is_some()));
                registration
            }
        });
        end(&link, handler, &front, key, scope);
        let _registration = running.join().unwrap();
        assert!(child.reason().is_some_and(|reason| reason.stream().is_some()));
        assert_eq!(target.get(), 1);
    });
}

#[test]
fn a_canceled_stream_cancels_its_child_scopes_for_that_reason() {
    check_reason_below(|link, _, front, key, _| {
        front.update_connection(|connection| connection.cancel(key, &Reason::Canceled));
        link.read(&front.written());
    });
}

#[test]
fn a_returned_handler_cancels_its_child_scopes_for_that_reason() {
    check_reason_below(|link, handler, _, _, scope| link.return_handler(handler, &scope));
}

#[test]
fn open_during_a_cancel_of_its_scope_ends_the_stream() {
    check(|| {
        let (link, scope, woken) = (front(), Scope::new(), Count::new());
        let cancel = link.doing({
            let scope = scope.clone();
            move |_| scope.cancel(&Reason::Canceled)
        });
        let key = link.open();
        let registration = scope.register(link.link.clone(), key.token());
        if let Err(reason) = &registration {
            link.update_connection(|connection| connection.cancel(key, reason));
        }
        let seen = link.poll_recv(&woken, key).is_ready();
        cancel.join().unwrap();
        assert_eq!(woken.get(), usize::from(!seen));
        assert_eq!(code(&link.update_connection(|connection| connection.outcome(key))), Some(Code::CANCELED));
    });
}

fn assert_nothing_queued(link: &Model) {
    link.settle();
    assert!(link.lock(|state| !state.connection.has_transmit() && state.scheduler.is_idle()));
}

#[test]
fn flow_control_resumes_a_paused_reader_when_a_message_is_taken() {
    check(|| {
        let (link, key, mut peer, handler) = client(Config::default().stream_receive_window(1));
        peer.send(handler, 2);
        link.feed(&peer.writes());
        let (reader, mut nothing) = (Count::new(), Vec::new());
        let Poll::Ready(read) = link.poll_reader(&reader) else { panic!("there is something to read") };
        link.handle(read, &mut nothing, &mut || ());
        assert!(link.unread() > 0, "the second message is not processed");
        let taking = link.doing(move |link| assert!(link.poll_recv(&Count::new(), key).is_ready()));
        let before = reader.get();
        let parked = link.poll_reader(&reader);
        taking.join().unwrap();
        assert_eq!(reader.get() - before, usize::from(parked.is_pending()));
        link.read(&[]);
        assert!(link.unread() == 0 && link.poll_recv(&Count::new(), key).is_ready());
    });
}

#[test]
fn reader_timer_is_rearmed_for_an_earlier_deadline() {
    check(|| {
        let (link, reader) = (front(), Count::new());
        let deadline = clock::now() + Duration::from_secs(60);
        let opening =
            link.doing(move |link| assert!(link.poll_open_until(&Count::new(), Some(deadline)).is_ready()));
        assert!(link.poll_reader(&reader).is_pending());
        opening.join().unwrap();
        assert_eq!(reader.get(), usize::from(link.due() != Some(deadline)));
    });
}
