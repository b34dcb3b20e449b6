//! A cursor over one payload that trusts no length. Owns the checks of lengths, depth, stack and memory; knows no struct
//! and no container.

use bytes::{Buf, Bytes};
use faststr::FastStr;

use crate::{DecodeError, Fault, Limits, ttype::Type};

/// Up to this length a string or binary is copied, above it is a slice of the payload.
///
/// A slice that is kept pins its whole frame, which may be megabytes, and a copy of this size costs about
/// what counting the reference does. So what handlers tend to keep (keys, ids, names) never pins, and what is
/// worth sharing is shared.
pub(crate) const COPIED: usize = 512;

/// The stack that decoding may take. Threads of tokio have 2 MiB, and a level takes what the largest decoder
/// keeps there, without optimisation several KiB.
const STACK: usize = 512 << 10;

/// Reading has ended with a fault, which the reader keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The result of reading.
pub type Decoded<T> = Result<T, Refused>;

/// The head of a field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its number in the IDL.
    pub id: i16,
    pub(crate) ttype: Type,
}

/// Reads one thrift binary payload and checks every length against what remains.
///
/// After a refusal nothing can be read any more.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    total: usize,
    depth: usize,
    depth_limit: usize,
    /// Where the stack was at the first level.
    stack: usize,
    memory: usize,
    memory_limit: usize,
    fault: Option<Fault>,
    /// The fields that lead to the fault, innermost first.
    path: Vec<i16>,
}

impl Reader {
    /// Returns a reader of `payload` within `limits`.
    pub fn new(payload: Bytes, limits: &Limits) -> Self {
        let memory = limits.memory(payload.len());
        Self {
            total: payload.len(),
            rest: payload,
            depth: 0,
            depth_limit: limits.depth,
            stack: 0,
            memory,
            memory_limit: memory,
            fault: None,
            path: Vec::new(),
        }
    }

    /// Returns what is left to read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[cold]
    pub(crate) fn into_error(self, name: &str) -> DecodeError {
        DecodeError::new(self.fault.unwrap_or(Fault::Empty), name, &self.path)
    }

    /// Begins a struct: one level down.
    ///
    /// # Errors
    ///
    /// It is nested too deep.
    #[inline]
    pub fn begin(&mut self) -> Decoded<()> {
        self.enter()
    }

    /// Returns the next field of a struct. `None` at its end, which is one level up.
    ///
    /// # Errors
    ///
    /// There is no field and no end.
    #[inline]
    pub fn next_field(&mut self) -> Decoded<Option<Field>> {
        let at = self.at();
        let [code] = self.array()?;
        if code == 0 {
            self.leave();
            return Ok(None);
        }
        let Some(ttype) = Type::of(code) else { return Err(self.refuse(Fault::UnknownType { at, code })) };
        Ok(Some(Field { id: i16::from_be_bytes(self.array()?), ttype }))
    }

