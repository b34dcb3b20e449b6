//! What a connection speaks, by its first eight bytes. Knows nothing of what is done with it.

/// Bytes that tell.
pub(super) const PREFACE_LEN: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// TTHeader Streaming.
    Streams,
    /// TTHeader with one call after the other.
    TtheaderPingPong,
    /// A Thrift message behind its length.
    FramedPingPong,
    /// HTTP/2, so gRPC.
    Http2,
    Unknown,
}

const STREAMING_FLAG: u8 = 0x02;

pub(super) fn detect(preface: [u8; PREFACE_LEN]) -> Protocol {
    match preface {
        [_, _, _, _, 0x10, 0x00, _, flags] if flags & STREAMING_FLAG != 0 => Protocol::Streams,
        [_, _, _, _, 0x10, 0x00, _, _] => Protocol::TtheaderPingPong,
        [_, _, _, _, 0x80, 0x01, _, _] => Protocol::FramedPingPong,
        [b'P', b'R', b'I', b' ', ..] => Protocol::Http2,
        _ => Protocol::Unknown,
    }
}

impl Protocol {
    /// One line for the log of a server that does not speak it.
    pub(super) fn complaint(self) -> &'static str {
        match self {
            Self::Http2 => {
                "closing connection: peer speaks HTTP/2 (gRPC), which this server does not: \
                 let the client use TTHeader Streaming"
            }
            _ => {
                "closing connection: peer speaks none of TTHeader Streaming, TTHeader and framed Thrift: \
                 check that it means this address"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_tell_the_protocol() {
        let rows: &[(&[u8; 8], Protocol)] = &[
            (&[0, 0, 0, 86, 0x10, 0, 0, 2], Protocol::Streams),
            (&[0, 0, 0, 86, 0x10, 0, 0, 3], Protocol::Streams),
            (&[0, 0, 0, 184, 0x10, 0, 0, 0], Protocol::TtheaderPingPong),
            (&[0, 0, 0, 51, 0x80, 1, 0, 1], Protocol::FramedPingPong),
            (b"PRI * HT", Protocol::Http2),
            (b"GET / HT", Protocol::Unknown),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1], Protocol::Unknown),
            (&[0x80, 1, 0, 1, 0, 0, 0, 4], Protocol::Unknown),
        ];
        for (preface, protocol) in rows {
            assert_eq!(detect(**preface), *protocol, "{preface:?}");
        }
    }
}
