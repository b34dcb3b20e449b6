//! Frames of HTTP/2 as bytes, written by hand. Owns the layout; does no IO.

pub(super) const DATA: u8 = 0;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
/// The largest payload of a frame without a setting.
const LARGEST: usize = 16_384;
/// Indexed fields of the static table.
const METHOD_POST: u8 = 0x83;
const SCHEME_HTTP: u8 = 0x86;

/// What a client begins with: the preface, and settings without a value.
pub(super) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, &[])].concat()
}

/// A frame without flags.
pub(super) fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    with_flags(kind, 0, stream, payload)
}

/// A setting.
pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// The header list of a gRPC request, with so many more pairs, each with a value of so many bytes.
pub(super) fn open(stream: u32, method: &str, pairs: usize, bytes: usize) -> Vec<u8> {
    let mut block = request(method);
    (0..pairs).for_each(|pair| field(&mut block, &format!("k{pair}"), &"v".repeat(bytes)));
    let mut chunks = block.chunks(LARGEST);
    let first = chunks.next().unwrap_or_default();
    let last = chunks.len();
    let flags = |at| if at == last { END_HEADERS } else { 0 };
    let mut out = with_flags(HEADERS, flags(0), stream, first);
    chunks.zip(1..).for_each(|(chunk, at)| out.extend(with_flags(CONTINUATION, flags(at), stream, chunk)));
    out
}

/// The beginning of a header list that has no end.
pub(super) fn open_without_end(stream: u32, method: &str) -> Vec<u8> {
    frame(HEADERS, stream, &request(method))
}

/// A field that is kept in no table.
pub(super) fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

/// A gRPC message in a DATA frame.
pub(super) fn message(stream: u32, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
    frame(DATA, stream, &[&[0], &len.to_be_bytes()[..], content].concat())
}

fn request(method: &str) -> Vec<u8> {
    let mut block = vec![METHOD_POST, SCHEME_HTTP];
    let path = format!("/lab.Lab/{method}");
    let fields = [
        (":path", path.as_str()),
        (":authority", "ServiceB"),
        ("content-type", "application/grpc+thrift"),
        ("te", "trailers"),
        ("source-service", "ServiceA"),
    ];
    fields.iter().for_each(|(name, value)| field(&mut block, name, value));
    block
}

/// A length with a prefix of seven bits.
fn length(block: &mut Vec<u8>, len: usize) {
    let low = |value: usize| u8::try_from(value & 0x7f).unwrap_or_default();
    if len < 127 {
        return block.push(low(len));
    }
    block.push(127);
    let mut rest = len - 127;
    while rest >= 128 {
        block.push(low(rest) | 0x80);
        rest >>= 7;
    }
    block.push(low(rest));
}

fn with_flags(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
