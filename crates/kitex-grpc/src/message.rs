//! Messages in DATA frames: a prefix of five bytes, then the payload. Owns the limit of a message: a larger
//! message is refused before it is buffered.

use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kerrors::GrpcStatus;
use thiserror::Error;

use crate::compression::{Compression, Fault};

/// The length of the prefix of a payload: a flag and the length.
pub(crate) const PREFIX: usize = 5;
/// A smaller payload is copied, so that it does not keep the read buffer alive.
const SHORT: usize = 8 * 1024;

/// The error of bytes that are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum MessageError {
    #[error("received message larger than max ({len} vs. {limit})")]
    TooLarge { len: usize, limit: usize },
    #[error("received message after decompression larger than max {limit}")]
    Bomb { limit: usize },
    #[error("cannot decompress message: {0}")]
    Malformed(String),
    #[error("kitex compression algorithm not found")]
    Compressed,
    #[error("unexpected EOF")]
    Truncated,
}

impl From<MessageError> for GrpcStatus {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::TooLarge { .. } | MessageError::Bomb { .. } => {
                Self::new(Self::RESOURCE_EXHAUSTED, error.to_string())
            }
            MessageError::Compressed | MessageError::Truncated | MessageError::Malformed(_) => {
                Self::protocol(error.to_string())
            }
        }
    }
}

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// The encoding of the bytes.
    pub(crate) compression: Option<Compression>,
}

impl Received {
    /// Returns the payload. It may take long if it is compressed: not to be called under a lock.
    ///
    /// # Errors
    /// It is larger than `limit`, or not of its encoding.
    pub(crate) fn open(self, limit: usize) -> Result<Bytes, MessageError> {
        match self.compression {
            None => Ok(self.bytes),
            Some(compression) => compression.decompress(&self.bytes, limit).map_err(|fault| match fault {
                Fault::TooLarge => MessageError::Bomb { limit },
                Fault::Malformed(text) => MessageError::Malformed(text),
            }),
        }
    }
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Encoded<'a> {
    flag: u8,
    len: u32,
    payload: Cow<'a, [u8]>,
}

/// Returns the message of `payload`, compressed if it is worth the name. It may take long then: not to be called under a
/// lock.
///
/// # Errors
/// It is larger than `limit`.
pub(crate) fn encode(
    payload: &[u8],
    limit: usize,
    compression: Option<Compression>,
) -> Result<Encoded<'_>, MessageError> {
    let too_large = || MessageError::TooLarge { len: payload.len(), limit };
    if payload.len() > limit {
        return Err(too_large());
    }
    let (flag, payload) = match compression.filter(|_| !payload.is_empty()) {
        Some(compression) => (1, Cow::from(compression.compress(payload))),
        None => (0, Cow::from(payload)),
    };
    let len = u32::try_from(payload.len()).map_err(|_| too_large())?;
    Ok(Encoded { flag, len, payload })
}

impl Encoded<'_> {
    /// Returns the number of its bytes.
    pub(crate) fn len(&self) -> usize {
        self.payload.len().saturating_add(PREFIX)
    }

    /// Appends it, behind its prefix, to `out`.
    pub(crate) fn put_to(&self, out: &mut BytesMut) {
        out.put_u8(self.flag);
        out.put_u32(self.len);
        out.extend_from_slice(&self.payload);
    }
}

/// Decodes messages from chunks. Holds at most one chunk and one partial message.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    compression: Option<Compression>,
    chunk: Bytes,
    prefix: BytesMut,
    body: Option<Body>,
}

/// A message of which the prefix is complete.
#[derive(Debug)]
struct Body {
    len: usize,
    compression: Option<Compression>,
    read: BytesMut,
}

impl Body {
    fn received(&self, bytes: Bytes) -> Received {
        Received { bytes, compression: self.compression }
    }
}

