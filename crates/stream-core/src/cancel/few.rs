//! A slab for those who are nearly always few: the first `N` need no memory of their own.

use std::array;

use slab::Slab;

pub(super) struct Few<T, const N: usize> {
    first: [Option<T>; N],
    /// Boxed: a scope has two of these, and there are as many scopes as streams.
    more: Option<Box<Slab<T>>>,
}

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { first: array::from_fn(|_| None), more: None }
    }
}

impl<T, const N: usize> Few<T, N> {
    /// The key that the next [`insert`](Self::insert) gives.
    pub(super) fn vacant_key(&self) -> usize {
        let more = || self.more.as_ref().map_or(0, |more| more.vacant_key()).saturating_add(N);
        self.first.iter().position(Option::is_none).unwrap_or_else(more)
    }

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

    /// Gives away every member, in no order.
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
    use super::Few;

    #[test]
    fn each_member_is_found_by_its_key_until_it_is_removed() {
        let mut few: Few<i32, 2> = Few::default();
        let keys: Vec<usize> = (0..4)
            .map(|number| {
                let vacant = few.vacant_key();
                assert_eq!(few.insert(number), vacant);
                vacant
            })
            .collect();
        assert_eq!(keys, [0, 1, 2, 3]);
        assert_eq!((few.get(2), few.get(4)), (Some(&2), None));
        assert_eq!((few.remove(0), few.remove(0), few.remove(2)), (Some(0), None, Some(2)));
        assert_eq!((few.insert(5), few.insert(6)), (0, 2));
        *few.get_mut(3).expect("is there") = 7;
        assert_eq!(few.len(), 4);
        let mut left = Vec::new();
        few.for_each(|member| left.push(member));
        left.sort_unstable();
        assert_eq!(left, [1, 5, 6, 7]);
    }
}
