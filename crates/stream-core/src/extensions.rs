//! Values that travel with a call inside this process, one of each type: what an observer or a layer leaves for the
//! handler, and for what is called under the handler's context.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// Values that travel with a call inside this process, one of each type. Cheap to clone; a clone that is changed
/// leaves the other as it is. Nothing of it is sent to a peer.
///
/// ```
/// use stream_core::Extensions;
///
/// #[derive(Debug, PartialEq)]
/// struct User(&'static str);
///
/// let mut extensions = Extensions::default();
/// extensions.insert(User("ann"));
/// assert_eq!(extensions.get::<User>(), Some(&User("ann")));
/// assert_eq!(extensions.get::<String>(), None);
/// ```
#[derive(Clone, Default)]
pub struct Extensions(Option<Arc<Vec<Entry>>>);

/// A value and its type. A list, since there are few.
type Entry = (TypeId, Arc<dyn Any + Send + Sync>);

impl Extensions {
    /// Sets the value of type `T`, in place of an earlier one.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        let (id, value) = (TypeId::of::<T>(), Arc::new(value) as Arc<dyn Any + Send + Sync>);
        let entries = Arc::make_mut(self.0.get_or_insert_default());
        match entries.iter_mut().find(|(found, _)| *found == id) {
            Some(entry) => entry.1 = value,
            None => entries.push((id, value)),
        }
    }

    /// Returns the value of type `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let (_, value) = self.0.as_ref()?.iter().find(|(found, _)| *found == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// Returns whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// How many there are: values may be secrets.
impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({})", self.0.as_ref().map_or(0, |entries| entries.len()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn extensions_hold_one_value_of_each_type_and_clones_are_apart() {
        let mut first = Extensions::default();
        assert!(first.is_empty());
        first.insert(1_u8);
        first.insert("text");
        let mut second = first.clone();
        second.insert(2_u8);
        assert_eq!(
            (first.get::<u8>(), first.get::<&str>(), first.get::<u16>()),
            (Some(&1), Some(&"text"), None)
        );
        assert_eq!((second.get::<u8>(), second.get::<&str>()), (Some(&2), Some(&"text")));
        assert_eq!(format!("{second:?}"), "Extensions(2)");
    }
}
