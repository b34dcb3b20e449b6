//! The rows. A function returns rows whose frames are the same and whose errors differ.
//!
//! `left` is the number of messages that Recv still returns before the end: all received ones, but none once
//! the end has dropped them, as a cancel does on the side where it begins and for the handler that it ends.

use kerrors::Side;

use super::State::{Answered, Finishing, Flowing, Fresh, HalfClosed};
use super::ends::*;
use super::{End, Mode, Row, State, Way, row};

type Place = (Mode, State);

const D0: Place = (Mode::Down, Fresh);
const D1: Place = (Mode::Down, Answered);
const D2: Place = (Mode::Down, Flowing);
const D4: Place = (Mode::Down, Finishing);
const U0: Place = (Mode::Up, Fresh);
const U1: Place = (Mode::Up, Answered);
const U2: Place = (Mode::Up, Flowing);
const U3: Place = (Mode::Up, HalfClosed);
const U4: Place = (Mode::Up, Finishing);
const B0: Place = (Mode::Bidi, Fresh);
const B1: Place = (Mode::Bidi, Answered);
const B2: Place = (Mode::Bidi, Flowing);
const B3: Place = (Mode::Bidi, HalfClosed);
const B4: Place = (Mode::Bidi, Finishing);

/// The client's side ends the stream: an Rst is sent at once, then a trailer unless it was sent before. The
/// handler ends with the error that it sees; one that has returned sees nothing.
pub(crate) fn canceled(client: End, server: End) -> Vec<Row> {
    let (seen, late) = ((client, server), (client, RETURNED));
    vec![
        row(D0, seen, ("HDTR", "T"), [0, 0]),
        row(D1, seen, ("HDTR", "HT"), [0, 0]),
        row(D2, seen, ("HDTR", "HDDT"), [0, 0]),
        row(D4, late, ("HDTR", "HDDT"), [0, 0]),
        row(U0, seen, ("HRT", "T"), [0, 0]),
        row(U1, seen, ("HRT", "HT"), [0, 0]),
        row(U2, seen, ("HDDRT", "HT"), [0, 0]),
        row(U3, seen, ("HDDTR", "HT"), [0, 0]),
        row(U4, late, ("HDDRT", "HDT"), [0, 0]),
        row(B0, seen, ("HRT", "T"), [0, 0]),
        row(B1, seen, ("HRT", "HT"), [0, 0]),
        row(B2, seen, ("HDDRT", "HDDT"), [0, 0]),
        row(B3, seen, ("HDDTR", "HDDT"), [0, 0]),
        row(B4, late, ("HDDRT", "HDDT"), [0, 0]),
    ]
}

/// A Recv has returned its timeout, and nothing else has happened.
pub(crate) fn kept() -> Vec<Row> {
    let (on, over) = ((End::Live, End::Live), (End::Clean, RETURNED));
    vec![
        row(D0, on, ("HDT", ""), [0, 1]),
        row(D1, on, ("HDT", "H"), [0, 1]),
        row(D2, on, ("HDT", "HDD"), [0, 1]),
        row(D4, over, ("HDT", "HDDT"), [0, 0]),
        row(U0, on, ("H", ""), [0, 0]),
        row(U1, on, ("H", "H"), [0, 0]),
        row(U2, on, ("HDD", "H"), [0, 2]),
        row(U3, on, ("HDDT", "H"), [0, 2]),
        row(U4, over, ("HDDT", "HDT"), [0, 0]),
        row(B0, on, ("H", ""), [0, 0]),
        row(B1, on, ("H", "H"), [0, 0]),
        row(B2, on, ("HDD", "HDD"), [0, 2]),
        row(B3, on, ("HDDT", "HDD"), [0, 2]),
        row(B4, over, ("HDDT", "HDDT"), [0, 0]),
    ]
}

