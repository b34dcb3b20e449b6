//! Walks the blocks of a header: string pairs, int pairs, the ACL token, padding. Owns the
//! shape of a block; interprets no key except the two by which every streaming frame is routed.

use crate::error::DecodeError;
use crate::key;

const PADDING: u8 = 0x00;
pub(crate) const STRING_BLOCK: u8 = 0x01;
pub(crate) const INT_BLOCK: u8 = 0x10;
pub(crate) const ACL_BLOCK: u8 = 0x11;

/// One pair of a header, of any block.
pub(crate) enum Pair<'a> {
    Int(u16, &'a [u8]),
    String(&'a [u8], &'a [u8]),
}

/// Reads pair by pair. Ends at the first error, so a checked header yields the same pairs again.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<'a> {
    rest: &'a [u8],
    block: u8,
    left: u16,
}

impl<'a> Pairs<'a> {
    pub(crate) const fn new(blocks: &'a [u8]) -> Self {
        Self { rest: blocks, block: PADDING, left: 0 }
    }

    /// Returns the next pair; `None` at the end of the header.
    pub(crate) fn read(&mut self) -> Result<Option<Pair<'a>>, DecodeError> {
        while self.left == 0 {
            match self.rest.split_first() {
                None => return Ok(None),
                Some((&PADDING, rest)) => self.rest = rest,
                Some((&ACL_BLOCK, rest)) => {
                    self.rest = rest;
                    return self.take_value().map(|token| Some(Pair::String(key::ACL_TOKEN, token)));
                }
                Some((&(id @ STRING_BLOCK | id @ INT_BLOCK), rest)) => {
                    self.rest = rest;
                    self.block = id;
                    self.left = self.take_u16()?;
                }
                Some((&id, _)) => return Err(DecodeError::UnknownBlock { id }),
            }
        }
        self.left = self.left.saturating_sub(1);
        self.take_pair().map(Some)
    }

    fn take_pair(&mut self) -> Result<Pair<'a>, DecodeError> {
        if self.block == INT_BLOCK {
            Ok(Pair::Int(self.take_u16()?, self.take_value()?))
        } else {
            Ok(Pair::String(self.take_value()?, self.take_value()?))
        }
    }

    fn take_u16(&mut self) -> Result<u16, DecodeError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(DecodeError::BlockOverrun)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*value))
    }

    fn take_value(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(self.take_u16()?);
        let (value, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::BlockOverrun)?;
        self.rest = rest;
        Ok(value)
    }
}

/// Int pairs of a checked header.
#[derive(Clone, Debug)]
pub struct Ints<'a>(Pairs<'a>);

/// String pairs of a checked header.
#[derive(Clone, Debug)]
pub struct Strings<'a>(Pairs<'a>);

pub(crate) const fn ints(blocks: &[u8]) -> Ints<'_> {
    Ints(Pairs::new(blocks))
}

pub(crate) const fn strings(blocks: &[u8]) -> Strings<'_> {
    Strings(Pairs::new(blocks))
}

/// Returns the frame type and the method of a checked header.
pub(crate) fn streaming_keys(blocks: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    ints(blocks).fold((None, None), |found, (int_key, value)| match int_key {
        key::FRAME_TYPE => (Some(value), found.1),
        key::TO_METHOD => (found.0, Some(value)),
        _ => found,
    })
}

impl<'a> Iterator for Ints<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.read().ok().flatten()? {
                Pair::Int(int_key, value) => return Some((int_key, value)),
                Pair::String(..) => {}
            }
        }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.read().ok().flatten()? {
                Pair::String(string_key, value) => return Some((string_key, value)),
                Pair::Int(..) => {}
            }
        }
    }
}
