//! How the fields of a struct are read and written. Owns what becomes of a field of another type, and of an absent value.

use crate::{Decoded, Reader, Wire, Writer, reader::Field, ttype::Type};

impl Reader {
    /// Reads a field that always has a value, and returns whether it was read: one of another type is skipped. The slot's
    /// content, from a default of the IDL or an earlier field of this number, is replaced.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid value.
    #[inline]
    pub fn value<T: Wire>(&mut self, field: Field, slot: &mut T) -> Decoded<bool> {
        if field.ttype != T::TYPE {
            return self.skip(field).map(|()| false);
        }
        if T::TYPE == Type::Struct {
            slot.reset();
        }
        let read = slot.read(self);
        self.located(field, read).map(|()| true)
    }

    /// Reads a field that may have no value. One of another type is skipped.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid value.
    #[inline]
    pub fn optional<T: Wire>(&mut self, field: Field, slot: &mut Option<T>) -> Decoded<()> {
        if field.ttype != T::TYPE {
            return self.skip(field);
        }
        self.charge(T::HEAP)?;
        let value = slot.insert(T::fresh());
        let read = value.read(self);
        if value.is_absent() {
            *slot = None;
        }
        self.located(field, read)
    }

    /// Reads a field that may have no value and has a default: a union without a variant is a value then, since none
    /// would be written as the default. A field of another type is skipped.
    ///
    /// # Errors
    ///
    /// The bytes are no such value.
    #[inline]
    pub fn or_default<T: Wire>(&mut self, field: Field, slot: &mut Option<T>) -> Decoded<()> {
        if field.ttype != T::TYPE {
            return self.skip(field);
        }
        self.charge(T::HEAP)?;
        let read = slot.insert(T::fresh()).read(self);
        self.located(field, read)
    }

    /// Reads what a union or a result may hold into it. A field of another type is skipped.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid value.
    #[inline]
    pub fn variant<T: Wire, U>(
        &mut self,
        field: Field,
        slot: &mut U,
        make: impl FnOnce(T) -> U,
    ) -> Decoded<()> {
        if field.ttype != T::TYPE {
            return self.skip(field);
        }
        self.charge(T::HEAP)?;
        let mut value = T::fresh();
        let read = value.read(self);
        self.located(field, read)?;
        *slot = make(value);
        Ok(())
    }
}

impl Writer<'_> {
    /// Writes a field.
    #[inline]
    pub fn field<T: Wire>(&mut self, id: i16, value: &T) {
        let [high, low] = id.to_be_bytes();
        self.array([T::TYPE.code(), high, low]);
        value.write(self);
    }

    /// Writes a field that has a value.
    #[inline]
    pub fn optional<T: Wire>(&mut self, id: i16, value: &Option<T>) {
        if let Some(value) = value {
            self.field(id, value);
        }
    }
}

/// Returns the size of a field.
#[inline]
pub fn field_size<T: Wire>(value: &T) -> usize {
    value.size().saturating_add(3)
}

/// Returns the size of a field that may have no value.
#[inline]
pub fn optional_size<T: Wire>(value: &Option<T>) -> usize {
    value.as_ref().map_or(0, field_size)
}