/// The handler returns: its trailer follows its messages, always after a header.
pub(crate) fn returned(client: End) -> Vec<Row> {
    let seen = (client, RETURNED);
    vec![
        row(D0, seen, ("HDT", "HT"), [0, 0]),
        row(D1, seen, ("HDT", "HT"), [0, 0]),
        row(D2, seen, ("HDT", "HDDT"), [2, 0]),
        row(U0, seen, ("HT", "HT"), [0, 0]),
        row(U1, seen, ("HT", "HT"), [0, 0]),
        row(U2, seen, ("HDDT", "HT"), [0, 0]),
        row(U3, seen, ("HDDT", "HT"), [0, 0]),
        row(B0, seen, ("HT", "HT"), [0, 0]),
        row(B1, seen, ("HT", "HT"), [0, 0]),
        row(B2, seen, ("HDDT", "HDDT"), [2, 0]),
        row(B3, seen, ("HDDT", "HDDT"), [2, 0]),
    ]
}

/// The connection is lost: nothing more is sent, and messages received by the client can still be taken.
pub(crate) fn lost(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(D1, seen, ("HDT", "H"), [0, 0]),
        row(D2, seen, ("HDT", "HDD"), [2, 0]),
        row(U1, seen, ("H", "H"), [0, 0]),
        row(U2, seen, ("HDD", "H"), [0, 0]),
        row(U3, seen, ("HDDT", "H"), [0, 0]),
        row(B1, seen, ("H", "H"), [0, 0]),
        row(B2, seen, ("HDD", "HDD"), [2, 0]),
        row(B3, seen, ("HDDT", "HDD"), [2, 0]),
    ]
}

/// The same while frames are in flight, which are lost with it.
pub(crate) fn lost_under_way(client: End) -> Vec<Row> {
    vec![
        row(D0, (client, End::Unaware), ("HDT", ""), [0, 0]),
        row(D4, (client, RETURNED), ("HDT", "HDDT"), [2, 0]),
        row(U0, (client, End::Unaware), ("H", ""), [0, 0]),
        row(U4, (client, RETURNED), ("HDD", "HDT"), [1, 0]),
        row(B0, (client, End::Unaware), ("H", ""), [0, 0]),
        row(B4, (client, RETURNED), ("HDD", "HDDT"), [2, 0]),
    ]
}

/// Frames after the server's trailer have no effect.
pub(crate) fn too_late() -> Vec<Row> {
    trailer(End::Clean)
}

/// The client reads the server's trailer, and answers with its own.
pub(crate) fn trailer(client: End) -> Vec<Row> {
    vec![
        row(D4, (client, RETURNED), ("HDT", "HDDT"), [2, 0]),
        row(U4, (client, RETURNED), ("HDDT", "HDT"), [1, 0]),
        row(B4, (client, RETURNED), ("HDDT", "HDDT"), [2, 0]),
    ]
}

/// The client is reset, and sends only its trailer; the server's end continues.
pub(crate) fn reset_client(client: End) -> Vec<Row> {
    let seen = (client, End::Live);
    vec![
        row(D0, seen, ("HDT", ""), [0, 1]),
        row(D1, seen, ("HDT", "H"), [0, 1]),
        row(D2, seen, ("HDT", "HDD"), [2, 1]),
        row(U0, seen, ("HT", ""), [0, 0]),
        row(U1, seen, ("HT", "H"), [0, 0]),
        row(U2, seen, ("HDDT", "H"), [0, 2]),
        row(U3, seen, ("HDDT", "H"), [0, 2]),
        row(B0, seen, ("HT", ""), [0, 0]),
        row(B1, seen, ("HT", "H"), [0, 0]),
        row(B2, seen, ("HDDT", "HDD"), [2, 2]),
        row(B3, seen, ("HDDT", "HDD"), [2, 2]),
    ]
}

/// The server is reset, and the client sees it in the handler's trailer, if not before.
pub(crate) fn reset_server(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(D0, seen, ("HDT", "T"), [0, 0]),
        row(D1, seen, ("HDT", "HT"), [0, 0]),
        row(D2, seen, ("HDT", "HDDT"), [2, 0]),
        row(U0, seen, ("HT", "T"), [0, 0]),
        row(U1, seen, ("HT", "HT"), [0, 0]),
        row(U2, seen, ("HDDT", "HT"), [0, 0]),
        row(U3, seen, ("HDDT", "HT"), [0, 0]),
        row(B0, seen, ("HT", "T"), [0, 0]),
        row(B1, seen, ("HT", "HT"), [0, 0]),
        row(B2, seen, ("HDDT", "HDDT"), [2, 0]),
        row(B3, seen, ("HDDT", "HDDT"), [2, 0]),
    ]
}

