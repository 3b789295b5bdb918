//! Methods that a mutant replaces by a neighbour, or robs of their predicate. Called by their new
//! names in changed source, so that types are inferred as they were.

use crate::m;

pub trait ZmNumber: Sized + Copy {
    fn zm_saturating_add(self, id: u32, other: Self) -> Self;
    fn zm_saturating_sub(self, id: u32, other: Self) -> Self;
    fn zm_checked_add(self, id: u32, other: Self) -> Option<Self>;
    fn zm_checked_sub(self, id: u32, other: Self) -> Option<Self>;
}

macro_rules! numbers {
    ($($kind:ident)*) => {$(
        impl ZmNumber for $kind {
            fn zm_saturating_add(self, id: u32, other: Self) -> Self {
                if m(id) { self.saturating_sub(other) } else { self.saturating_add(other) }
            }
            fn zm_saturating_sub(self, id: u32, other: Self) -> Self {
                if m(id) { self.saturating_add(other) } else { self.saturating_sub(other) }
            }
            fn zm_checked_add(self, id: u32, other: Self) -> Option<Self> {
                if m(id) { self.checked_sub(other) } else { self.checked_add(other) }
            }
            fn zm_checked_sub(self, id: u32, other: Self) -> Option<Self> {
                if m(id) { self.checked_add(other) } else { self.checked_sub(other) }
            }
        }
    )*};
}
numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

pub trait ZmOrd: Ord + Sized {
    fn zm_min(self, id: u32, other: Self) -> Self {
        if m(id) {
            self.max(other)
        } else {
            self.min(other)
        }
    }
    fn zm_max(self, id: u32, other: Self) -> Self {
        if m(id) {
            self.min(other)
        } else {
            self.max(other)
        }
    }
}
impl<T: Ord> ZmOrd for T {}

pub trait ZmIterator: Iterator {
    fn zm_any<P: FnMut(Self::Item) -> bool>(&mut self, id: u32, predicate: P) -> bool
    where
        Self: Sized,
    {
        if m(id) {
            self.all(predicate)
        } else {
            self.any(predicate)
        }
    }
    fn zm_all<P: FnMut(Self::Item) -> bool>(&mut self, id: u32, predicate: P) -> bool
    where
        Self: Sized,
    {
        if m(id) {
            self.any(predicate)
        } else {
            self.all(predicate)
        }
    }
    fn zm_find<P: FnMut(&Self::Item) -> bool>(
        &mut self,
        id: u32,
        mut predicate: P,
    ) -> Option<Self::Item>
    where
        Self: Sized,
    {
        self.find(|item| m(id) || predicate(item))
    }
    fn zm_filter<P: FnMut(&Self::Item) -> bool>(
        self,
        id: u32,
        mut predicate: P,
    ) -> std::iter::Filter<Self, impl FnMut(&Self::Item) -> bool>
    where
        Self: Sized,
    {
        self.filter(move |item| m(id) || predicate(item))
    }
}
impl<I: Iterator> ZmIterator for I {}

pub trait ZmOption<T>: Sized {
    fn zm_filter<P: FnOnce(&T) -> bool>(self, id: u32, predicate: P) -> Option<T>;
    fn zm_is_some_and(self, id: u32, predicate: impl FnOnce(T) -> bool) -> bool;
    fn zm_is_none_or(self, id: u32, predicate: impl FnOnce(T) -> bool) -> bool;
}
impl<T> ZmOption<T> for Option<T> {
    fn zm_filter<P: FnOnce(&T) -> bool>(self, id: u32, predicate: P) -> Option<T> {
        self.filter(|value| m(id) || predicate(value))
    }
    fn zm_is_some_and(self, id: u32, predicate: impl FnOnce(T) -> bool) -> bool {
        self.is_some_and(|value| m(id) || predicate(value))
    }
    fn zm_is_none_or(self, id: u32, predicate: impl FnOnce(T) -> bool) -> bool {
        self.is_none_or(|value| m(id) || predicate(value))
    }
}
