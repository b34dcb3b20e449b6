//! Pilota's reading traits on the checked reader. Owns which call reads what; every check is the reader's.

use bytes::Bytes;
use pilota::{
    FastStr,
    thrift::{
        ProtocolExceptionKind, TFieldIdentifier, TInputProtocol, TLengthProtocol, TListIdentifier,
        TMapIdentifier, TMessageIdentifier, TSetIdentifier, TStructIdentifier, TType, ThriftException,
        new_protocol_exception,
    },
};

use crate::{Fault, Reader, skip::smallest_size};

impl TInputProtocol for Reader {
    type Buf = Bytes;

    /// Refuses: a payload has no message around it.
    fn read_message_begin(&mut self) -> Result<TMessageIdentifier, ThriftException> {
        Err(not_implemented("a payload has no envelope: take it off first"))
    }

    fn read_message_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    #[inline]
    fn read_struct_begin(&mut self) -> Result<Option<TStructIdentifier>, ThriftException> {
        self.enter().map(|()| None)
    }

    #[inline]
    fn read_struct_end(&mut self) -> Result<(), ThriftException> {
        self.leave();
        Ok(())
    }

    #[inline]
    fn read_field_begin(&mut self) -> Result<TFieldIdentifier, ThriftException> {
        let at = self.at();
        let field_type = self.ttype()?;
        let id = match field_type {
            TType::Stop => None,
            TType::Void => return Err(self.refuse(Fault::UnknownType { at, code: field_type.into() })),
            _ => Some(self.read_i16()?),
        };
        Ok(TFieldIdentifier { name: None, field_type, id })
    }

    #[inline]
    fn read_field_end(&mut self) -> Result<(), ThriftException> {
        Ok(())
    }

    /// One is true and all else false, as Kitex reads it.
    #[inline]
    fn read_bool(&mut self) -> Result<bool, ThriftException> {
        self.array().map(|[byte]| byte == 1)
    }

    #[inline]
    fn read_bytes(&mut self) -> Result<Bytes, ThriftException> {
        self.binary()
    }

    #[inline]
    fn read_uuid(&mut self) -> Result<[u8; 16], ThriftException> {
        self.array()
    }

    #[inline]
    fn read_i8(&mut self) -> Result<i8, ThriftException> {
        self.array().map(i8::from_be_bytes)
    }

    #[inline]
    fn read_i16(&mut self) -> Result<i16, ThriftException> {
        self.array().map(i16::from_be_bytes)
    }

    #[inline]
    fn read_i32(&mut self) -> Result<i32, ThriftException> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    fn read_i64(&mut self) -> Result<i64, ThriftException> {
        self.array().map(i64::from_be_bytes)
    }

    #[inline]
    fn read_double(&mut self) -> Result<f64, ThriftException> {
        self.array().map(f64::from_be_bytes)
    }

    fn read_string(&mut self) -> Result<String, ThriftException> {
        self.text().map(|text| text.to_string())
    }

    #[inline]
    fn read_faststr(&mut self) -> Result<FastStr, ThriftException> {
        self.text()
    }

    #[inline]
    fn read_list_begin(&mut self) -> Result<TListIdentifier, ThriftException> {
        self.enter()?;
        let element_type = self.ttype()?;
        let size = self.elements(smallest_size(element_type), element_type)?;
        Ok(TListIdentifier { element_type, size })
    }

    #[inline]
    fn read_list_end(&mut self) -> Result<(), ThriftException> {
        self.leave();
        Ok(())
    }

    #[inline]
    fn read_set_begin(&mut self) -> Result<TSetIdentifier, ThriftException> {
        let TListIdentifier { element_type, size } = self.read_list_begin()?;
        Ok(TSetIdentifier { element_type, size })
    }

    #[inline]
    fn read_set_end(&mut self) -> Result<(), ThriftException> {
        self.read_list_end()
    }

    fn read_map_begin(&mut self) -> Result<TMapIdentifier, ThriftException> {
        self.enter()?;
        let (key_type, value_type) = (self.ttype()?, self.ttype()?);
        let (key, value) = (smallest_size(key_type), smallest_size(value_type));
        let wrong = if key.is_none() { key_type } else { value_type };
        let size = self.elements(key.zip(value).map(|(key, value)| key.saturating_add(value)), wrong)?;
        Ok(TMapIdentifier { key_type, value_type, size })
    }

    #[inline]
    fn read_map_end(&mut self) -> Result<(), ThriftException> {
        self.leave();
        Ok(())
    }

    /// Passes over a value. The depth is the reader's own, so a chain of structs that ends in a skipped value
    /// is bounded as a whole.
    fn skip_till_depth(&mut self, ttype: TType, _depth: i8) -> Result<usize, ThriftException> {
        let before = self.remaining();
        self.skip_value(ttype)?;
        Ok(before.saturating_sub(self.remaining()))
    }

    #[inline]
    fn read_byte(&mut self) -> Result<u8, ThriftException> {
        self.array().map(|[byte]| byte)
    }

    fn read_bytes_vec(&mut self) -> Result<Vec<u8>, ThriftException> {
        self.binary().map(Vec::from)
    }

    /// Takes `len` bytes. Refuses a pointer, which only code with pilota's `keep_unknown_fields` passes: it
    /// would be read without a check.
    fn get_bytes(&mut self, pointer: Option<*const u8>, len: usize) -> Result<Bytes, ThriftException> {
        if pointer.is_some() {
            return Err(not_implemented(
                "unknown fields cannot be kept, generate without keep_unknown_fields",
            ));
        }
        let mut taken = self.window().clone();
        self.pass(len)?;
        taken.truncate(len);
        Ok(taken)
    }

    fn buf(&mut self) -> &mut Self::Buf {
        self.window()
    }
}

#[cold]
fn not_implemented(text: &'static str) -> ThriftException {
    new_protocol_exception(ProtocolExceptionKind::NotImplemented, text)
}

/// Lengths of what is not being read: decoding needs none, so all are zero.
macro_rules! no_length {
    ($($name:ident($($type:ty),*);)*) => {
        $(#[inline] fn $name(&mut self, $(_: $type),*) -> usize { 0 })*
    };
}

impl TLengthProtocol for Reader {
    /// Not a length but a charge: see `room` in [`generated`](crate::generated), which is the only caller.
    fn list_begin_len(&mut self, memory: TListIdentifier) -> usize {
        self.charge(memory.size);
        0
    }

    no_length! {
        message_begin_len(&TMessageIdentifier);
        message_end_len();
        struct_begin_len(&TStructIdentifier);
        struct_end_len();
        field_begin_len(TType, Option<i16>);
        field_end_len();
        field_stop_len();
        bool_len(bool);
        bytes_len(&[u8]);
        bytes_vec_len(&[u8]);
        byte_len(u8);
        uuid_len([u8; 16]);
        i8_len(i8);
        i16_len(i16);
        i32_len(i32);
        i64_len(i64);
        double_len(f64);
        string_len(&str);
        faststr_len(&FastStr);
        list_end_len();
        set_begin_len(TSetIdentifier);
        set_end_len();
        map_begin_len(TMapIdentifier);
        map_end_len();
    }
}
