//! Models of a connection in all interleavings of two or three threads: no wake is lost, a stream has one
//! outcome, nothing is left over. They drive the production link, writer task and reader. To be run alone:
//! `cargo xtask ci --only loom`.

mod abandoned;
mod credits;
mod model;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use kerrors::{Code, Error, Side};

use self::model::{Model, Peer};
use crate::cancel::{Reason, Scope};
use crate::clock;
use crate::models::{Count, check};
use crate::proto::{Config, Finish, StreamKey};
use crate::sync::releases;

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

/// Returns a client's connection whose send buffer is full: one message is queued behind the task's batch.
fn spent() -> (Arc<Model>, StreamKey) {
    let link = Model::narrow(Side::Client, Config::default().send_buffer(1));
    let key = link.open();
    link.settle();
    for _ in 0..2 {
        assert!(link.poll_send(&Count::new(), key).is_ready());
    }
    (link, key)
}

#[test]
fn backpressure_wakes_each_waiting_send_or_it_is_ready() {
    check(|| {
        let (link, key) = spent();
        let (first, second) = (Count::new(), Count::new());
        assert!(link.poll_send(&first, key).is_pending());
        let writing = link.doing(|link| link.poll_writer());
        let sent = link.poll_send(&second, key).is_ready();
        writing.join().unwrap();
        assert_eq!((first.get(), second.get()), (1, usize::from(!sent)));
        link.settle();
        assert!(link.poll_send(&first, key).is_ready(), "woken for nothing");
    });
}

#[test]
fn backpressure_wakes_a_waiting_open_or_it_is_ready() {
    check(|| {
        let (link, _) = spent();
        let opener = Count::new();
        let writing = link.doing(|link| link.poll_writer());
        let opened = link.poll_open(&opener).is_ready();
        writing.join().unwrap();
        assert_eq!(opener.get(), usize::from(!opened));
        assert!(opened || link.poll_open(&opener).is_ready(), "woken for nothing");
    });
}

#[test]
fn scheduler_writer_task_writes_what_a_sender_leaves() {
    check(|| {
        let link = Model::narrow(Side::Client, Config::default());
        let key = link.open();
        link.settle();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), key).is_ready()));
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[1]);
    });
}

#[test]
fn scheduler_sender_with_a_whole_batch_does_not_wait_for_the_task() {
    check(|| {
        let link = front();
        let key = link.open();
        link.settle();
        // Three consecutive sends: the last is written by the task.
        (0..3).for_each(|_| assert!(link.poll_send(&Count::new(), key).is_ready()));
        let sending = link
            .doing(move |link| assert!(link.poll_send_of(&Count::new(), key, &[0; 64 * 1024]).is_ready()));
        assert!(link.poll_send(&Count::new(), key).is_ready());
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[5]);
    });
}

#[test]
fn scheduler_sender_with_a_whole_batch_writes_before_the_task_runs() {
    check(|| {
        let link = front();
        let key = link.open();
        link.settle();
        (0..3).for_each(|_| assert!(link.poll_send(&Count::new(), key).is_ready()));
        let sending = link
            .doing(move |link| assert!(link.poll_send_of(&Count::new(), key, &[0; 64 * 1024]).is_ready()));
        assert!(link.poll_send(&Count::new(), key).is_ready());
        sending.join().unwrap();
        let mut peer = Peer::new(Side::Server);
        peer.read_bytes(link.take_written());
        let handler = peer.opened()[0];
        assert!(peer.messages(handler) >= 4, "the task has not run");
        assert_nothing_queued(&link);
    });
}

/// The task was woken, a sender with a whole batch writes before it, and another sender queues more
/// meanwhile.
#[test]
fn scheduler_writer_task_does_not_begin_while_a_sender_writes() {
    check(|| {
        let link = front();
        let key = link.open();
        link.settle();
        (0..3).for_each(|_| assert!(link.poll_send(&Count::new(), key).is_ready()));
        let sending = [64 * 1024, 1].map(|len| {
            link.doing(move |link| assert!(link.poll_send_of(&Count::new(), key, &vec![0; len]).is_ready()))
        });
        link.poll_writer();
        sending.into_iter().for_each(|sending| sending.join().unwrap());
        assert_written(&link, &[5]);
    });
}