/// The reset client receives further data, and stops its sender with one Rst.
pub(crate) fn reset_then_data() -> Vec<Row> {
    let seen = (GATEWAY_HERE, GATEWAY_BY_A);
    vec![
        row(D1, seen, ("HDTR", "HDDT"), [0, 0]),
        row(D2, seen, ("HDTR", "HDDDDT"), [2, 0]),
        row(B1, seen, ("HTR", "HDDT"), [0, 0]),
        row(B2, seen, ("HDDTR", "HDDDDT"), [2, 0]),
        row(B3, seen, ("HDDTR", "HDDDDT"), [2, 0]),
    ]
}

/// The server violates the protocol of one stream: the client resets it, and received messages are kept.
pub(crate) fn server_violation(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(D1, seen, ("HDTR", "HT"), [0, 0]),
        row(D2, seen, ("HDTR", "HDDT"), [2, 0]),
        row(U1, seen, ("HRT", "HT"), [0, 0]),
        row(U2, seen, ("HDDRT", "HT"), [0, 0]),
        row(U3, seen, ("HDDTR", "HT"), [0, 0]),
        row(B1, seen, ("HRT", "HT"), [0, 0]),
        row(B2, seen, ("HDDRT", "HDDT"), [2, 0]),
        row(B3, seen, ("HDDTR", "HDDT"), [2, 0]),
    ]
}

/// The same before the server has sent its header.
pub(crate) fn early_violation(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(D0, seen, ("HDTR", "T"), [0, 0]),
        row(U0, seen, ("HRT", "T"), [0, 0]),
        row(B0, seen, ("HRT", "T"), [0, 0]),
    ]
}

/// The client violates the protocol of one stream: the server sends an Rst, and no trailer follows.
pub(crate) fn client_violation(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(D1, seen, ("HDT", "HR"), [0, 1]),
        row(D2, seen, ("HDT", "HDDR"), [2, 1]),
        row(U1, seen, ("HT", "HR"), [0, 0]),
        row(U2, seen, ("HDDT", "HR"), [0, 2]),
        row(U3, seen, ("HDDT", "HR"), [0, 2]),
        row(B1, seen, ("HT", "HR"), [0, 0]),
        row(B2, seen, ("HDDT", "HDDR"), [2, 2]),
        row(B3, seen, ("HDDT", "HDDR"), [2, 2]),
    ]
}

/// Nothing has happened.
pub(crate) fn harmless() -> Vec<Row> {
    let seen = (End::Live, End::Live);
    vec![
        row(D1, seen, ("HDT", "H"), [0, 1]),
        row(D2, seen, ("HDT", "HDD"), [2, 1]),
        row(U1, seen, ("H", "H"), [0, 0]),
        row(U2, seen, ("HDD", "H"), [0, 2]),
        row(U3, seen, ("HDDT", "H"), [0, 2]),
        row(B1, seen, ("H", "H"), [0, 0]),
        row(B2, seen, ("HDD", "HDD"), [2, 2]),
        row(B3, seen, ("HDDT", "HDD"), [2, 2]),
    ]
}

/// Frames that arrive at the client before the response's header: a header is taken as that header, data is
/// kept.
pub(crate) fn before_the_answer(kept: usize) -> Vec<Row> {
    let seen = (End::Live, End::Live);
    vec![
        row(D0, seen, ("HDT", ""), [kept, 1]),
        row(U0, seen, ("H", ""), [kept, 0]),
        row(B0, seen, ("H", ""), [kept, 0]),
    ]
}

/// The client's direction has ended: its further frames are dropped.
pub(crate) fn behind_the_half_close() -> Vec<Row> {
    let seen = (End::Live, End::Live);
    vec![
        row(D0, seen, ("HDT", ""), [0, 1]),
        row(U0, seen, ("H", ""), [0, 0]),
        row(B0, seen, ("H", ""), [0, 0]),
        row(D1, seen, ("HDT", "H"), [0, 1]),
        row(D2, seen, ("HDT", "HDD"), [2, 1]),
        row(U3, seen, ("HDDT", "H"), [0, 2]),
        row(B3, seen, ("HDDT", "HDD"), [2, 2]),
    ]
}

