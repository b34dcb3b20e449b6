//! The wire form of an error: a Thrift binary message of type EXCEPTION with a
//! TApplicationException {1: string message, 2: i32 type}. Owns the message envelope too, since an
//! error cannot be written without one. Every read is checked against what remains.

use std::fmt;

use thiserror::Error;

use crate::text::{bounded, write_escaped};
use crate::{Code, ErrorKind};

/// The type of a Thrift message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    /// A call that expects a response.
    Call = 1,
    /// A response.
    Reply = 2,
    /// A response that is an [`ApplicationException`].
    Exception = 3,
    /// A call without a response.
    Oneway = 4,
}

impl MessageKind {
    const fn from_u8(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Exception,
            4 => Self::Oneway,
            _ => return None,
        })
    }
}

/// Why bytes are not a Thrift message, or not an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExceptionError {
    /// A length exceeds the remaining bytes, or bytes are missing.
    #[error("thrift message is cut short")]
    Truncated,
    /// The first bytes are not those of a strict binary message of version 1.
    #[error("no thrift message: version is {found:#06x}, not 0x8001")]
    Version {
        /// The first two bytes.
        found: u16,
    },
    /// The message type is not 1 to 4.
    #[error("unknown thrift message type {found}")]
    UnknownKind {
        /// The type's byte.
        found: u8,
    },
    /// The message is not an exception.
    #[error("thrift message type want Exception, but got {0:?}")]
    NotAnException(MessageKind),
    /// A field has an unknown type.
    #[error("unknown thrift type {0}")]
    UnknownType(u8),
    /// Structs are nested deeper than 64 levels.
    #[error("thrift value is nested deeper than 64")]
    TooDeep,
}

/// The envelope before the struct of a Thrift message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageBegin<'a> {
    /// The method's name as the peer wrote it.
    pub name: &'a [u8],
    /// The type of the message.
    pub kind: MessageKind,
    /// The sequence number, which a response repeats.
    pub sequence_id: i32,
}

impl<'a> MessageBegin<'a> {
    /// Appends the envelope of a strict binary message.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x80, 0x01, 0x00, self.kind as u8]);
        put_string(out, self.name);
        out.extend_from_slice(&self.sequence_id.to_be_bytes());
    }

    /// Reads the envelope of a strict binary message, and returns it with the bytes after it.
    ///
    /// # Errors
    /// [`ExceptionError`] if the bytes are not such a message.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ExceptionError> {
        let mut input = Input(bytes);
        let version = u16::from_be_bytes(input.take()?);
        if version != 0x8001 {
            return Err(ExceptionError::Version { found: version });
        }
        let [_, kind] = input.take()?;
        let kind = MessageKind::from_u8(kind).ok_or(ExceptionError::UnknownKind { found: kind })?;
        let begin = Self { name: input.string()?, kind, sequence_id: i32::from_be_bytes(input.take()?) };
        Ok((begin, input.0))
    }
}

/// A Thrift TApplicationException: the wire form of a handler's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationException {
    /// The type: 0 to 10 are defined by Thrift; the code of a stream error is used here too.
    pub type_id: i32,
    /// The text; if empty, the type's own text is shown.
    pub message: String,
}

impl ApplicationException {
    /// The method does not exist.
    pub const UNKNOWN_METHOD: i32 = 1;
    /// The response has neither a result nor an exception.
    pub const MISSING_RESULT: i32 = 5;
    /// The handler failed.
    pub const INTERNAL_ERROR: i32 = 6;
    /// The message cannot be decoded.
    pub const PROTOCOL_ERROR: i32 = 7;
    /// The service does not exist (a number defined by Kitex).
    pub const UNKNOWN_SERVICE: i32 = 20;

    /// Returns an exception with this type and text.
    pub fn new(type_id: i32, message: impl Into<String>) -> Self {
        Self { type_id, message: message.into() }
    }

    /// Returns the exception of a handler's error: its text after `biz error: `.
    pub fn failed(error: &dyn std::error::Error) -> Self {
        Self::new(Self::INTERNAL_ERROR, format!("biz error: {error}"))
    }

    /// Returns the exception of a handler's panic. `called` is `Service.Method`.
    pub fn panicked(called: &str, text: &str) -> Self {
        let sentence = "please check the panic at the server side";
        let text = format!("panic: [happened in biz handler, method={called}, {sentence}] {text}");
        Self::new(Self::INTERNAL_ERROR, text)
    }

    /// Returns the exception of a call of an unknown method.
    pub fn unknown_method(method: &str) -> Self {
        Self::new(Self::UNKNOWN_METHOD, format!("unknown method {method}"))
    }

    /// Returns the exception of a call of an unknown service.
    pub fn unknown_service(service: &str) -> Self {
        Self::new(Self::UNKNOWN_SERVICE, format!("unknown service {service}"))
    }

