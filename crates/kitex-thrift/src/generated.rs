//! Items used by generated code. Not part of the public interface: they change together with `kitex-codegen`.

pub use std::collections::{BTreeMap, BTreeSet};

pub use crate::{__impl_enum as impl_enum, __impl_message as impl_message};
pub use crate::{
    AHashMap, AHashSet, Bytes, FastStr, VecMap, VecSet,
    fields::{field_size, optional_size},
    payload::Message,
    reader::{Decoded, Field, Reader, Refused},
    ttype::Type,
    wire::Wire,
    writer::Writer,
};

/// An enum of an IDL: a number with names for some values.
#[doc(hidden)]
#[macro_export]
macro_rules! __impl_enum {
    ($type:ident $(, ($name:ident, $text:literal))* $(,)?) => {
        impl $type {
            /// Returns the number on the wire.
            pub const fn inner(&self) -> i32 {
                self.0
            }

            /// Returns the value of a number that the IDL knows.
            pub const fn try_from_i32(value: i32) -> ::core::option::Option<Self> {
                $(if value == Self::$name.0 {
                    return ::core::option::Option::Some(Self::$name);
                })*
                let _ = value;
                ::core::option::Option::None
            }

            /// Returns the name in the IDL, if it knows the number.
            pub const fn name(&self) -> ::core::option::Option<&'static str> {
                $(if self.0 == Self::$name.0 {
                    return ::core::option::Option::Some($text);
                })*
                ::core::option::Option::None
            }
        }

        impl ::core::fmt::Display for $type {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self.name() {
                    ::core::option::Option::Some(name) => f.write_str(name),
                    ::core::option::Option::None => ::core::fmt::Display::fmt(&self.0, f),
                }
            }
        }

        impl ::core::convert::From<i32> for $type {
            fn from(value: i32) -> Self {
                Self(value)
            }
        }

        impl ::core::convert::From<$type> for i32 {
            fn from(value: $type) -> i32 {
                value.0
            }
        }

        impl $crate::generated::Wire for $type {
            const TYPE: $crate::generated::Type = $crate::generated::Type::I32;

            #[inline]
            fn size(&self) -> usize {
                4
            }

            #[inline]
            fn write(&self, to: &mut $crate::generated::Writer<'_>) {
                $crate::generated::Wire::write(&self.0, to);
            }

            #[inline]
            fn read(
                &mut self,
                from: &mut $crate::generated::Reader,
            ) -> $crate::generated::Decoded<()> {
                $crate::generated::Wire::read(&mut self.0, from)
            }
        }
    };
}

/// Types that may be the whole of a payload.
#[doc(hidden)]
#[macro_export]
macro_rules! __impl_message {
    ($($type:ident),* $(,)?) => {$(
        impl $crate::generated::Message for $type {
            const NAME: &'static str = ::core::stringify!($type);

            #[inline]
            fn size(&self) -> usize {
                $crate::generated::Wire::size(self)
            }

            #[inline]
            fn write(&self, to: &mut $crate::generated::Writer<'_>) {
                $crate::generated::Wire::write(self, to);
            }

            #[inline]
            fn read(from: &mut $crate::generated::Reader) -> $crate::generated::Decoded<Self> {
                let mut value = <Self as ::core::default::Default>::default();
                $crate::generated::Wire::read(&mut value, from)?;
                ::core::result::Result::Ok(value)
            }
        }
    )*};
}