/// The client's trailer has an error: its direction ends with it, the stream continues.
pub(crate) fn bad_half_close(server: End) -> Vec<Row> {
    let seen = (End::Live, server);
    vec![
        row(D1, seen, ("HDT", "H"), [0, 1]),
        row(D2, seen, ("HDT", "HDD"), [2, 1]),
        row(U3, seen, ("HDDT", "H"), [0, 2]),
        row(B3, seen, ("HDDT", "HDD"), [2, 2]),
    ]
}

/// Slow consumer: received messages are not taken, the stream ends, and the messages are kept.
pub(crate) fn slow(side: Side) -> Vec<Row> {
    let (client, server) = ((SLOW_HERE, SLOW_BY_A), (SLOW_BY_RST, SLOW_THERE));
    match side {
        Side::Client => vec![
            row(D2, client, ("HDTR", "HDDT"), [2, 0]),
            row(D4, (SLOW_HERE, RETURNED), ("HDTR", "HDDT"), [2, 0]),
            row(B2, client, ("HDDRT", "HDDT"), [2, 0]),
            row(B3, client, ("HDDTR", "HDDT"), [2, 0]),
            row(B4, (SLOW_HERE, RETURNED), ("HDDRT", "HDDT"), [2, 0]),
        ],
        Side::Server => vec![
            row(U2, server, ("HDDT", "HR"), [0, 2]),
            row(U3, server, ("HDDT", "HR"), [0, 2]),
            row(B2, server, ("HDDT", "HDDR"), [2, 2]),
            row(B3, server, ("HDDT", "HDDR"), [2, 2]),
        ],
    }
}

/// The handler takes every request, and its wait for the next times out.
pub(crate) fn waited(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(U1, seen, ("HT", "HR"), [0, 0]),
        row(U2, seen, ("HDDT", "HR"), [0, 0]),
        row(B1, seen, ("HT", "HR"), [0, 0]),
        row(B2, seen, ("HDDT", "HDDR"), [2, 0]),
    ]
}

/// The server ends its streams with an Rst, and the handler receives no further requests.
pub(crate) fn ended(client: End, server: End) -> Vec<Row> {
    client_violation(client, server).into_iter().map(|row| Row { left: [row.left[0], 0], ..row }).collect()
}

/// The server refuses new streams.
pub(crate) fn refused(client: End) -> Vec<Row> {
    let seen = (client, End::Unaware);
    vec![
        row(D0, seen, ("HDT", "R"), [0, 0]),
        row(U0, seen, ("HT", "R"), [0, 0]),
        row(B0, seen, ("HT", "R"), [0, 0]),
    ]
}

/// Returns every row with its cause.
pub(crate) fn all() -> Vec<(Way, Vec<Row>)> {
    [by_users(), by_the_link(), by_bounds()].concat()
}

/// Ends by a caller or a handler, of the stream or of a parent.
fn by_users() -> Vec<(Way, Vec<Row>)> {
    vec![
        (Way::Cancel, canceled(CANCELED_HERE, CANCELED_BY_A)),
        (Way::Cause, canceled(CAUSE_HERE, CAUSE_BY_A)),
        (Way::Deadline, canceled(DEADLINE_HERE, DEADLINE_OF_A)),
        (Way::RecvTimeout, canceled(RECV_TIMEOUT_HERE, RECV_TIMEOUT_OF_A)),
        (Way::RecvTimeoutKeep, kept()),
        (Way::Upstream, canceled(UPSTREAM_HERE, UPSTREAM_BY_B)),
        (Way::UpstreamLost, canceled(UPSTREAM_LOST_HERE, UPSTREAM_LOST_BY_B)),
        (Way::UpstreamReturned, canceled(UPSTREAM_RETURNED_HERE, UPSTREAM_RETURNED_BY_B)),
        (Way::Foreign, canceled(FOREIGN_HERE, FOREIGN_BY_B)),
        (Way::Release, canceled(End::Gone, CANCELED_BY_A)),
        (Way::Return, returned(End::Clean)),
        (Way::ReturnBiz, returned(BIZ)),
        (Way::ReturnError, returned(FAILED)),
        (Way::LateCancel, too_late()),
        (Way::LateDeadline, too_late()),
        (Way::LateLost, too_late()),
    ]
}