/// To queue the message, to take the batch, and to find that nothing more is queued.
#[test]
fn scheduler_sender_takes_the_lock_three_times() {
    const OF_THE_WIRE: usize = 1;
    check(|| {
        let link = front();
        let key = link.open();
        link.settle();
        let before = releases();
        assert!(link.poll_send(&Count::new(), key).is_ready());
        assert_eq!(releases() - before, 3 + OF_THE_WIRE);
        assert!(!link.take_written().is_empty());
    });
}

#[test]
fn scheduler_writer_task_writes_what_is_queued_while_it_writes() {
    check(|| {
        let link = front();
        let key = link.open();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), key).is_ready()));
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[1]);
    });
}

#[test]
fn scheduler_writes_all_frames_of_two_senders_of_one_stream() {
    check(|| {
        let link = front();
        let key = link.open();
        link.settle();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), key).is_ready()));
        assert!(link.poll_send(&Count::new(), key).is_ready());
        sending.join().unwrap();
        assert_written(&link, &[2]);
    });
}

#[test]
fn scheduler_writes_all_frames_of_two_streams() {
    check(|| {
        let link = front();
        let keys = [link.open(), link.open()];
        link.settle();
        let sending = link.doing(move |link| assert!(link.poll_send(&Count::new(), keys[0]).is_ready()));
        assert!(link.poll_send(&Count::new(), keys[1]).is_ready());
        link.poll_writer();
        sending.join().unwrap();
        assert_written(&link, &[1, 1]);
    });
}

/// Returns a client's connection with two receiving streams, and the server's bytes for both.
fn two_receiving_streams() -> (Arc<Model>, [StreamKey; 2], Peer, Vec<StreamKey>, BytesMut) {
    let link = front();
    let keys = [link.open(), link.open()];
    let mut peer = link.peer(Side::Server);
    let handlers = peer.opened();
    handlers.iter().for_each(|handler| peer.send(*handler, 1));
    for key in keys {
        assert!(link.poll_recv(&Count::new(), key).is_pending());
    }
    let news = peer.writes();
    (link, keys, peer, handlers, news)
}

#[test]
fn corked_responses_are_written_while_the_reader_wakes_tasks() {
    check(|| {
        let (link, keys, mut peer, handlers, news) = two_receiving_streams();
        let reading = link.reading(news);
        assert!(link.poll_send(&Count::new(), keys[0]).is_ready());
        reading.join().unwrap();
        assert_nothing_queued(&link);
        peer.read(&link);
        assert_eq!(peer.messages(handlers[0]), 1);
    });
}

#[test]
fn a_cancel_is_not_corked_while_the_reader_wakes_tasks() {
    check(|| {
        let (link, keys, mut peer, handlers, news) = two_receiving_streams();
        let canceling = link.doing(move |link| {
            link.update_connection(|connection| connection.cancel(keys[0], &Reason::Canceled));
        });
        let mut check = Some(|| {
            canceling.join().unwrap();
            peer.read(&link);
            assert_eq!(code(&peer.0.outcome(handlers[0])), Some(Code::CANCELED));
        });
        // The first time that the reader yields; never, if the cancel came before.
        link.read_while(&news, || check.take().into_iter().for_each(|check| check()));
        check.into_iter().for_each(|check| check());
        assert_nothing_queued(&link);
    });
}

fn assert_nothing_queued(link: &Model) {
    link.settle();
    assert!(link.lock(|state| !state.connection.has_transmit() && state.scheduler.is_idle()));
}

/// Asserts that the peer has received this many messages of each stream, and that nothing is queued.
fn assert_written(link: &Model, messages: &[usize]) {
    assert_nothing_queued(link);
    let mut peer = link.peer(Side::Server);
    let opened = peer.opened();
    let read: Vec<_> = opened.into_iter().map(|key| peer.messages(key)).collect();
    assert_eq!(read, messages);
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
