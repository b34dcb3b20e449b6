//! The scripts against a client: rows, and families that are made of tables. The client calls as the words say; the steps
//! are those of its server.

use super::client::Script;
use super::forms;
use super::play::Writes;

/// Every script against a client.
pub(super) fn all() -> Vec<Script> {
    let families: [fn() -> Vec<Script>; 7] = [rows, endings, resets, cancels, beside, broken, calls];
    families.iter().flat_map(|family| family()).collect()
}

const DOWN: &str = "--what down --msg x";
const UP: &str = "--what up --msg x";
const BIDI: &str = "--what bidi --msg x";

/// Scripts that no family has: name, words, steps, what the client sends, what it prints.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str, &str, &str)] = &[
    ("a trailer without a header", DOWN, "wait $ T / T$", "$: H D T", "kind=eof n=0 err=EOF"),
    ("data without a header", DOWN, "wait $ T / D$ a / T$", "$: H D T", "kind=eof n=1 err=EOF"),
    ("a header without pairs", DOWN, "wait $ T / H$ / D$ a / T$", "$: H D T", "kind=eof n=1 err=EOF"),
    ("pairs of a trailer", DOWN, "wait $ T / H$ / T$ tk=tv", "$: H D T", r#"kind=eof n=0 trailer={"tk":"tv"} err=EOF"#),
    ("20 messages at once", DOWN, TWENTY, "$: H D T", "kind=eof n=20 err=EOF"),
    ("data after the trailer", DOWN, "wait $ T / H$ / D$ a / T$ / D$ b", "$: H D T", "kind=eof n=1 err=EOF"),
    ("two trailers", DOWN, "wait $ T / H$ / D$ a / T$ / T$", "$: H D T", "kind=eof n=1 err=EOF"),
    ("an Rst after the trailer", DOWN, "wait $ T / H$ / D$ a / T$ / R$ 12007 late", "$: H D T", "kind=eof n=1 err=EOF"),
    ("a trailer after an Rst", DOWN, "wait $ T / H$ / R$ 12009 gone / T$", "$: H D T", "kind=canceled n=0 err=[ttstream error, code=12009] [client-side stream] gone"),
    ("a second header ends the stream", DOWN, "wait $ T / H$ hk=1 / D$ a / H$ hk=2", "$: H D T R12002", "kind=protocol n=… err=[ttstream error, code=12002] …"),
    ("an unknown type of frame ends the stream", DOWN, "wait $ T / H$ / X$", "$: H D T R12004", "kind=protocol n=0 err=[ttstream error, code=12004] …"),
    ("no type of frame ends the stream", DOWN, "wait $ T / H$ / N$", "$: H D T R12004", "kind=protocol n=0 err=[ttstream error, code=12004] …"),
    ("17 MiB end the stream", DOWN, "wait $ T / H$ / Z$ 17", "$: H D T R12004", "kind=protocol n=0 err=[ttstream error, code=12004] …"),
    ("the connection ends within a stream", DOWN, "wait $ T / H$ / D$ a / fin", "$: H D T", "kind=protocol n=1 err=[ttstream error, code=12006] …"),
    ("the connection ends before a frame", DOWN, "wait $ T / fin", "$: H D T", "kind=protocol n=0 err=[ttstream error, code=12006] …"),
    ("an answer before the half-close", UP, "wait $ T / H$ / D$ early / T$", "$: H D*5 T", "kind=other msg=early"),
    ("no answer before the trailer", UP, "wait $ T / H$ / T$", "$: H D*5 T", "kind=… err=…"),
    ("an end without an echo", BIDI, "wait $ D / H$ / T$", "$: H D* T?", "kind=eof err=EOF"),
];

const TWENTY: &str = "wait $ T / H$ / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / D$ a / T$";

fn rows() -> Vec<Script> {
    let script = |(name, words, steps, frames, end): &(&str, &str, &str, &str, &str)| {
        Script::new(format!("client: {name}"), words, steps, frames, end)
    };
    ROWS.iter().map(script).collect()
}

/// How a server ends a stream: name, frame, kind, error.
const ENDINGS: &[(&str, &str, &str, &str)] = &[
    ("clean", "T$", "eof", "EOF"),
    (
        "error",
        "E$ 6 biz error: boom",
        "other",
        "[ttstream error, code=12001] [client-side stream] biz error: boom",
    ),
    ("biz", "B$ 404 no", "biz(404,no,map[])", "biz error: code=404, msg=no"),
];

