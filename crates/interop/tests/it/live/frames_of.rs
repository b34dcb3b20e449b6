//! Maps a row to two live peers: the frames that a proxy injects, those that each end sends, and the error
//! texts of each.

use kerrors::ApplicationException;
use kitex::bytes::Bytes;
use kitex::{Error, Side};
use serde_json::Value;
use ttheader_codec::{FrameType, key};

use super::frames::Seen;
use super::proxy::Proxy;
use super::table::ends::{LOST_BELOW, RETURNED};
use super::table::{End, Mode, Row, State, Way};

/// Sets how the proxy changes trailers.
pub(crate) fn edit(proxy: &Proxy, way: Way) {
    let side = match way {
        Way::TrailerTo(side) | Way::OddTrailerTo(side) => side,
        Way::OddBiz => Side::Client,
        _ => return,
    };
    proxy.wire_to(side).edit(Box::new(move |seen| {
        if seen.frame_type() != Some(FrameType::Trailer) {
            return seen;
        }
        match way {
            Way::TrailerTo(_) => seen.payload(ApplicationException::new(6, "peer failed").encode("M", 1)),
            Way::OddBiz => seen.string(key::BIZ_STATUS, "404").string(key::BIZ_EXTRA, "odd"),
            _ => seen.payload("odd payload"),
        }
    }));
}

/// Injects the frame of the row, if it has one.
pub(crate) fn inject(proxy: &Proxy, way: Way) {
    let id = proxy.id();
    let put = |side, bytes: Bytes| proxy.wire_to(side).inject(bytes);
    match way {
        Way::GarbageTo(side) => put(side, Bytes::from_static(b"HTTP/1.1 200 OK")),
        Way::RstTo(side) => put(side, gateway(id)),
        Way::RstToBoth => proxy.inject_to_both(&gateway(id)),
        Way::BareRstTo(side) => put(side, Seen::new(id, FrameType::Rst).encode()),
        Way::OddRstTo(side) => put(side, Seen::new(id, FrameType::Rst).payload("odd payload").encode()),
        Way::HeaderTo(side) => put(side, Seen::new(id, FrameType::Header).encode()),
        Way::DataTo(side) => put(side, Seen::new(id, FrameType::Data).payload("\0").encode()),
        Way::UnknownTo(side) => put(side, Seen::unknown(id, b"9").encode()),
        Way::MetaTo(side) => put(side, Seen::new(id, FrameType::Meta).encode()),
        _ => {}
    }
}

fn gateway(id: i32) -> Bytes {
    Seen::rst(id, 12009, "gateway says no", "Gateway").encode()
}

/// Returns the frames of client and server. A Kitex handler sends no header before its first message, and
/// returns from Up and Bidi only when the client has closed its direction.
pub(crate) fn expected(row: &Row) -> (String, String) {
    let (client, server) = (row.client_sends, row.server_sends);
    let client = match (row.mode, row.state) {
        (Mode::Up | Mode::Bidi, State::Finishing) if client.contains('R') => "HDDTR",
        (Mode::Up | Mode::Bidi, State::Finishing) => "HDDT",
        _ => client,
    };
    let server = match (row.mode, row.state) {
        (Mode::Up, _) if returns_early(row) => "HDT",
        (Mode::Bidi, _) if returns_early(row) => "HDDT",
        (Mode::Up, State::Flowing) => server.strip_prefix('H').unwrap_or(server),
        _ => server,
    };
    (client.to_owned(), server.to_owned())
}

/// Returns the frames of Kitex's client and our server, with runs of data as one: the client has always sent
/// a request, and for Up all of them and its trailer.
pub(crate) fn expected_of_their_client(way: Way, row: &Row) -> (String, String) {
    let rst = if row.client_sends.contains('R') { "R" } else { "" };
    let client = match (row.mode, row.state) {
        (Mode::Down | Mode::Up, _) | (Mode::Bidi, State::Finishing | State::HalfClosed) => {
            format!("HDT{rst}")
        }
        (Mode::Bidi, _) => squeezed(&row.client_sends.replacen('H', "HD", 1)),
    };
    // The result of Up's handler is a response.
    let server = if (way, row.mode) == (Way::Return, Mode::Up) { "HDT" } else { row.server_sends };
    (client, squeezed(server))
}

/// Returns `word` with each run of data as one.
pub(crate) fn squeezed(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    letters.dedup_by(|next, last| (*next, *last) == ('D', 'D'));
    letters.into_iter().collect()
}

/// Returns whether the client has closed its direction, so that the handler returns.
pub(crate) fn returns_early(row: &Row) -> bool {
    row.mode != Mode::Down && row.server == End::Live && row.client_sends.ends_with('T')
}

/// Returns the lines that Kitex's handler prints as it ends.
pub(crate) fn lines(way: Way, row: &Row) -> Vec<String> {
    match row.server {
        End::Error(error) if End::Error(error) == RETURNED => match way {
            // It prints nothing for an end of its own.
            Way::ReturnBiz | Way::ReturnError => Vec::new(),
            _ => vec![String::new()],
        },
        End::Live if returns_early(row) => vec![String::new()],
        // In the end the proxy cuts the connection.
        End::Live => vec![sentence(LOST_BELOW)],
        end @ (End::Error(_) | End::RecvError(_)) => vec![sentence(end)],
        End::Unaware | End::Gone | End::Clean | End::Biz(_) => Vec::new(),
    }
}

/// Returns the text of a Recv at this end.
pub(crate) fn sentence(end: End) -> String {
    match end {
        End::Error(error) | End::RecvError(error) => plain(&error.sentence()),
        End::Biz(text) => text.to_owned(),
        End::Clean => CLEAN.to_owned(),
        End::Unaware | End::Live | End::Gone => format!("{end:?}"),
    }
}

pub(crate) fn end_text(end: &Result<(), Error>) -> String {
    end.as_ref().map_or_else(|error| plain(&error.to_string()), |()| CLEAN.to_owned())
}

/// Returns the error text of a handler's line.
pub(crate) fn text_of(line: &Value) -> String {
    plain(line["err"].as_str().unwrap_or_default())
}

/// Returns the text without measured durations and without the cause of a lost connection.
fn plain(text: &str) -> String {
    const MEASURED: &str = "timeout in ctx: ";
    /// Each peer adds its own cause.
    const LOST: &str = "[ttstream error, code=12006] [client-side stream] ";
    const KITEX_LOST: &str = "[ttstream error, code=12004] EOF ";
    const KITEX_CLOSED: &str = "[ttstream error, code=12006] connection has been closed";
    const LOST_BELOW: &str = "[ttstream error, code=12013] ";
    if [LOST, KITEX_LOST, KITEX_CLOSED].iter().any(|lost| text.starts_with(lost)) {
        return LOST.to_owned();
    }
    if text
        .strip_prefix(LOST_BELOW)
        .is_some_and(|how| !how.starts_with("[server-side") && !how.starts_with("[client-side"))
    {
        return LOST_BELOW.to_owned();
    }
    let text = text.replace("Timeout:400ms", "Timeout:100ms");
    text.split_once(MEASURED).map_or_else(|| text.clone(), |(before, _)| format!("{before}{MEASURED}N"))
}

const CLEAN: &str = "the end";