    /// Returns the kind: of a stream error's code that of the code, else what the type says, and for a failure the text.
    pub fn kind(&self) -> ErrorKind {
        match self.type_id {
            Self::UNKNOWN_METHOD | Self::UNKNOWN_SERVICE => ErrorKind::Unimplemented,
            // A message of an unknown type, a wrong name, a bad sequence, no result, a message that cannot be read.
            2..=5 | Self::PROTOCOL_ERROR..=9 => ErrorKind::Protocol,
            code if Code::ALL.contains(&Code::new(code)) => Code::new(code).kind(),
            _ => ErrorKind::of_failure(&self.text()),
        }
    }

    /// Returns the message of type EXCEPTION, named after `method`.
    pub fn encode(&self, method: &str, sequence_id: i32) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len().saturating_add(method.len()).saturating_add(32));
        let name = method.as_bytes();
        MessageBegin { name, kind: MessageKind::Exception, sequence_id }.write(&mut out);
        self.put_body(&mut out);
        out
    }

    /// Returns only the struct, for a separate envelope.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len().saturating_add(16));
        self.put_body(&mut out);
        out
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[STRING, 0, 1]);
        put_string(out, self.message.as_bytes());
        out.extend_from_slice(&[I32, 0, 2]);
        out.extend_from_slice(&self.type_id.to_be_bytes());
        out.push(STOP);
    }

    /// Reads a whole message of type EXCEPTION.
    ///
    /// # Errors
    /// [`ExceptionError`] if the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ExceptionError> {
        match MessageBegin::read(bytes)? {
            (MessageBegin { kind: MessageKind::Exception, .. }, body) => Self::decode_body(body),
            (MessageBegin { kind, .. }, _) => Err(ExceptionError::NotAnException(kind)),
        }
    }

    /// Reads the struct after an envelope.
    ///
    /// # Errors
    /// [`ExceptionError`] if the bytes are something else.
    pub fn decode_body(body: &[u8]) -> Result<Self, ExceptionError> {
        let mut exception = Self::new(0, "");
        let mut input = Input(body);
        loop {
            match input.field()? {
                None => return Ok(exception),
                Some((STRING, 1)) => exception.message = bounded(input.string()?),
                Some((I32, 2)) => exception.type_id = i32::from_be_bytes(input.take()?),
                Some((wire_type, _)) => input.skip(wire_type, MAX_DEPTH)?,
            }
        }
    }

    /// Returns the text, or the type's own text if there is none.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        if !self.message.is_empty() {
            return (&*self.message).into();
        }
        let sentence = match self.type_id {
            0 => "unknown application exception",
            1 => "unknown method",
            2 => "invalid message type",
            3 => "wrong method name",
            4 => "bad sequence ID",
            5 => "missing result",
            6 => "unknown internal error",
            7 => "unknown protocol error",
            8 => "Invalid transform",
            9 => "Invalid protocol",
            10 => "Unsupported client type",
            other => return format!("unknown exception type [{other}]").into(),
        };
        sentence.into()
    }
}

impl fmt::Display for ApplicationException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.text())
    }
}

impl std::error::Error for ApplicationException {}

const STOP: u8 = 0;
const I32: u8 = 8;
const STRING: u8 = 11;
const MAX_DEPTH: u8 = 64;

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ExceptionError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ExceptionError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], ExceptionError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ExceptionError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn len(&mut self) -> Result<usize, ExceptionError> {
        usize::try_from(i32::from_be_bytes(self.take()?)).map_err(|_| ExceptionError::Truncated)
    }

    fn string(&mut self) -> Result<&'a [u8], ExceptionError> {
        let len = self.len()?;
        self.bytes(len)
    }

    fn field(&mut self) -> Result<Option<(u8, i16)>, ExceptionError> {
        match self.take()? {
            [STOP] => Ok(None),
            [wire_type] => Ok(Some((wire_type, i16::from_be_bytes(self.take()?)))),
        }
    }

    fn skip(&mut self, wire_type: u8, depth: u8) -> Result<(), ExceptionError> {
        let depth = depth.checked_sub(1).ok_or(ExceptionError::TooDeep)?;
        match wire_type {
            2 | 3 => self.bytes(1).map(drop),
            6 => self.bytes(2).map(drop),
            I32 => self.bytes(4).map(drop),
            4 | 10 => self.bytes(8).map(drop),
            STRING => self.string().map(drop),
            12 => {
                while let Some((field_type, _)) = self.field()? {
                    self.skip(field_type, depth)?;
                }
                Ok(())
            }
            13 => {
                let [key, value] = self.take()?;
                self.skip_elements(&[key, value], depth)
            }
            14 | 15 => {
                let [element] = self.take()?;
                self.skip_elements(&[element], depth)
            }
            other => Err(ExceptionError::UnknownType(other)),
        }
    }

    /// Every element takes a byte at least, so the bytes bound the loop.
    fn skip_elements(&mut self, types: &[u8], depth: u8) -> Result<(), ExceptionError> {
        let count = self.len()?;
        if count > self.0.len() {
            return Err(ExceptionError::Truncated);
        }
        for _ in 0..count {
            for wire_type in types {
                self.skip(*wire_type, depth)?;
            }
        }
        Ok(())
    }
}