/// Each kind of method times each ending, with messages before it.
fn endings() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, frame, kind, error) in ENDINGS {
        for (count, data) in [(0, ""), (1, "D$ a / "), (3, "D$ a / D$ b / D$ c / ")] {
            for (header, how) in
                [("", "no header"), ("H$ / ", "a header"), ("H$ hk=hv / ", "a header with pairs")]
            {
                scripts.push(Script::new(
                    format!("client: Down, {count} messages, {how}, {name}"),
                    DOWN,
                    &format!("wait $ T / {header}{data}{frame}"),
                    "$: H D T",
                    &format!("kind={kind} n={count} …err={error}"),
                ));
            }
        }
        let up =
            if *kind == "eof" { "kind=other msg=n=5".to_owned() } else { format!("kind={kind} err={error}") };
        scripts.push(Script::new(
            format!("client: Up, {name}"),
            UP,
            &format!("wait $ T / H$ / D$ n=5 / {frame}"),
            "$: H D*5 T",
            &up,
        ));
        scripts.push(Script::new(
            format!("client: Bidi, {name}"),
            BIDI,
            &format!("H$ / wait $ D / D$ x / wait $ D 2 / {frame}"),
            "$: H D*2 T?",
            &format!("kind={kind} err={error}"),
        ));
    }
    scripts
}

/// An Rst of each code, and what each kind of method says of it. The client sends nothing more.
fn resets() -> Vec<Script> {
    let mut scripts = Vec::new();
    for code in
        [12001, 12002, 12004, 12006, 12007, 12009, 12010, 12011, 12012, 12013, 12014, 12015, 0, -1, 99999]
    {
        let error = format!("err=[ttstream error, code={code}] [client-side stream] gone");
        for (method, words, steps, frames) in [
            ("Down", DOWN, "wait $ T / H$ / D$ a", "$: H D T"),
            ("Up", UP, "wait $ T / H$", "$: H D*5 T"),
            ("Bidi", BIDI, "H$ / wait $ D", "$: H D T?"),
        ] {
            let steps = format!("{steps} / R$ {code} gone");
            let end = format!("kind=canceled …{error}");
            scripts.push(Script::new(format!("client: {method}, Rst {code}"), words, &steps, frames, &end));
        }
    }
    for (name, rst, error) in [
        ("without a payload", "R$", "code=13] [client-side stream] rst"),
        (
            "with a path",
            "R$ 12007 ttscp=A,B gone",
            "code=12007] [client-side stream] [canceled path: A -> B] gone",
        ),
    ] {
        let end = format!("kind=canceled n=0 err=[ttstream error, {error}");
        scripts.push(Script::new(
            format!("client: Rst {name}"),
            DOWN,
            &format!("wait $ T / H$ / {rst}"),
            "$: H D T",
            &end,
        ));
    }
    scripts
}

/// What a client sends that ends its own stream, and says of it.
fn cancels() -> Vec<Script> {
    const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
    let mut scripts = Vec::new();
    for count in [0, 1, 3] {
        let data = " / D$ a".repeat(count);
        scripts.push(Script::new(
            format!("client: a cancel after {count} messages"),
            &format!("--what cancel --msg x --after {count}"),
            &format!("wait $ T / H${data} / wait $ R"),
            "$: H D T R12007{ttscp=ServiceA}",
            &format!(
                "kind=canceled n={count} err=[ttstream error, code=12007] [client-side stream] {CANCELED}"
            ),
        ));
    }
    for (name, words, code, error) in [
        (
            "a cancel with a cause",
            "cancelcause --after 0",
            "R12008",
            "kind=canceled n=0 err=[ttstream error, code=12008] [client-side stream] user pressed stop",
        ),
        (
            "a deadline",
            "timeout --after 3000",
            "R12015",
            "kind=timeout n=0 err=[ttstream error, code=12015] [client-side stream] stream timeout, timeout in ctx: …",
        ),
        (
            "a Recv timeout",
            "recvtimeout --after 3000",
            "R12014",
            "kind=timeout n=0 err=[ttstream error, code=12014] [client-side stream] stream Recv timeout, timeout config={Timeout:3s DisableCancelRemote:false}",
        ),
    ] {
        scripts.push(Script::new(
            format!("client: {name}"),
            &format!("--what {words} --msg x"),
            "wait $ T / H$ / wait $ R",
            &format!("$: H D T {code}{{ttscp=ServiceA}}"),
            error,
        ));
    }
    scripts
}

