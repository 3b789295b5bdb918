//! Which mutant is switched on, and the tests that are asked about it.
//!
//! Part of no program: `tests/mutants` builds it beside changed copies of the crates.
#![feature(test)]
#![allow(unsafe_code, missing_docs)]

extern crate test;

pub mod methods;
mod runner;

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

pub use runner::runner;

/// More than any run has.
pub(crate) const MUTANTS_MAX: usize = 1 << 16;
/// Nothing is changed, and every place that could be is noted.
pub(crate) const RECORD: u32 = u32::MAX;

pub(crate) static ACTIVE: AtomicU32 = AtomicU32::new(0);
pub(crate) static REACHED: [AtomicU8; MUTANTS_MAX] = [const { AtomicU8::new(0) }; MUTANTS_MAX];

/// Whether this mutant is switched on. Number 0 never is.
#[inline]
pub fn m(id: u32) -> bool {
    let active = ACTIVE.load(Relaxed);
    active != 0 && asked(active, id)
}

#[cold]
fn asked(active: u32, id: u32) -> bool {
    if active == RECORD {
        if let Some(reached) = REACHED.get(id as usize) {
            reached.store(1, Relaxed);
        }
        return false;
    }
    active == id
}

/// A condition, with a mutant in which it always holds and one in which it never does.
#[inline]
pub fn cond(always: u32, never: u32, holds: bool) -> bool {
    m(always) | (!m(never) & holds)
}

/// Numbers that can be one more or one less.
pub trait Number: Copy {
    #[must_use]
    fn up(self) -> Self;
    #[must_use]
    fn down(self) -> Self;
}

/// A constant, one more or one less.
#[inline]
pub fn near<N: Number>(more: u32, less: u32, number: N) -> N {
    if m(more) {
        number.up()
    } else if m(less) {
        number.down()
    } else {
        number
    }
}

macro_rules! numbers {
    ($($kind:ident)*) => {$(
        impl Number for $kind {
            #[inline]
            fn up(self) -> Self { self.wrapping_add(1) }
            #[inline]
            fn down(self) -> Self { self.wrapping_sub(1) }
        }
    )*};
}
numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
