//! The rows. A function stands for rows whose frames are the same and whose words differ.
//!
//! `left` is what Recv still gives before the end: all that arrived, but nothing once the end has dropped
//! it, as a cancel does on the side where it begins and at the handler that it ends.

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

/// The client's side ends the stream: an Rst leaves at once, then a trailer unless it has left before.
/// The handler ends with the error that it sees. One that has returned learns of nothing.
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

/// A Recv has told of its timeout, and nothing has happened.
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

/// The handler returns: its trailer follows what it has sent, behind a header in any case.
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

/// The connection ends: nothing more is sent, and what had arrived at the client stays to be taken.
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

/// The same while frames are under way, which are lost with it.
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

/// What comes behind the server's trailer changes nothing.
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

/// The client is reset, and says no more than that it closes; the server's end goes on.
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

/// The server is reset, and the client learns of it from the handler's trailer, if not before.
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

/// The reset client meets data that goes on arriving, and stops its sender by one Rst.
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

/// The server breaks a rule of one stream: the client resets it, and what had arrived stays.
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

/// The same before the server has answered.
pub(crate) fn early_violation(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(D0, seen, ("HDTR", "T"), [0, 0]),
        row(U0, seen, ("HRT", "T"), [0, 0]),
        row(B0, seen, ("HRT", "T"), [0, 0]),
    ]
}

/// The client breaks a rule of one stream: the server's Rst says all, no trailer follows.
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

/// What arrives at the client before the answer's header: a header is that header, data is kept.
pub(crate) fn before_the_answer(kept: usize) -> Vec<Row> {
    let seen = (End::Live, End::Live);
    vec![
        row(D0, seen, ("HDT", ""), [kept, 1]),
        row(U0, seen, ("H", ""), [kept, 0]),
        row(B0, seen, ("H", ""), [kept, 0]),
    ]
}

/// The client's direction is over: what it goes on sending is dropped.
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

/// The client's trailer says that something went wrong: its direction ends so, the stream goes on.
pub(crate) fn bad_half_close(server: End) -> Vec<Row> {
    let seen = (End::Live, server);
    vec![
        row(D1, seen, ("HDT", "H"), [0, 1]),
        row(D2, seen, ("HDT", "HDD"), [2, 1]),
        row(U3, seen, ("HDDT", "H"), [0, 2]),
        row(B3, seen, ("HDDT", "HDD"), [2, 2]),
    ]
}

/// Nobody takes what arrives: the stream ends, and what had arrived stays.
pub(crate) fn slow(side: Side) -> Vec<Row> {
    let (client, server) = ((SLOW_HERE, SLOW_BY_A), (SLOW_TOLD, SLOW_THERE));
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

/// The handler takes every request, and waits too long for the next.
pub(crate) fn waited(client: End, server: End) -> Vec<Row> {
    let seen = (client, server);
    vec![
        row(U1, seen, ("HT", "HR"), [0, 0]),
        row(U2, seen, ("HDDT", "HR"), [0, 0]),
        row(B1, seen, ("HT", "HR"), [0, 0]),
        row(B2, seen, ("HDDT", "HDDR"), [2, 0]),
    ]
}

/// The server ends what runs: its Rst says all, and the handler takes no request any more.
pub(crate) fn ended(client: End, server: End) -> Vec<Row> {
    client_violation(client, server).into_iter().map(|row| Row { left: [row.left[0], 0], ..row }).collect()
}

/// The server takes no more streams.
pub(crate) fn refused(client: End) -> Vec<Row> {
    let seen = (client, End::Unaware);
    vec![
        row(D0, seen, ("HDT", "R"), [0, 0]),
        row(U0, seen, ("HT", "R"), [0, 0]),
        row(B0, seen, ("HT", "R"), [0, 0]),
    ]
}

/// Every row with what ends it.
pub(crate) fn all() -> Vec<(Way, Vec<Row>)> {
    [by_users(), by_the_link(), by_bounds()].concat()
}

/// A caller or a handler ends the stream, or one above it.
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

/// The link breaks, or frames pass that no peer should send.
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
        (Way::UnknownTo(Server), client_violation(UNKNOWN_TOLD, UNKNOWN_THERE)),
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

/// A bound or a time of one end's own ends the stream, or a shutdown.
fn by_bounds() -> Vec<(Way, Vec<Row>)> {
    use Side::{Client, Server};
    vec![
        (Way::Slow(Client), slow(Client)),
        (Way::Slow(Server), slow(Server)),
        (Way::HandlerRecvTimeout, waited(RECV_TIMEOUT_TOLD, RECV_TIMEOUT_THERE)),
        (Way::SendTimeout(Client), server_violation(SEND_TIMEOUT_HERE, SEND_TIMEOUT_OF_A)),
        (Way::SendTimeout(Client), early_violation(SEND_TIMEOUT_HERE, SEND_TIMEOUT_OF_A)),
        (Way::SendTimeout(Server), client_violation(SEND_TIMEOUT_TOLD, SEND_TIMEOUT_THERE)),
        (Way::SendTimeout(Server), too_late()),
        (Way::Idle(Client), server_violation(IDLE_HERE, IDLE_OF_A)),
        (Way::Idle(Client), early_violation(IDLE_HERE, IDLE_OF_A)),
        (Way::Idle(Server), client_violation(IDLE_TOLD, IDLE_THERE)),
        (Way::Idle(Server), too_late()),
        (Way::EndAll, ended(ENDED_BY_B, LOST_BELOW)),
        (Way::EndAll, too_late()),
        (Way::Refused, refused(REFUSED)),
        (Way::Draining, refused(DRAINING)),
    ]
}
