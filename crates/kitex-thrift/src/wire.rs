//! The encoding of types. Owns simple values; containers are in `containers`.

use bytes::Bytes;
use faststr::FastStr;

use crate::ttype::Type;
use crate::{Decoded, Reader, Writer};

/// A type of generated code. For generated code.
///
/// Values are read in place: a returned value would be on the stack once per level.
pub trait Wire: Default {
    /// The type on the wire.
    const TYPE: Type;

    /// Bytes that a default takes on the heap.
    const HEAP: usize = 0;

    /// Returns the number of bytes that [`write`](Self::write) writes.
    fn size(&self) -> usize;

    /// Writes the value.
    fn write(&self, to: &mut Writer<'_>);

    /// Reads a value into this one, which is a default. What is left after an error is of no use.
    ///
    /// # Errors
    ///
    /// The reader keeps the error.
    fn read(&mut self, from: &mut Reader) -> Decoded<()>;

    /// Returns whether a field that may be absent is so with this value: a union without a variant.
    #[inline]
    fn is_absent(&self) -> bool {
        false
    }

    /// Makes it a default again. A function of its own, so that nothing of it stays on the stack.
    #[inline(never)]
    fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns a default, made where nothing of it stays on the stack.
    #[inline]
    fn fresh() -> Self {
        Self::default()
    }
}

macro_rules! numbers {
    ($($type:ty: $name:ident, $size:literal;)*) => {$(
        impl Wire for $type {
            const TYPE: Type = Type::$name;

            #[inline]
            fn size(&self) -> usize {
                $size
            }

            #[inline]
            fn write(&self, to: &mut Writer<'_>) {
                to.array(self.to_be_bytes());
            }

            #[inline]
            fn read(&mut self, from: &mut Reader) -> Decoded<()> {
                *self = <$type>::from_be_bytes(from.array()?);
                Ok(())
            }
        }
    )*};
}

numbers! {
    i8: I8, 1;
    i16: I16, 2;
    i32: I32, 4;
    i64: I64, 8;
    f64: Double, 8;
}

impl Wire for bool {
    const TYPE: Type = Type::Bool;

    #[inline]
    fn size(&self) -> usize {
        1
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        to.array([u8::from(*self)]);
    }

    /// Reads 1 as true and any other byte as false, as Kitex does.
    #[inline]
    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        let [byte] = from.array()?;
        *self = byte == 1;
        Ok(())
    }
}

impl Wire for [u8; 16] {
    const TYPE: Type = Type::Uuid;

    #[inline]
    fn size(&self) -> usize {
        16
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        to.array(*self);
    }

    #[inline]
    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        *self = from.array()?;
        Ok(())
    }
}

macro_rules! texts {
    ($($type:ty: |$from:ident| $read:expr;)*) => {$(
        impl Wire for $type {
            const TYPE: Type = Type::Binary;

            #[inline]
            fn size(&self) -> usize {
                self.len().saturating_add(4)
            }

            #[inline]
            fn write(&self, to: &mut Writer<'_>) {
                to.bytes(self.as_ref());
            }

            #[inline]
            fn read(&mut self, $from: &mut Reader) -> Decoded<()> {
                *self = $read;
                Ok(())
            }
        }
    )*};
}

texts! {
    FastStr: |from| from.text()?;
    String: |from| from.text()?.to_string();
    Bytes: |from| from.binary()?;
}

impl Wire for Vec<u8> {
    const TYPE: Type = Type::Binary;

    #[inline]
    fn size(&self) -> usize {
        self.len().saturating_add(4)
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        to.bytes(self);
    }

    #[inline]
    fn read(&mut self, from: &mut Reader) -> Decoded<()> {
        *self = Self::from(from.binary()?);
        Ok(())
    }
}
