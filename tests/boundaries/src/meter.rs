//! How much memory a reader takes: an allocator that counts, per thread, and a bound around a
//! call.
//!
//! A program that wants the bounds to count makes [`Counting`] its global allocator; without it
//! nothing is counted and every bound holds. What C code allocates is not seen; no reader of ours
//! calls any.

#![expect(
    unsafe_code,
    reason = "an allocator cannot be written without; it only adds up and passes on"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a tally of this thread's bytes.
#[derive(Debug)]
pub struct Counting;

fn changed(by: isize) {
    // A thread that is ending has no tally any more.
    let _ = HELD.try_with(|held| {
        let now = held.get() + by;
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

fn bytes(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        changed(bytes(layout.size()));
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        changed(-bytes(layout.size()));
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        changed(bytes(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may be held for a moment: that is the peak.
        changed(bytes(size));
        changed(-bytes(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs a reader and gives the most bytes that it held at once beyond what was held before.
pub fn peak<T>(read: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let out = read();
    let most = PEAK.with(Cell::get) - before;
    (out, usize::try_from(most).unwrap_or(0))
}

/// What a reader may hold at once: so many bytes for each byte of its input, and some more.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// For each byte of the input.
    pub per_byte: usize,
    /// Whatever the input.
    pub fixed: usize,
}

impl Bound {
    /// Nothing that grows, and nothing worth a mention: readers that borrow.
    pub const BORROWS: Self = Self::new(0, 1024);

    /// A tree of JSON (`zeuge_evidence::json`): half a million values of 32 bytes in lists that
    /// grow by doubling, 16 thousand objects, and the texts.
    pub const TREE: Self = Self::new(4, 48 * 1024 * 1024);

    /// A bound.
    #[must_use]
    pub const fn new(per_byte: usize, fixed: usize) -> Self {
        Self { per_byte, fixed }
    }
}

/// Runs a reader of `length` bytes.
///
/// # Panics
/// When it held more at once than its bound.
#[track_caller]
pub fn within<T>(bound: Bound, length: usize, read: impl FnOnce() -> T) -> T {
    let (out, most) = peak(read);
    let limit = length
        .saturating_mul(bound.per_byte)
        .saturating_add(bound.fixed);
    assert!(
        most <= limit,
        "{most} bytes were held to read {length}, the bound is {limit}"
    );
    out
}
