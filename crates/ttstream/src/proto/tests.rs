//! The transitions of a stream's state, and the memory of an idle stream.

use kerrors::{Code, Error, Side, StreamError};

use super::state::StreamState;
use super::stream::Stream;
use stream_core::StreamPhase;

/// The size of a stream on a 64-bit machine, in bytes. A server has one for each idle stream.
const STREAM: usize = 232;

/// A transition and what it returns.
type Step = (fn(&mut StreamState) -> bool, bool);

fn close_local(state: &mut StreamState) -> bool {
    state.close_local()
}

fn close_remote(state: &mut StreamState) -> bool {
    state.close_remote(Ok(()))
}

fn close_with_error(state: &mut StreamState) -> bool {
    state.close_remote(Err(error(Code::APPLICATION)))
}

fn end_cleanly(state: &mut StreamState) -> bool {
    state.end(Ok(()))
}

fn end_canceled(state: &mut StreamState) -> bool {
    state.end(Err(error(Code::CANCELED)))
}

fn end_lost(state: &mut StreamState) -> bool {
    state.end(Err(error(Code::TRANSPORT_CLOSING)))
}

fn error(code: Code) -> Error {
    StreamError::new(code).into()
}

fn code(outcome: Result<(), Error>) -> Result<(), Code> {
    outcome.map_err(|error| error.stream().expect("an error of a stream").code())
}

/// The getters of a state: phase, outcome, receive outcome of a server, and whether client and server can
/// send and receive.
#[derive(Debug, PartialEq)]
struct Seen {
    phase: StreamPhase,
    outcome: Option<Result<(), Code>>,
    requests: Option<Result<(), Code>>,
    can_send: [bool; 2],
    can_receive: [bool; 2],
}

impl Seen {
    fn of(state: &StreamState) -> Self {
        let sides = [Side::Client, Side::Server];
        Self {
            phase: state.phase(),
            outcome: state.outcome().cloned().map(code),
            requests: state.receive_outcome(Side::Server).map(code),
            can_send: sides.map(|side| state.can_send(side)),
            can_receive: sides.map(|side| state.can_receive(side)),
        }
    }

    fn open() -> Self {
        Self {
            phase: StreamPhase::Open,
            outcome: None,
            requests: None,
            can_send: [true; 2],
            can_receive: [true; 2],
        }
    }

    fn half_closed(requests: Result<(), Code>) -> Self {
        Self {
            phase: StreamPhase::HalfClosed,
            outcome: None,
            requests: Some(requests),
            can_send: [false, true],
            can_receive: [true, false],
        }
    }

    fn ended(outcome: Result<(), Code>) -> Self {
        Self {
            phase: StreamPhase::Ended,
            outcome: Some(outcome),
            requests: Some(outcome),
            can_send: [false; 2],
            can_receive: [false; 2],
        }
    }
}

fn check(steps: &[Step], seen: &Seen) {
    let mut state = StreamState::open();
    for (at, (step, changes)) in steps.iter().enumerate() {
        let before = Seen::of(&state);
        assert_eq!(step(&mut state), *changes, "step {at} from {before:?}");
        assert_eq!(Seen::of(&state) != before, *changes, "step {at} from {before:?}");
    }
    assert_eq!(Seen::of(&state), *seen);
}

#[test]
fn a_stream_state_changes_forward_only_and_its_first_outcome_stays() {
    let (failed, canceled) = (Err(Code::APPLICATION), Err(Code::CANCELED));
    let rows: &[(&[Step], Seen)] = &[
        (&[], Seen::open()),
        (&[(close_local, true)], Seen::half_closed(Ok(()))),
        (&[(close_remote, true)], Seen::half_closed(Ok(()))),
        (&[(close_with_error, true)], Seen::half_closed(failed)),
        (&[(close_local, true), (close_local, false)], Seen::half_closed(Ok(()))),
        (&[(close_remote, true), (close_with_error, false)], Seen::half_closed(Ok(()))),
        (&[(close_with_error, true), (close_remote, false)], Seen::half_closed(failed)),
        (&[(end_cleanly, true)], Seen::ended(Ok(()))),
        (&[(end_canceled, true)], Seen::ended(canceled)),
        (&[(close_remote, true), (end_canceled, true)], Seen::ended(canceled)),
        (&[(close_with_error, true), (end_cleanly, true)], Seen::ended(Ok(()))),
        (&[(end_canceled, true), (end_lost, false)], Seen::ended(canceled)),
        (&[(end_canceled, true), (end_cleanly, false), (end_lost, false)], Seen::ended(canceled)),
        (&[(end_cleanly, true), (end_canceled, false)], Seen::ended(Ok(()))),
        (&[(end_canceled, true), (close_local, false), (close_remote, false)], Seen::ended(canceled)),
        (&[(close_local, true), (end_canceled, true), (end_canceled, false)], Seen::ended(canceled)),
    ];
    for (steps, seen) in rows {
        check(steps, seen);
    }
}

#[test]
fn stream_phase_displays_its_name() {
    let rows = [
        (StreamPhase::Open, "open"),
        (StreamPhase::HalfClosed, "half closed"),
        (StreamPhase::Ended, "ended"),
    ];
    for (phase, words) in rows {
        assert_eq!((phase.as_str(), phase.to_string().as_str()), (words, words));
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn an_idle_stream_stays_within_its_memory_budget() {
    let size = size_of::<Stream>();
    assert!(size <= STREAM, "a stream has {size} bytes, more than {STREAM}");
}