/// Ends by a lost connection or a protocol violation.
fn by_the_link() -> Vec<(Way, Vec<Row>)> {
    use Side::{Client, Server};
    vec![
        (Way::Lost, lost(LOST_HERE, LOST_BELOW)),
        (Way::Lost, lost_under_way(LOST_HERE)),
        (Way::GarbageTo(Client), lost(GARBAGE_HERE, LOST_BELOW)),
        (Way::GarbageTo(Server), lost(LOST_HERE, LOST_BELOW)),
        (Way::RstTo(Client), reset_client(GATEWAY_HERE)),
        (Way::RstTo(Client), too_late()),
        (Way::RstTo(Server), reset_server(GATEWAY_FAILED, GATEWAY_THERE)),
        (Way::RstTo(Server), too_late()),
        (Way::RstToBoth, reset_server(GATEWAY_HERE, GATEWAY_THERE)),
        (Way::RstThenReturn, reset_server(End::Clean, GATEWAY_THERE)),
        (Way::RstThenData, reset_then_data()),
        (Way::BareRstTo(Client), reset_client(RST_HERE)),
        (Way::BareRstTo(Server), reset_server(RST_FAILED, RST_THERE)),
        (Way::OddRstTo(Client), reset_client(RST_HERE)),
        (Way::OddRstTo(Server), reset_server(RST_FAILED, RST_THERE)),
        (Way::HeaderTo(Client), server_violation(HEADER_HERE, HEADER_BY_A)),
        (Way::HeaderTo(Client), before_the_answer(0)),
        (Way::HeaderTo(Client), too_late()),
        (Way::HeaderTo(Server), lost(LOST_HERE, LOST_BELOW)),
        (Way::DataTo(Client), before_the_answer(1)),
        (Way::DataTo(Client), too_late()),
        (Way::DataTo(Server), behind_the_half_close()),
        (Way::DataTo(Server), too_late()),
        (Way::UnknownTo(Client), early_violation(UNKNOWN_HERE, UNKNOWN_BY_A)),
        (Way::UnknownTo(Client), server_violation(UNKNOWN_HERE, UNKNOWN_BY_A)),
        (Way::UnknownTo(Client), too_late()),
        (Way::UnknownTo(Server), client_violation(UNKNOWN_BY_RST, UNKNOWN_THERE)),
        (Way::UnknownTo(Server), too_late()),
        (Way::MetaTo(Client), harmless()),
        (Way::MetaTo(Server), harmless()),
        (Way::TrailerTo(Client), trailer(PEER_FAILED)),
        (Way::TrailerTo(Server), bad_half_close(REQUESTS_FAILED)),
        (Way::OddTrailerTo(Client), trailer(ODD_TRAILER)),
        (Way::OddTrailerTo(Server), bad_half_close(ODD_REQUESTS)),
        (Way::OddBiz, trailer(ODD_BIZ)),
    ]
}

/// Ends by a limit or timeout of one end, or by graceful shutdown.
fn by_bounds() -> Vec<(Way, Vec<Row>)> {
    use Side::{Client, Server};
    vec![
        (Way::Slow(Client), slow(Client)),
        (Way::Slow(Server), slow(Server)),
        (Way::HandlerRecvTimeout, waited(RECV_TIMEOUT_BY_RST, RECV_TIMEOUT_THERE)),
        (Way::SendTimeout(Client), server_violation(SEND_TIMEOUT_HERE, SEND_TIMEOUT_OF_A)),
        (Way::SendTimeout(Client), early_violation(SEND_TIMEOUT_HERE, SEND_TIMEOUT_OF_A)),
        (Way::SendTimeout(Server), client_violation(SEND_TIMEOUT_BY_RST, SEND_TIMEOUT_THERE)),
        (Way::SendTimeout(Server), too_late()),
        (Way::Idle(Client), server_violation(IDLE_HERE, IDLE_OF_A)),
        (Way::Idle(Client), early_violation(IDLE_HERE, IDLE_OF_A)),
        (Way::Idle(Server), client_violation(IDLE_BY_RST, IDLE_THERE)),
        (Way::Idle(Server), too_late()),
        (Way::EndAll, ended(ENDED_BY_B, LOST_BELOW)),
        (Way::EndAll, too_late()),
        (Way::Refused, refused(REFUSED)),
        (Way::Draining, refused(DRAINING)),
    ]
}
