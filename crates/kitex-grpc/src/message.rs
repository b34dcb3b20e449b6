//! Messages in the bytes of DATA frames: five bytes of prefix, then the payload. Owns the limit of a message: a
//! message beyond it is refused before its bytes are kept.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kerrors::GrpcStatus;
use thiserror::Error;

/// Bytes before a payload: a flag and the length.
pub(crate) const PREFIX: usize = 5;
/// A payload that is smaller is copied, so that it does not keep the buffer that was read.
const SHORT: usize = 8 * 1024;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum MessageError {
    #[error("received message larger than max ({len} vs. {limit})")]
    TooLarge { len: usize, limit: usize },
    #[error("kitex compression algorithm not found")]
    Compressed,
    #[error("unexpected EOF")]
    Truncated,
}

impl From<MessageError> for GrpcStatus {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::TooLarge { .. } => Self::new(Self::RESOURCE_EXHAUSTED, error.to_string()),
            MessageError::Compressed | MessageError::Truncated => Self::protocol(error.to_string()),
        }
    }
}

/// Returns `payload` behind its prefix.
///
/// # Errors
/// It is larger than `limit`.
pub(crate) fn encode(payload: &[u8], limit: usize) -> Result<Bytes, MessageError> {
    let too_large = MessageError::TooLarge { len: payload.len(), limit };
    let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= limit).ok_or(too_large)?;
    let mut out = BytesMut::with_capacity(payload.len().saturating_add(PREFIX));
    out.put_u8(0);
    out.put_u32(len);
    out.extend_from_slice(payload);
    Ok(out.freeze())
}

/// Finds messages in chunks. Holds one chunk and the beginning of one message at most.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    chunk: Bytes,
    prefix: BytesMut,
    body: Option<Body>,
}

/// A message of which the prefix is complete.
#[derive(Debug)]
struct Body {
    len: usize,
    read: BytesMut,
}

impl Decoder {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, chunk: Bytes::new(), prefix: BytesMut::new(), body: None }
    }

    /// Adds the next chunk. To be called when [`next`](Self::next) has returned `None`.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Returns the next message; `None` if a further chunk is needed.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, MessageError> {
        let Some(mut body) = self.take_body()? else { return Ok(None) };
        let missing = body.len.saturating_sub(body.read.len());
        if missing > self.chunk.len() {
            body.read.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            self.body = Some(body);
            return Ok(None);
        }
        let rest = self.chunk.split_to(missing);
        if body.read.is_empty() {
            return Ok(Some(if rest.len() < SHORT { Bytes::copy_from_slice(&rest) } else { rest }));
        }
        body.read.extend_from_slice(&rest);
        Ok(Some(body.read.freeze()))
    }

    /// Returns the message whose prefix is complete.
    fn take_body(&mut self) -> Result<Option<Body>, MessageError> {
        if let Some(body) = self.body.take() {
            return Ok(Some(body));
        }
        let missing = PREFIX.saturating_sub(self.prefix.len()).min(self.chunk.len());
        self.prefix.extend_from_slice(&self.chunk.split_to(missing));
        let Some(&[flag, a, b, c, d]) = self.prefix.first_chunk::<PREFIX>() else { return Ok(None) };
        self.prefix.clear();
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if len > self.limit {
            return Err(MessageError::TooLarge { len, limit: self.limit });
        }
        // Other flags than 1 are read as 0, as Kitex does.
        if flag == 1 {
            return Err(MessageError::Compressed);
        }
        Ok(Some(Body { len, read: BytesMut::new() }))
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
                found.push(message);
            }
        }
        decoder.finish().map(|()| found)
    }

    #[test]
    fn messages_are_found_in_chunks_of_any_size() {
        let payloads = [&b"hello"[..], b"", &[7; 20_000], b"x"];
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| encode(payload, 1 << 20).unwrap()).collect();
        for step in [1, 2, 5, 7, 16_384, bytes.len()] {
            let found = decode(&mut Decoder::new(1 << 20), &bytes, step).unwrap();
            assert_eq!(found, payloads, "{step}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let rows: [(&[u8], &str); 5] = [
            (&[0, 0, 0, 0, 11], "received message larger than max (11 vs. 10)"),
            (&[0, 0xff, 0xff, 0xff, 0xff], "received message larger than max (4294967295 vs. 10)"),
            (&[1, 0, 0, 0, 1, 7], "kitex compression algorithm not found"),
            (&[0, 0, 0], "unexpected EOF"),
            (&[0, 0, 0, 0, 2, 7], "unexpected EOF"),
        ];
        for (bytes, text) in rows {
            for step in [1, 3, bytes.len()] {
                let error = decode(&mut Decoder::new(10), bytes, step).unwrap_err();
                assert_eq!(error.to_string(), text, "{bytes:?}");
            }
        }
        assert_eq!(
            decode(&mut Decoder::new(10), &[2, 0, 0, 0, 1, 7], 6).unwrap(),
            [&[7][..]],
            "an unknown flag"
        );
        assert!(encode(&[0; 11], 10).is_err());
    }

    #[test]
    fn a_limit_holds_before_the_bytes_arrive() {
        let mut decoder = Decoder::new(1 << 30);
        decoder.push(Bytes::from_static(&[0, 0x3f, 0xff, 0xff, 0xff, 1]));
        assert_eq!(decoder.next(), Ok(None));
        let capacity = decoder.body.map(|body| body.read.capacity()).unwrap();
        assert!(capacity < 1024, "{capacity}: a length is no reason to allocate");
    }
}
