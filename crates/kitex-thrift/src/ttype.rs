//! The types of thrift binary, and the sizes of their values.

/// A type of thrift binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Type {
    Bool = 2,
    I8 = 3,
    Double = 4,
    I16 = 6,
    I32 = 8,
    I64 = 10,
    Binary = 11,
    Struct = 12,
    Map = 13,
    Set = 14,
    List = 15,
    Uuid = 16,
}

impl Type {
    /// Its code on the wire.
    #[inline]
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    #[inline]
    pub(crate) const fn of(code: u8) -> Option<Self> {
        Some(match code {
            2 => Self::Bool,
            3 => Self::I8,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::Binary,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            16 => Self::Uuid,
            _ => return None,
        })
    }

    /// Returns the size that every value of the type has.
    pub(crate) const fn fixed_size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::I8 => Some(1),
            Self::I16 => Some(2),
            Self::I32 => Some(4),
            Self::I64 | Self::Double => Some(8),
            Self::Uuid => Some(16),
            _ => None,
        }
    }

    /// Returns the fewest bytes that a value of the type takes.
    pub(crate) const fn smallest_size(self) -> usize {
        match (self, self.fixed_size()) {
            (_, Some(size)) => size,
            (Self::Binary, _) => 4,
            (Self::List | Self::Set, _) => 5,
            (Self::Map, _) => 6,
            _ => 1,
        }
    }
}