    /// Refuses a struct that lacks one of its required fields.
    ///
    /// # Errors
    ///
    /// [`Fault::MissingField`] for the first that is not set.
    #[inline]
    pub fn require(&mut self, set: &[bool], names: &[&'static str]) -> Decoded<()> {
        match set.iter().zip(names).find(|(set, _)| !**set) {
            None => Ok(()),
            Some((_, field)) => Err(self.refuse(Fault::MissingField { field })),
        }
    }

    /// Refuses a result that holds nothing.
    #[cold]
    pub fn missing_result(&mut self) -> Refused {
        self.refuse(Fault::MissingResult)
    }

    #[inline]
    pub(crate) fn located(&mut self, field: Field, read: Decoded<()>) -> Decoded<()> {
        if read.is_err() {
            self.locate(field.id);
        }
        read
    }

    #[cold]
    fn locate(&mut self, id: i16) {
        // A longer path would not be readable.
        if self.path.len() < 16 {
            self.path.push(id);
        }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// Ends reading: the first fault is the one that is reported, and nothing is left to read after it.
    #[cold]
    pub(crate) fn refuse(&mut self, fault: Fault) -> Refused {
        self.rest = Bytes::new();
        self.fault.get_or_insert(fault);
        Refused
    }

    /// Returns the next `N` bytes, as all numbers are read.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
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
    pub(crate) fn pass(&mut self, length: usize) -> Decoded<()> {
        if length > self.rest.len() {
            return Err(self.truncated(length));
        }
        self.rest.advance(length);
        Ok(())
    }

    /// Returns the length of a string or binary, which is there in full.
    #[inline]
    pub(crate) fn length(&mut self) -> Decoded<usize> {
        let length = self.count()?;
        if length > self.rest.len() {
            return Err(self.truncated(length));
        }
        Ok(length)
    }

    #[inline]
    pub(crate) fn binary(&mut self) -> Decoded<Bytes> {
        let length = self.length()?;
        if length > COPIED {
            return Ok(self.rest.split_to(length));
        }
        let copy = Bytes::copy_from_slice(self.rest.get(..length).unwrap_or_default());
        self.rest.advance(length);
        Ok(copy)
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Decoded<FastStr> {
        let at = self.at();
        let length = self.length()?;
        let text = if length > COPIED {
            FastStr::from_bytes(self.rest.split_to(length)).map_err(drop)
        } else {
            let slice = self.rest.get(..length).unwrap_or_default();
            let text = std::str::from_utf8(slice).map(FastStr::new).map_err(drop);
            self.rest.advance(length);
            text
        };
        text.map_err(|()| self.refuse(Fault::NotUtf8 { at: at.saturating_add(4) }))
    }

    /// Returns the type of a container's elements; `Err` for a code that is none, which only an empty one may have:
    /// some peers write zero there.
    #[inline]
    pub(crate) fn element(&mut self) -> Decoded<Result<Type, u8>> {
        let [code] = self.array()?;
        match Type::of(code) {
            Some(ttype) => Ok(Ok(ttype)),
            None if code <= 1 => Ok(Err(code)),
            None => {
                let at = self.at().saturating_sub(1);
                Err(self.refuse(Fault::UnknownType { at, code }))
            }
        }
    }

    /// Returns the number of elements, each of `smallest` bytes at least, that the rest of the payload can really
    /// hold.
    #[inline]
    pub(crate) fn elements(&mut self, smallest: Result<usize, u8>) -> Decoded<usize> {
        let at = self.at();
        let count = self.count()?;
        let needed = match smallest {
            _ if count == 0 => 0,
            Ok(smallest) => count.saturating_mul(smallest),
            Err(code) => return Err(self.refuse(Fault::UnknownType { at, code })),
        };
        if needed > self.rest.len() {
            let left = self.rest.len();
            return Err(self.refuse(Fault::Overcount { at, count, left }));
        }
        Ok(count)
    }

    /// Enters a struct or a container: one level down.
    ///
    /// Levels alone do not bound the stack, as a level may take any amount; so it is measured.
    #[inline]
    pub(crate) fn enter(&mut self) -> Decoded<()> {
        let here = 0_u8;
        let stack = std::ptr::from_ref(&here).addr();
        if self.depth == 0 {
            self.stack = stack;
        }
        if self.depth >= self.depth_limit || stack.abs_diff(self.stack) > STACK {
            return Err(self.too_deep());
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// Leaves a struct or a container: one level up.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    #[cold]
    fn too_deep(&mut self) -> Refused {
        let (at, depth, limit) = (self.at(), self.depth, self.depth_limit);
        self.refuse(match depth < limit {
            true => Fault::TooMuchStack { at, depth },
            false => Fault::TooDeep { at, limit },
        })
    }

    /// Takes `bytes` of memory from the budget.
    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) -> Decoded<()> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => {
                let (at, limit) = (self.at(), self.memory_limit);
                Err(self.refuse(Fault::TooMuchMemory { at, limit }))
            }
        }
    }

    #[inline]
    fn count(&mut self) -> Decoded<usize> {
        let length = i32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| {
            let at = self.at().saturating_sub(4);
            self.refuse(Fault::NegativeLength { at, length })
        })
    }

    #[cold]
    fn truncated(&mut self, wanted: usize) -> Refused {
        let (at, left) = (self.at(), self.rest.len());
        self.refuse(Fault::Truncated { at, wanted, left })
    }
}
