//! Sets and maps whose elements or keys cannot be hashed. Owns their interface, that of a `Vec`.

use std::ops::{Deref, DerefMut};

/// A set in the order in which it was received, including duplicates: Kitex stores a set as a slice.
///
/// Used for a `set` of the IDL whose elements cannot be hashed: doubles, maps, other sets, and structs that contain
/// these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct VecSet<T>(pub Vec<T>);

/// A map in the order in which it was received, including duplicates.
///
/// Used for a `map` of the IDL whose keys cannot be hashed: doubles, maps, sets, and structs that contain these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct VecMap<K, V>(pub Vec<(K, V)>);

impl<K: PartialEq, V> VecMap<K, V> {
    /// Returns the value of the first entry with this key, by a linear search.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

macro_rules! like_vec {
    ($name:ident<$($parameter:ident),*>, $item:ty) => {
        impl<$($parameter),*> Default for $name<$($parameter),*> {
            fn default() -> Self {
                Self(Vec::new())
            }
        }

        impl<$($parameter),*> Deref for $name<$($parameter),*> {
            type Target = Vec<$item>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl<$($parameter),*> DerefMut for $name<$($parameter),*> {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl<$($parameter),*> From<Vec<$item>> for $name<$($parameter),*> {
            fn from(items: Vec<$item>) -> Self {
                Self(items)
            }
        }

        impl<const N: usize, $($parameter),*> From<[$item; N]> for $name<$($parameter),*> {
            fn from(items: [$item; N]) -> Self {
                Self(items.into())
            }
        }

        impl<$($parameter),*> FromIterator<$item> for $name<$($parameter),*> {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                Self(items.into_iter().collect())
            }
        }

        impl<$($parameter),*> Extend<$item> for $name<$($parameter),*> {
            fn extend<I: IntoIterator<Item = $item>>(&mut self, items: I) {
                self.0.extend(items);
            }
        }

        impl<$($parameter),*> IntoIterator for $name<$($parameter),*> {
            type Item = $item;
            type IntoIter = std::vec::IntoIter<$item>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.into_iter()
            }
        }

        impl<'a, $($parameter),*> IntoIterator for &'a $name<$($parameter),*> {
            type Item = &'a $item;
            type IntoIter = std::slice::Iter<'a, $item>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }
    };
}

like_vec!(VecSet<T>, T);
like_vec!(VecMap<K, V>, (K, V));
