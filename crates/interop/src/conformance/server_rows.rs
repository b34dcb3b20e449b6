//! The scripts against a server: rows, and families that are made of tables. A row is name, steps, and what must come back.

use super::forms;
use super::play::Writes;
use super::server::{Fence, Script};
use super::wire::{Raw, call, frame};

/// Every script against a server.
pub(super) fn all() -> Vec<Script> {
    let families: [fn() -> Vec<Script>; 13] = [
        rows,
        endings,
        half_closes,
        resets,
        metainfo,
        header_forms,
        malformed,
        broken_payloads,
        ignored,
        crossed,
        calls,
        fragments,
        oversize,
    ];
    families.iter().flat_map(|family| family()).collect()
}

/// Scripts that no family has: name, steps, what must come back.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str)] = &[
    // Streams.
    ("stream: an empty connection stays open", "", "open"),
    ("stream: header and trailer are the handler's", "H1 Down / D1 hdr;n=1 / T1", r#"1: H{hk=hv} D T{tk=tv} | open"#),
    ("stream: a header without a message", "H1 Down / D1 hdr;n=0 / T1", r#"1: H{hk=hv} T{tk=tv} | open"#),
    ("stream: a message of 100,000 bytes", "H1 Down / D1 n=1;size=100000 / T1", "1: H D T | open"),
    ("stream: 1,000 messages in order", "H1 Down / D1 n=1000 / T1", "1: H D*1000 T | open"),
    ("stream: the request's trailer may be late", "H1 Down / D1 n=2 / wait 1 D 2 / T1", "1: H D*2 T | open"),
    ("stream: the request's trailer may be missing", "H1 Down / D1 n=2 / wait 1 T", "1: H D*2 T | open"),
    ("stream: ids may descend", "H9 Down / D9 n=1 / T9 / wait 9 T / H3 Down / D3 n=1 / T3", "9: H D T | 3: H D T | open"),
    ("stream: an id may be negative", "H-5 Down / D-5 n=1 / T-5", "-5: H D T | open"),
    ("stream: the largest id", "H2147483647 Down / D2147483647 n=1 / T2147483647", "2147483647: H D T | open"),
    ("stream: the smallest id", "H-2147483648 Down / D-2147483648 n=1 / T-2147483648", "-2147483648: H D T | open"),
    ("stream: an id that has ended may be used again", "H1 Bidi / T1 / wait 1 T / H1 Bidi / D1 again / T1", r#"1: H T H D"again" T | open"#),
    ("streams: two are answered each in its order", "H1 Bidi / H2 Bidi / D1 a / D2 b / D1 c / D2 d / T2 / T1", r#"1: H D"a" D"c" T | 2: H D"b" D"d" T | open"#),
    ("streams: one that ends leaves the other", "H1 Bidi / H2 Down / D2 fail / D1 a / wait 2 E / D1 b / T1", r#"1: H D"a" D"b" T | 2: H E6"biz error: handler failed" | open"#),
    ("streams: one that is reset leaves the other", "H1 Bidi / D1 a / H2 Bidi / D2 x / wait 2 D / R2 12007 gone / D1 b / T1", r#"1: H D"a" D"b" T | 2: H D"x" E? | open"#),
    ("streams: one whose handler panics leaves the other", "H1 Bidi / D1 a / H2 Down / D2 panic / wait 2 E / D1 b / T1", r#"1: H D"a" D"b" T | 2: H E6"panic: …lab panic…" | open"#),
    // Unknown targets.
    ("unknown method of a stream", "H1 Nope / D1 x / T1", r#"1: H? E"unknown method Nope" | open"#),
    ("unknown service and method of a stream", "H1 Nope/Nope / D1 n=1 / T1", r#"1: H? E"unknown service Nope" | open"#),
    ("a method that one service has is found without its service", "H1 Nope/Down / D1 n=1 / T1", "1: H D T | open"),
    ("a method without a name", "H1 Lab/ / T1", r#"1: H? E"unknown method…" | open"#),
    ("names differ by case", "H1 down / D1 n=1 / T1", r#"1: H? E"unknown method down" | open"#),
    ("a ping-pong method as a stream", "H1 Ping / D1 x / T1", "1: H? E | open"),
    // Order.
    ("order: data after the trailer", "H1 Bidi / D1 a / T1 / D1 b", r#"1: H D"a" R? T? | open"#),
    ("order: two trailers", "H1 Bidi / D1 a / T1 / T1", r#"1: H D"a" T | open"#),
    ("order: three trailers after the end", "H1 Bidi / T1 / wait 1 T / T1 / T1 / T1", "1: H T | open"),
    ("order: an Rst after the end", "H1 Bidi / D1 a / T1 / wait 1 T / R1 12007 late", r#"1: H D"a" T | open"#),
    ("order: two Rst", "H1 Bidi / D1 a / wait 1 D / R1 12007 gone / R1 12007 gone", r#"1: H D"a" E? | open"#),
    ("order: a trailer after an Rst", "H1 Bidi / D1 a / wait 1 D / R1 12007 gone / T1", r#"1: H D"a" E? | open"#),
    ("order: data before a header", "D1 early / H1 Bidi / D1 a / T1", r#"1: H D"a" T | open"#),
    ("order: a trailer before a header", "T1 / H1 Bidi / D1 a / T1", r#"1: H D"a" T | open"#),
    ("order: an Rst before a header", "R1 12007 early / H1 Bidi / D1 a / T1", r#"1: H D"a" T | open"#),
    ("order: a second header of a live stream", "H1 Bidi / D1 a / wait 1 D / H1 Bidi", r#"1: H D"a" … closed"#),
    ("order: two requests of Down", "H1 Down / D1 n=1;delay=30 / D1 n=5 / T1", "1: H D T | open"),
    ("order: no request of Down", "H1 Down / T1", "1: H? E | open"),
    // Frame types.
    ("type: an unknown one ends its stream", "H1 Bidi / D1 a / wait 1 D / X1", r#"1: H D"a" R12004 | open"#),
    ("type: none ends its stream", "H1 Bidi / D1 a / wait 1 D / N1", r#"1: H D"a" R12004 | open"#),
    ("type: a trailer with pairs is a trailer", "H1 Bidi / D1 a / T1 k=v other=w", r#"1: H D"a" T | open"#),
    // The end of the connection.
    ("end: the client ends its side after a stream", "H1 Bidi / D1 a / T1 / wait 1 T / fin", r#"1: H D"a" T | closed"#),
    ("end: the client ends its side within a stream", "H1 Bidi / D1 a / wait 1 D / fin", r#"1: H D"a" E? R? | closed"#),
    ("end: the client ends its side before anything", "fin", "closed"),
];

fn rows() -> Vec<Script> {
    ROWS.iter()
        .map(|(name, sends, want)| Script::new(*name, sends, &want.replace(" … closed", " E? R? | closed")))
        .collect()
}

/// How a handler ends, and the frame that says so.
const ENDINGS: &[(&str, &str, &str)] = &[
    ("clean", "", "T"),
    ("biz", "biz=404", r#"B404"biz says no""#),
    ("fail", "fail", r#"E6"biz error: handler failed""#),
    (
        "panic",
        "panic",
        r#"E6"panic: [happened in biz handler, method=Lab.Down, please check the panic at the server side] lab panic…""#,
    ),
];

/// Down: numbers of messages times endings, with and without header and trailer of the handler.
fn endings() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (count, data) in [(0, ""), (1, "D"), (3, "D*3")] {
        for (name, word, end) in ENDINGS {
            for (handler, pairs) in [("", ""), ("hdr;", " with pairs")] {
                let sends = format!("H1 Down / D1 {handler}n={count};{word} / T1");
                let header = if count == 0 && handler.is_empty() { "H?" } else { "H" };
                scripts.push(Script::new(
                    format!("Down: {count} messages, {name}{pairs}"),
                    &sends,
                    &format!("1: {header} {data} {end} | open"),
                ));
            }
        }
    }
    scripts
}

/// What arrives around the client's trailer, for each kind of method.
fn half_closes() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (count, data) in [(0, ""), (1, "D"), (5, "D*5")] {
        let sends = "D1 m / ".repeat(count);
        scripts.push(Script::new(
            format!("Up: {count} messages, half-close"),
            &format!("H1 Up / {sends}T1"),
            &format!(r#"1: H D"n={count}" T | open"#),
        ));
        scripts.push(Script::new(
            format!("Bidi: {count} messages, half-close"),
            &format!("H1 Bidi / {sends}T1"),
            &format!("1: H? {data} T | open"),
        ));
        scripts.push(Script::new(
            format!("Bidi: {count} messages, half-close when they are echoed"),
            &format!(
                "H1 Bidi / {sends}{} T1",
                if count == 0 { String::new() } else { format!("wait 1 D {count} /") }
            ),
            &format!("1: H? {data} T | open"),
        ));
    }
    scripts.push(Script::new("Up: no answer before the half-close", "H1 Up / D1 m", "1: H? | open"));
    scripts.push(Script::new("Bidi: no end before the half-close", "H1 Bidi / D1 m", "1: H D | open"));
    scripts
}

/// Codes of an Rst that a client sends: its own, those that pass through it, and numbers that mean nothing.
const CODES: &[i32] =
    &[12007, 12008, 12009, 12010, 12011, 12012, 12013, 12014, 12015, 12901, 12903, 0, -1, i32::MAX];

/// An Rst of each code, on each kind of method: that stream is silent but for one trailer, and the connection works on.
fn resets() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (method, opening, seen) in [
        ("Down", "H1 Down / D1 n=1;idle / wait 1 D /", "H D"),
        ("Up", "H1 Up / D1 m /", "H?"),
        ("Bidi", "H1 Bidi / D1 m / wait 1 D /", "H D"),
    ] {
        for code in CODES {
            scripts.push(Script::new(
                format!("{method}: Rst {code}"),
                &format!("{opening} R1 {code} gone"),
                &format!("1: {seen} E? | open"),
            ));
        }
        for (name, rst) in [
            ("without a payload", "R1"),
            ("with a payload that is no Thrift", "GR1"),
            ("with a path", "R1 12007 ttscp=A,B,C gone"),
            ("with an empty path", "R1 12007 ttscp= gone"),
            ("after the half-close", "T1 / R1 12007 gone"),
        ] {
            scripts.push(Script::new(
                format!("{method}: Rst {name}"),
                &format!("{opening} {rst}"),
                &format!("1: {seen} D? T? E? | open"),
            ));
        }
    }
    for (method, opening) in [("Down", "H1 Down"), ("Up", "H1 Up"), ("Bidi", "H1 Bidi")] {
        scripts.push(Script::new(
            format!("{method}: Rst before a message"),
            &format!("{opening} / R1 12007 gone"),
            "1: H? E? | open",
        ));
        scripts.push(Script::new(
            format!("{method}: Rst, then a stream of the same id"),
            &format!("{opening} / R1 12007 gone / H2 Bidi / T2 / wait 2 T / H3 Bidi / D3 a / T3"),
            r#"1: H? E? | 2: H? T | 3: H D"a" T | open"#,
        ));
    }
    scripts
}

/// Metainfo that a client sends, and what the handler of Down says of it.
fn metainfo() -> Vec<Script> {
    let long = "v".repeat(10_000);
    let many: String = (0..500).map(|at| format!(" k{at}=v")).collect();
    [
        ("none", String::new(), "pk=;tk="),
        ("persistent", " RPC_PERSIST_pk=pval".to_owned(), "pk=pval;tk="),
        ("transient", " RPC_TRANSIT_tk=tval".to_owned(), "pk=;tk=tval"),
        ("both", " RPC_PERSIST_pk=p RPC_TRANSIT_tk=t".to_owned(), "pk=p;tk=t"),
        ("a later duplicate wins", " RPC_PERSIST_pk=first RPC_PERSIST_pk=last".to_owned(), "pk=last;tk="),
        ("an empty value", " RPC_PERSIST_pk= RPC_TRANSIT_tk=t".to_owned(), "pk=;tk=t"),
        ("a value with commas and quotes", " RPC_PERSIST_pk=a,\"b\"=c".to_owned(), "pk=a,\"b\"=c;tk="),
        ("a value of 10,000 bytes", format!(" RPC_PERSIST_pk={long}"), "pk=vvv…vvv;tk="),
        ("500 pairs beside it", format!("{many} RPC_PERSIST_pk=p"), "pk=p;tk="),
        ("pairs without a meaning", " whatever=1 RPC_PERSIST_pk=p x=".to_owned(), "pk=p;tk="),
    ]
    .map(|(name, pairs, msg)| {
        let want = format!("1: H D{} T | open", quoted(msg));
        Script::new(format!("metainfo: {name}"), &format!("H1 Down{pairs} / D1 n=1 / T1"), &want)
    })
    .into()
}

/// A text with quotes cannot stand in a pattern as it is.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "…"))
}

/// Forms of a header that all mean the same.
fn header_forms() -> Vec<Script> {
    let header = || Raw { strings: vec![("isn".into(), "Lab".into())], ..Raw::of_stream("2", 1, "Bidi") };
    let with_ints = |ints: &[(u16, &str)]| {
        let more = ints.iter().map(|(key, value)| (*key, (*value).to_owned()));
        Raw { ints: header().ints.into_iter().chain(more).collect(), ..header() }
    };
    let ints_first = || {
        let mut info = vec![0x10, 0];
        info.extend(b"\x10\x00\x02\x00\x1b\x00\x012\x00\x09\x00\x04Bidi");
        info.extend(b"\x01\x00\x01\x00\x03isn\x00\x03Lab");
        frame(2, 1, info, b"")
    };
    let in_blocks = || {
        let mut info = vec![0x10, 0, 0, 0];
        info.extend(b"\x10\x00\x01\x00\x1b\x00\x012\x00\x10\x00\x01\x00\x09\x00\x04Bidi");
        info.extend(b"\x00\x00\x01\x00\x01\x00\x03isn\x00\x03Lab\x01\x00\x00");
        frame(2, 1, info, b"")
    };
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("ints before strings", ints_first()),
        ("several blocks, and padding between them", in_blocks()),
        ("padding of 200 words", Raw { blocks: vec![0; 800], ..header() }.encode()),
        ("keys without a meaning", with_ints(&[(200, "x"), (65535, ""), (0, "y")]).encode()),
        ("every known int key", with_ints(&KNOWN_INTS.map(|key| (key, "1"))).encode()),
        ("an ACL token", Raw { blocks: b"\x11\x00\x05token".to_vec(), ..header() }.encode()),
        ("more flags", Raw { flags: 0x1b, ..header() }.encode()),
        ("a later method wins", with_ints(&[(9, "Nope"), (9, "Bidi")]).encode()),
        ("an int block without pairs", Raw { blocks: b"\x10\x00\x00".to_vec(), ..header() }.encode()),
        ("a payload that is ignored", Raw { payload: b"ignored".to_vec(), ..header() }.encode()),
        (
            "bytes that are no UTF-8",
            Raw { blocks: b"\x01\x00\x01\x00\x02\xff\xfe\x00\x01\xff".to_vec(), ..header() }.encode(),
        ),
    ];
    let script = |(name, bytes): (&str, Vec<u8>)| {
        let script = Script::new(format!("header: {name}"), "", r#"1: H D"a" T | open"#);
        script.bytes(bytes).then("D1 a / T1")
    };
    forms.into_iter().map(script).collect()
}

/// Int keys that name something, but for method and frame type.
const KNOWN_INTS: [u16; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 16, 20];

/// Bytes that are no frame: the connection ends, whether it has a stream or not.
fn malformed() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, bytes) in forms::malformed() {
        let (first, live) =
            (format!("malformed at first: {name}"), format!("malformed beside a stream: {name}"));
        // Of a first frame these bytes do not say that it is one of streams.
        if !matches!(name, "a length of zero") {
            scripts.push(Script::new(first, "", "1: R? E? | closed").bytes(bytes.clone()));
        }
        let opened = Script::new(live, "H1 Bidi / D1 x / wait 1 D", "1: H D R? E? | closed");
        scripts.push(opened.bytes(bytes));
    }
    scripts
}

/// Payloads that are no request, for each kind of method: that stream ends with an error, and the connection works on.
fn broken_payloads() -> Vec<Script> {
    let mut scripts = Vec::new();
    for method in ["Down", "Up", "Bidi"] {
        for (name, payload, want) in [
            ("empty", "", "1: H? E | open"),
            ("text", "6e6f2074687269667420", "1: H? E | open"),
            ("cut off", "0b00010000000561", "1: H? E | open"),
            ("a string of 2 GiB", "0b00017fffffff6161", "1: H? E | open"),
            ("a negative length", "0b0001ffffffff6161", "1: H? E | open"),
            ("an unknown type of field", "630001616161", "1: H? E | open"),
        ] {
            let sends = format!("H1 {method} / P1 {payload} / T1");
            scripts.push(Script::new(format!("{method}: payload {name}"), &sends, want));
        }
    }
    for (name, payload, want) in [
        ("a lone stop byte", "00", r#"1: H D"" T | open"#),
        ("an unknown field", "0800630000000700", r#"1: H D"" T | open"#),
        ("a field of another type", "0a0001000000000000000700", r#"1: H D"" T | open"#),
        ("a field twice", "0b000100000001610b0001000000016200", r#"1: H D"b" T | open"#),
        ("bytes after the struct", "0b0001000000016100ffff", r#"1: H D"a" T | open"#),
    ] {
        scripts.push(Script::new(
            format!("Bidi: payload {name}"),
            &format!("H1 Bidi / P1 {payload} / T1"),
            want,
        ));
    }
    scripts
}

/// Frames that mean nothing here: nothing comes back, and a stream beside them is not disturbed.
fn ignored() -> Vec<Script> {
    const FRAMES: &[(&str, &str)] = &[
        ("data", "D? x"),
        ("a trailer", "T?"),
        ("an Rst", "R? 12007 gone"),
        ("an Rst without a payload", "R?"),
        ("a meta frame", "M? k=v"),
        ("an unknown type", "X?"),
    ];
    let mut scripts = Vec::new();
    for (place, sid) in [("stream 0", "0"), ("an unknown stream", "77"), ("a negative stream", "-77")] {
        for (name, sends) in FRAMES {
            let sends = sends.replace('?', sid);
            scripts.push(Script::new(format!("ignored: {name} of {place}"), &sends, "open"));
            scripts.push(Script::new(
                format!("ignored: {name} of {place}, beside a stream"),
                &format!("H1 Bidi / D1 a / wait 1 D / {sends} / D1 b / T1"),
                r#"1: H D"a" D"b" T | open"#,
            ));
        }
    }
    scripts.push(Script::new("ignored: a header of stream 0", "H0 Bidi / D0 a / T0", "open"));
    for method in ["Down", "Up", "Bidi"] {
        for (place, sends) in [
            ("before the request", "M1 k=v / D1 n=1 / T1"),
            ("after the request", "D1 n=1 / M1 k=v / T1"),
            ("after the trailer", "D1 n=1 / T1 / M1 k=v"),
        ] {
            scripts.push(Script::new(
                format!("{method}: a meta frame {place} is ignored"),
                &format!("H1 {method} / {sends}"),
                "1: H D T | open",
            ));
        }
    }
    scripts
}

/// Frames that cross the end of their stream: they may still arrive, and mean nothing.
fn crossed() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (end, word, frame) in [("clean", "", 'T'), ("biz", "biz=404", 'B'), ("fail", "fail", 'E')] {
        for (name, sends) in [
            ("data", "D1 late"),
            ("a trailer", "T1"),
            ("an Rst", "R1 12007 late"),
            ("a meta frame", "M1 k=v"),
            ("all of them", "D1 late / M1 k=v / T1 / R1 12007 late"),
        ] {
            scripts.push(Script::new(
                format!("crossed: {name} after an end that is {end}"),
                &format!("H1 Down / D1 n=1;{word} / wait 1 {frame} / {sends}"),
                &format!("1: H D {frame} | open"),
            ));
        }
    }
    scripts
}

/// Ping-pong calls, in both forms.
fn calls() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (form, kind, fence) in [("framed", 'F', Fence::Framed), ("TTHeader", 'C', Fence::Call)] {
        let biz = if kind == 'F' { r#"7: C"" | open"# } else { r#"7: B404"biz says no" | open"# };
        for (name, sends, want) in [
            ("Ping", "?7 Ping hello", r#"7: C"hello" | open"#),
            ("Unary", "?7 Unary hello", r#"7: C"hello" | open"#),
            (
                "ten in a row",
                "?1 Ping a / wait 1 C / ?2 Ping b / wait 2 C / ?3 Ping c",
                r#"1: C"a" | 2: C"b" | 3: C"c" | open"#,
            ),
            ("an error of the handler", "?7 Unary fail", r#"7: X6"biz error: handler failed" | open"#),
            ("a business error", "?7 Unary biz=404", biz),
            ("an unknown method", "?7 Nope hello", r#"7: X"unknown …method Nope…""#),
            ("a stream's method", "?7 Down n=1", "7: X | open"),
            ("a negative sequence id", "?-7 Ping hello", r#"-7: C"hello" | open"#),
            ("sequence id 0", "?0 Ping hello", r#"0: C"hello" | open"#),
            ("a call after an error", "?1 Unary fail / wait 1 X / ?2 Unary b", r#"1: X6 | 2: C"b" | open"#),
        ] {
            let sends = sends.replace('?', &kind.to_string());
            scripts.push(Script::new(format!("{form} call: {name}"), &sends, want).fence(fence));
        }
    }
    let broken = |bytes: Vec<u8>, name: &str, want: &str| {
        Script::new(format!("framed call: {name}"), "", want).bytes(bytes).fence(Fence::Framed)
    };
    let mut cut = call("Ping", 7, "hello");
    cut.splice(20..24, [0x7f, 0xff, 0xff, 0xff]);
    scripts.push(broken(cut, "arguments that are no struct", "7: X | open"));
    scripts.push(Script::new(
        "a call beside streams, on a connection of its own",
        "H1 Bidi / D1 a / T1",
        r#"1: H D"a" T | open"#,
    ));
    scripts
}

/// Whole conversations whose bytes arrive in pieces, at every boundary of the first, and in one.
fn fragments() -> Vec<Script> {
    const CONVERSATIONS: &[(&str, &str, &str)] = &[
        ("Down", "H1 Down RPC_PERSIST_pk=p / D1 n=2 / T1", r#"1: H D"pk=p;tk=" D"pk=p;tk=" T | open"#),
        ("Up", "H1 Up / D1 a / D1 b / T1", r#"1: H D"n=2" T | open"#),
        ("Bidi", "H1 Bidi / D1 a / D1 b / T1", r#"1: H D"a" D"b" T | open"#),
        ("an Rst", "H1 Up / D1 a / R1 12007 gone", "1: H? E? | open"),
        ("two streams", "H1 Bidi / H2 Up / D1 a / D2 b / T1 / T2", r#"1: H D"a" T | 2: H D"n=1" T | open"#),
    ];
    let mut scripts = Vec::new();
    for (name, sends, want) in CONVERSATIONS {
        for (how, writes) in [("in one write", Writes::Together), ("byte by byte", Writes::Bytes)] {
            scripts.push(Script::new(format!("fragments: {name} {how}"), sends, want).writes(writes));
        }
    }
    scripts
}

/// Every boundary of one conversation: one script, as many connections as it has bytes.
pub(super) fn every_boundary() -> Vec<Script> {
    let script = Script::new(
        "fragments: Bidi in two writes, at every boundary",
        "H1 Bidi / D1 a / T1",
        r#"1: H D"a" T | open"#,
    );
    (1..script.len()).map(|at| script.clone().writes(Writes::SplitAt(at))).collect()
}

/// Frames beyond what a server takes by default.
fn oversize() -> Vec<Script> {
    let opened = |name: &str, want: &str| Script::new(name, "H1 Bidi / D1 a / wait 1 D", want);
    let pairs =
        (0..2000).map(|at| (format!("k{at}"), "v".to_owned())).chain([("isn".to_owned(), "Lab".to_owned())]);
    let many = Raw { strings: pairs.collect(), ..Raw::of_stream("2", 3, "Bidi") }.encode();
    vec![
        opened("oversize: 17 MiB end their stream", "1: H D R12004 | open").then("Z1 17"),
        opened("oversize: 17 MiB of an unknown stream", "1: H D | open").then("Z77 17"),
        opened("oversize: a header of 2,000 pairs ends its stream", "1: H D | 3: R12004 | open").bytes(many),
        opened("oversize: a frame beyond the format closes the connection", "1: H D R? E? | closed")
            .bytes(forms::beyond_the_format()),
    ]
}