/// Frames that mean nothing to a client, between those of its stream.
fn beside() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, steps) in [
        ("a meta frame of the stream", "M$ k=v"),
        ("a meta frame of stream 0", "M0 k=v"),
        ("data of stream 0", "D0 x"),
        ("a trailer of stream 0", "T0"),
        ("data of an unknown stream", "D777 x"),
        ("a header of an unknown stream", "H777"),
        ("a trailer of an unknown stream", "T777"),
        ("an Rst of an unknown stream", "R777 12009 gone"),
        ("an unknown type of an unknown stream", "X777"),
        ("17 MiB of an unknown stream", "Z777 17"),
    ] {
        for (place, steps) in [
            ("before the header", format!("wait $ T / {steps} / H$ / D$ a / T$")),
            ("within the stream", format!("wait $ T / H$ / D$ a / {steps} / T$")),
        ] {
            let name = format!("client: {name} {place} is ignored");
            scripts.push(Script::new(name, DOWN, &steps, "$: H D T", "kind=eof n=1 err=EOF"));
        }
    }
    for (how, writes) in [("in one write", Writes::Together), ("byte by byte", Writes::Bytes)] {
        let script = Script::new(
            format!("client: a whole answer {how}"),
            DOWN,
            "wait $ T / H$ hk=hv / D$ a / D$ b / T$ tk=tv",
            "$: H D T",
            r#"kind=eof n=2 trailer={"tk":"tv"} err=EOF"#,
        );
        scripts.push(script.writes(writes));
    }
    scripts
}

/// Bytes that are no frame, and payloads that are no response: 12004, and the client goes on to its end.
fn broken() -> Vec<Script> {
    let protocol = "kind=protocol n=… err=[ttstream error, code=12004] …";
    let mut scripts = Vec::new();
    for (name, bytes) in
        forms::malformed().into_iter().chain([("a frame beyond the format", forms::beyond_the_format())])
    {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // A web server ends the connection after its answer; without its end some of these would be waited for.
        let steps = format!("wait $ T / H$ / D$ a / hex {hex} / fin");
        scripts.push(Script::new(
            format!("client: malformed, {name}"),
            DOWN,
            &steps,
            "$: H D T R?",
            protocol,
        ));
    }
    for (name, payload) in [
        ("empty", ""),
        ("text", "6e6f2074687269667420"),
        ("cut off", "0b00010000000561"),
        ("a string of 2 GiB", "0b00017fffffff6161"),
    ] {
        let steps = format!("wait $ T / H$ / P$ {payload}");
        scripts.push(Script::new(
            format!("client: payload {name}"),
            DOWN,
            &steps,
            "$: H D T R?",
            "kind=… n=0 err=…",
        ));
    }
    scripts.push(Script::new(
        "client: a trailer whose payload is no Thrift",
        DOWN,
        "wait $ T / H$ / G$",
        "$: H D T",
        protocol,
    ));
    scripts.push(Script::new(
        "client: an Rst whose payload is no Thrift",
        DOWN,
        "wait $ T / H$ / GR$",
        "$: H D T",
        "kind=canceled n=0 err=[ttstream error, code=13] [client-side stream] rst",
    ));
    for (name, status) in [("no number", "x"), ("empty", ""), ("too large", "99999999999999")] {
        let steps = format!("wait $ T / H$ / T$ biz-status={status} biz-message=m");
        scripts.push(Script::new(
            format!("client: a biz status that is {name}"),
            DOWN,
            &steps,
            "$: H D T",
            "kind=… n=0 …err=…",
        ));
    }
    scripts.push(Script::new(
        "client: a biz extra that is no JSON",
        DOWN,
        "wait $ T / H$ / T$ biz-status=404 biz-message=m biz-extra=odd",
        "$: H D T",
        "kind=protocol n=0 …err=[ttstream error, code=12003] …",
    ));
    scripts
}

/// Ping-pong calls, framed and over TTHeader.
fn calls() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (proto, kind) in [("framed", "F"), ("ttheader", "C")] {
        for (what, method) in [("ping", "Ping"), ("unary", "Unary")] {
            let words = format!("--proto {proto} --what {what} --msg hello");
            for (name, answer, end) in [
                ("a reply", format!("{kind}A$ {method} hello"), "…msg=hello"),
                (
                    "an exception",
                    format!("{kind}X$ {method} 6 biz error: boom"),
                    "…err=remote or network error[remote]: biz error: boom",
                ),
                (
                    "an unknown method",
                    format!("{kind}X$ {method} 1 unknown method {method}"),
                    "…err=remote or network error[remote]: unknown method …",
                ),
                ("the end of the connection", "fin".to_owned(), "…err=remote or network error…"),
            ] {
                scripts.push(Script::new(
                    format!("client: {method} {proto}, {name}"),
                    &words,
                    &answer,
                    r#"$: C"hello""#,
                    end,
                ));
            }
        }
    }
    scripts
}
