//! Passes over values that no field wants. Owns the size of every type; keeps nothing of what it passes.

use pilota::thrift::{TInputProtocol, TType, ThriftException};

use crate::Reader;

impl Reader {
    /// Passes over one value under the same checks as if it were decoded, the depth counted on from where we
    /// are.
    pub(crate) fn skip_value(&mut self, ttype: TType) -> Result<(), ThriftException> {
        if let Some(size) = fixed_size(ttype) {
            return self.pass(size);
        }
        match ttype {
            TType::Binary => {
                let length = self.length()?;
                self.pass(length)
            }
            TType::Struct => self.skip_struct(),
            TType::Map => self.skip_map(),
            // A list and a set differ in nothing but their code. What is left has no size, and `elements` let
            // none in.
            _ => self.skip_list(),
        }
    }

    fn skip_struct(&mut self) -> Result<(), ThriftException> {
        self.read_struct_begin()?;
        loop {
            match self.read_field_begin()?.field_type {
                TType::Stop => break,
                ttype => self.skip_value(ttype)?,
            }
        }
        self.read_struct_end()
    }

    fn skip_list(&mut self) -> Result<(), ThriftException> {
        let list = self.read_list_begin()?;
        match fixed_size(list.element_type) {
            Some(size) => self.pass(list.size.saturating_mul(size))?,
            None => (0..list.size).try_for_each(|_| self.skip_value(list.element_type))?,
        }
        self.read_list_end()
    }

    fn skip_map(&mut self) -> Result<(), ThriftException> {
        let map = self.read_map_begin()?;
        for _ in 0..map.size {
            self.skip_value(map.key_type)?;
            self.skip_value(map.value_type)?;
        }
        self.read_map_end()
    }
}

/// The fewest bytes that a value of the type takes. `None` for what can be no element.
pub(crate) fn smallest_size(ttype: TType) -> Option<usize> {
    match ttype {
        TType::Stop | TType::Void => None,
        TType::Struct => Some(1),
        TType::Binary => Some(4),
        TType::List | TType::Set => Some(5),
        TType::Map => Some(6),
        fixed => fixed_size(fixed),
    }
}

fn fixed_size(ttype: TType) -> Option<usize> {
    match ttype {
        TType::Bool | TType::I8 => Some(1),
        TType::I16 => Some(2),
        TType::I32 => Some(4),
        TType::I64 | TType::Double => Some(8),
        TType::Uuid => Some(16),
        _ => None,
    }
}