impl Decoder {
    /// Returns the bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.chunk.len().saturating_add(self.body.as_ref().map_or(0, |body| body.read.len()))
    }

    /// Returns a decoder of messages that may be compressed with `compression`.
    pub(crate) fn new(limit: usize, compression: Option<Compression>) -> Self {
        Self { limit, compression, chunk: Bytes::new(), prefix: BytesMut::new(), body: None }
    }

    /// Adds the next chunk. To be called when [`next`](Self::next) has returned `None`.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Returns the next message; `None` if a further chunk is needed.
    pub(crate) fn next(&mut self) -> Result<Option<Received>, MessageError> {
        let Some(mut body) = self.take_body()? else { return Ok(None) };
        let missing = body.len.saturating_sub(body.read.len());
        let Some(rest) = self.chunk.get(..missing) else {
            body.read.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            self.body = Some(body);
            return Ok(None);
        };
        if body.read.is_empty() && missing >= SHORT {
            return Ok(Some(body.received(self.chunk.split_to(missing))));
        }
        let bytes = if body.read.is_empty() {
            Bytes::copy_from_slice(rest)
        } else {
            body.read.extend_from_slice(rest);
            std::mem::take(&mut body.read).freeze()
        };
        self.consume(missing);
        Ok(Some(body.received(bytes)))
    }

    /// Removes the first `len` bytes of the chunk. A consumed chunk does not keep the read buffer alive.
    fn consume(&mut self, len: usize) {
        if len < self.chunk.len() {
            self.chunk.advance(len);
        } else {
            self.chunk = Bytes::new();
        }
    }

    /// Returns the message whose prefix is complete.
    fn take_body(&mut self) -> Result<Option<Body>, MessageError> {
        if let Some(body) = self.body.take() {
            return Ok(Some(body));
        }
        let missing = PREFIX.saturating_sub(self.prefix.len()).min(self.chunk.len());
        self.prefix.extend_from_slice(self.chunk.get(..missing).unwrap_or_default());
        self.consume(missing);
        let Some(&[flag, a, b, c, d]) = self.prefix.first_chunk::<PREFIX>() else { return Ok(None) };
        self.prefix.clear();
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if len > self.limit {
            return Err(MessageError::TooLarge { len, limit: self.limit });
        }
        // Flags other than 1 are treated as 0, as in Kitex.
        let compression = match flag {
            1 => Some(self.compression.ok_or(MessageError::Compressed)?),
            _ => None,
        };
        Ok(Some(Body { len, compression, read: BytesMut::new() }))
    }

    /// Checks that the end of the stream is the end of a message.
    pub(crate) fn finish(&self) -> Result<(), MessageError> {
        match self.body.is_some() || !self.prefix.is_empty() || self.chunk.has_remaining() {
            true => Err(MessageError::Truncated),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Result<Vec<Bytes>, MessageError> {
        let mut found = Vec::new();
        for chunk in bytes.chunks(step) {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(message) = decoder.next()? {
                found.push(message.open(decoder.limit)?);
            }
        }
        decoder.finish().map(|()| found)
    }

    fn bytes_of(payload: &[u8], compression: Option<Compression>) -> BytesMut {
        let mut bytes = BytesMut::new();
        encode(payload, 1 << 20, compression).unwrap().put_to(&mut bytes);
        bytes
    }

    #[test]
    fn decoder_finds_messages_in_chunks_of_any_size() {
        let payloads = [&b"hello"[..], b"", &[7; 20_000], b"x"];
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| bytes_of(payload, None)).collect();
        for step in [1, 2, 5, 7, 16_384, bytes.len()] {
            let found = decode(&mut Decoder::new(1 << 20, None), &bytes, step).unwrap();
            assert_eq!(found, payloads, "{step}");
        }
    }

    #[test]
    fn a_chunk_that_is_consumed_is_released() {
        let rows = [(SHORT - 1, true), (SHORT, false)];
        for (len, is_copied) in rows {
            let mut decoder = Decoder::new(1 << 20, None);
            let chunk = bytes_of(&vec![7; len], None).freeze();
            decoder.push(chunk.clone());
            let message = decoder.next().unwrap().unwrap();
            assert_eq!((message.bytes.len(), decoder.held()), (len, 0));
            assert_eq!(chunk.is_unique(), is_copied, "{len}");
            drop(message);
            assert!(chunk.is_unique(), "{len}");
        }
    }

    #[test]
    fn decoder_refuses_malformed_messages() {
        let rows: [(&[u8], &str); 5] = [
            (&[0, 0, 0, 0, 11], "received message larger than max (11 vs. 10)"),
            (&[0, 0xff, 0xff, 0xff, 0xff], "received message larger than max (4294967295 vs. 10)"),
            (&[1, 0, 0, 0, 1, 7], "kitex compression algorithm not found"),
            (&[0, 0, 0], "unexpected EOF"),
            (&[0, 0, 0, 0, 2, 7], "unexpected EOF"),
        ];
        for (bytes, text) in rows {
            for step in [1, 3, bytes.len()] {
                let error = decode(&mut Decoder::new(10, None), bytes, step).unwrap_err();
                assert_eq!(error.to_string(), text, "{bytes:?}");
            }
        }
        assert_eq!(
            decode(&mut Decoder::new(10, None), &[2, 0, 0, 0, 1, 7], 6).unwrap(),
            [&[7][..]],
            "an unknown flag"
        );
        assert!(encode(&[0; 11], 10, None).is_err());
    }

    #[test]
    fn a_compressed_message_is_opened_within_the_limit() {
        let gzip = Some(Compression::Gzip);
        let payloads = [&b""[..], b"hello", &[7; 20_000]];
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| bytes_of(payload, gzip)).collect();
        assert!(bytes.len() < 200, "{}", bytes.len());
        for step in [1, 7, bytes.len()] {
            let found = decode(&mut Decoder::new(1 << 20, gzip), &bytes, step).unwrap();
            assert_eq!(found, payloads, "{step}");
        }
        let error = decode(&mut Decoder::new(19_999, gzip), &bytes, bytes.len()).unwrap_err();
        assert_eq!(error, MessageError::Bomb { limit: 19_999 });
        assert!(encode(&[0; 11], 10, gzip).is_err(), "the limit is one of payloads");
    }

    #[test]
    fn max_message_size_holds_before_the_bytes_arrive() {
        let mut decoder = Decoder::new(1 << 30, None);
        decoder.push(Bytes::from_static(&[0, 0x3f, 0xff, 0xff, 0xff, 1]));
        assert_eq!(decoder.next(), Ok(None));
        let capacity = decoder.body.map(|body| body.read.capacity()).unwrap();
        assert!(capacity < 1024, "{capacity}: a length is no reason to allocate");
    }
}
