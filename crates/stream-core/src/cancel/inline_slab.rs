//! A slab that stores its first `N` values inline, without an allocation.

use std::array;

use slab::Slab;

pub(super) struct InlineSlab<T, const N: usize> {
    first: [Option<T>; N],
    /// Boxed: a scope has two of these, and there are as many scopes as streams.
    more: Option<Box<Slab<T>>>,
}

impl<T, const N: usize> Default for InlineSlab<T, N> {
    fn default() -> Self {
        Self { first: array::from_fn(|_| None), more: None }
    }
}

impl<T, const N: usize> InlineSlab<T, N> {
    /// Returns the key that the next [`insert`](Self::insert) will return.
    pub(super) fn vacant_key(&self) -> usize {
        let more = || self.more.as_ref().map_or(0, |more| more.vacant_key()).saturating_add(N);
        self.first.iter().position(Option::is_none).unwrap_or_else(more)
    }

    #[inline]
    pub(super) fn insert(&mut self, member: T) -> usize {
        match self.first.iter_mut().enumerate().find(|(_, place)| place.is_none()) {
            Some((key, place)) => {
                *place = Some(member);
                key
            }
            None => self.more.get_or_insert_default().insert(member).saturating_add(N),
        }
    }

    pub(super) fn get(&self, key: usize) -> Option<&T> {
        match self.first.get(key) {
            Some(place) => place.as_ref(),
            None => self.more.as_ref()?.get(key.checked_sub(N)?),
        }
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        match self.first.get_mut(key) {
            Some(place) => place.as_mut(),
            None => self.more.as_mut()?.get_mut(key.checked_sub(N)?),
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, key: usize) -> Option<T> {
        match self.first.get_mut(key) {
            Some(place) => place.take(),
            None => self.more.as_mut()?.try_remove(key.checked_sub(N)?),
        }
    }

    pub(super) fn len(&self) -> usize {
        let first = self.first.iter().flatten().count();
        first.saturating_add(self.more.as_ref().map_or(0, |more| more.len()))
    }

    /// Passes every value to `take`, in no order.
    #[inline]
    pub(super) fn for_each(self, mut take: impl FnMut(T)) {
        self.first.into_iter().flatten().for_each(&mut take);
        let Some(more) = self.more else { return };
        for (_, member) in *more {
            take(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InlineSlab;

    #[test]
    fn inline_slab_finds_each_value_by_its_key_until_it_is_removed() {
        let mut slab: InlineSlab<i32, 2> = InlineSlab::default();
        let keys: Vec<usize> = (0..4)
            .map(|number| {
                let vacant = slab.vacant_key();
                assert_eq!(slab.insert(number), vacant);
                vacant
            })
            .collect();
        assert_eq!(keys, [0, 1, 2, 3]);
        assert_eq!((slab.get(2), slab.get(4)), (Some(&2), None));
        assert_eq!((slab.remove(0), slab.remove(0), slab.remove(2)), (Some(0), None, Some(2)));
        assert_eq!((slab.insert(5), slab.insert(6)), (0, 2));
        *slab.get_mut(3).expect("value is present") = 7;
        assert_eq!(slab.len(), 4);
        let mut left = Vec::new();
        slab.for_each(|member| left.push(member));
        left.sort_unstable();
        assert_eq!(left, [1, 5, 6, 7]);
    }
}
