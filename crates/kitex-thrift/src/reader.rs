//! A cursor over one payload that believes nothing. Owns every length, the depth and the memory budget; knows
//! no struct, no field and no pilota trait (those are in `protocol`).

use bytes::{Buf, Bytes};
use pilota::{
    FastStr,
    thrift::{ProtocolExceptionKind, TType, ThriftException, new_protocol_exception},
};

use crate::{Fault, Limits};

/// Up to this length a string or binary is copied, above it is a slice of the payload.
///
/// A slice that is kept pins its whole frame, which may be megabytes, and a copy of this size costs about
/// what counting the reference does. So what handlers tend to keep (keys, ids, names) never pins, and what is
/// worth sharing is shared.
pub(crate) const COPIED: usize = 512;

/// Reads one thrift binary payload and checks every length against what remains.
///
/// It is pilota's `TInputProtocol`, so any pilota struct decodes from it. After a refusal nothing can be read
/// any more.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    total: usize,
    depth: usize,
    depth_limit: usize,
    memory: usize,
    memory_limit: usize,
    refusal: Option<Fault>,
}

impl Reader {
    /// A reader of `payload` within `limits`.
    pub fn new(payload: Bytes, limits: &Limits) -> Self {
        let memory = limits.memory(payload.len());
        Self {
            total: payload.len(),
            rest: payload,
            depth: 0,
            depth_limit: limits.depth,
            memory,
            memory_limit: memory,
            refusal: None,
        }
    }

    /// What is left to read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The refusal that ended reading, if one did.
    pub(crate) fn into_refusal(self) -> Option<Fault> {
        self.refusal
    }

    pub(crate) fn window(&mut self) -> &mut Bytes {
        &mut self.rest
    }

    pub(crate) fn at(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// Ends reading: the first fault is the one that is reported, and nothing is left to read after it.
    #[cold]
    pub(crate) fn refuse(&mut self, fault: Fault) -> ThriftException {
        self.rest = Bytes::new();
        let fault = self.refusal.get_or_insert(fault);
        new_protocol_exception(kind_of(fault), fault.to_string())
    }

    /// The next `N` bytes, as all numbers are read.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ThriftException> {
        match self.rest.first_chunk::<N>().copied() {
            Some(bytes) => {
                self.rest.advance(N);
                Ok(bytes)
            }
            None => Err(self.truncated(N)),
        }
    }

    /// Passes over `length` bytes.
    #[inline]
    pub(crate) fn pass(&mut self, length: usize) -> Result<(), ThriftException> {
        if length > self.rest.len() {
            return Err(self.truncated(length));
        }
        self.rest.advance(length);
        Ok(())
    }

    /// The length of a string or binary, which is there in full.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize, ThriftException> {
        let length = self.count()?;
        if length > self.rest.len() {
            return Err(self.truncated(length));
        }
        Ok(length)
    }

    #[inline]
    pub(crate) fn binary(&mut self) -> Result<Bytes, ThriftException> {
        let length = self.length()?;
        let slice = self.rest.split_to(length);
        Ok(if length <= COPIED { Bytes::copy_from_slice(&slice) } else { slice })
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<FastStr, ThriftException> {
        let at = self.at();
        let length = self.length()?;
        let slice = self.rest.split_to(length);
        let text = if length <= COPIED {
            std::str::from_utf8(&slice).map(FastStr::new).map_err(drop)
        } else {
            FastStr::from_bytes(slice).map_err(drop)
        };
        text.map_err(|()| self.refuse(Fault::NotUtf8 { at: at.saturating_add(4) }))
    }

    /// A type code. Zero is the stop of a struct, and what some peers write for the elements of an empty
    /// container.
    #[inline]
    pub(crate) fn ttype(&mut self) -> Result<TType, ThriftException> {
        let at = self.at();
        let [code] = self.array()?;
        TType::try_from(code).map_err(|_| self.refuse(Fault::UnknownType { at, code }))
    }

    /// The number of elements, each of `smallest` bytes at least, that the rest of the payload can really
    /// hold.
    #[inline]
    pub(crate) fn elements(
        &mut self,
        smallest: Option<usize>,
        code: TType,
    ) -> Result<usize, ThriftException> {
        let at = self.at();
        let count = self.count()?;
        let needed = match smallest {
            _ if count == 0 => 0,
            Some(smallest) => count.saturating_mul(smallest),
            None => return Err(self.refuse(Fault::UnknownType { at, code: code.into() })),
        };
        if needed > self.rest.len() {
            let left = self.rest.len();
            return Err(self.refuse(Fault::Overcount { at, count, left }));
        }
        Ok(count)
    }

    /// One level down: a struct or a container begins.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), ThriftException> {
        if self.depth >= self.depth_limit {
            let (at, limit) = (self.at(), self.depth_limit);
            return Err(self.refuse(Fault::TooDeep { at, limit }));
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// One level up: a struct or a container ends.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Takes `bytes` of memory from the budget. Ends reading if there are not as many.
    pub(crate) fn charge(&mut self, bytes: usize) {
        match self.memory.checked_sub(bytes) {
            Some(left) => self.memory = left,
            None => {
                let (at, limit) = (self.at(), self.memory_limit);
                self.refuse(Fault::TooMuchMemory { at, limit });
            }
        }
    }

    fn count(&mut self) -> Result<usize, ThriftException> {
        let at = self.at();
        let length = i32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.refuse(Fault::NegativeLength { at, length }))
    }

    #[cold]
    fn truncated(&mut self, wanted: usize) -> ThriftException {
        let (at, left) = (self.at(), self.rest.len());
        self.refuse(Fault::Truncated { at, wanted, left })
    }
}

fn kind_of(fault: &Fault) -> ProtocolExceptionKind {
    match fault {
        Fault::NegativeLength { .. } => ProtocolExceptionKind::NegativeSize,
        Fault::Overcount { .. } | Fault::TooMuchMemory { .. } => ProtocolExceptionKind::SizeLimit,
        Fault::TooDeep { .. } => ProtocolExceptionKind::DepthLimit,
        _ => ProtocolExceptionKind::InvalidData,
    }
}
