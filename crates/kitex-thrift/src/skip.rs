//! Skips values that no field has. Keeps nothing of what it skips.

use crate::{Decoded, Reader, reader::Field, ttype::Type};

impl Reader {
    /// Passes over a field.
    ///
    /// # Errors
    ///
    /// Its bytes are no value of its type.
    pub fn skip(&mut self, field: Field) -> Decoded<()> {
        self.skip_value(field.ttype)
    }

    /// Passes over one value under the same checks as if it were decoded, the depth counted on from where we
    /// are.
    pub(crate) fn skip_value(&mut self, ttype: Type) -> Decoded<()> {
        if let Some(size) = ttype.fixed_size() {
            return self.pass(size);
        }
        match ttype {
            Type::Binary => {
                let length = self.length()?;
                self.pass(length)
            }
            Type::Struct => self.skip_struct(),
            Type::Map => self.skip_map(),
            // A list and a set differ in nothing but their code.
            _ => self.skip_list(),
        }
    }

    fn skip_struct(&mut self) -> Decoded<()> {
        self.begin()?;
        while let Some(field) = self.next_field()? {
            self.skip(field)?;
        }
        Ok(())
    }

    fn skip_list(&mut self) -> Decoded<()> {
        self.enter()?;
        let element = self.element()?;
        let count = self.elements(element.map(Type::smallest_size))?;
        if let Ok(element) = element {
            self.skip_elements(element, count)?;
        }
        self.leave();
        Ok(())
    }

    /// Passes over `count` elements of a list or set.
    pub(crate) fn skip_elements(&mut self, element: Type, count: usize) -> Decoded<()> {
        match element.fixed_size() {
            Some(size) => self.pass(count.saturating_mul(size)),
            None => (0..count).try_for_each(|_| self.skip_value(element)),
        }
    }

    fn skip_map(&mut self) -> Decoded<()> {
        self.enter()?;
        let (key, value) = (self.element()?, self.element()?);
        let count = self.entries(key, value)?;
        if let (Ok(key), Ok(value)) = (key, value) {
            self.skip_entries(key, value, count)?;
        }
        self.leave();
        Ok(())
    }

    /// Passes over `count` entries of a map.
    pub(crate) fn skip_entries(&mut self, key: Type, value: Type, count: usize) -> Decoded<()> {
        for _ in 0..count {
            self.skip_value(key)?;
            self.skip_value(value)?;
        }
        Ok(())
    }

    /// Returns the number of entries of a map.
    pub(crate) fn entries(&mut self, key: Result<Type, u8>, value: Result<Type, u8>) -> Decoded<usize> {
        let smallest = match (key, value) {
            (Ok(key), Ok(value)) => Ok(key.smallest_size().saturating_add(value.smallest_size())),
            (Err(code), _) | (_, Err(code)) => Err(code),
        };
        self.elements(smallest)
    }
}
