//! Assertions that cost far more than the reader that they watch: trees for people, second readings.
//!
//! A test asks them of every input. A fuzzer asks them of one input in so many, chosen by the
//! input's own bytes, so that a finding comes back: `cargo test` and a fuzzer's replay with
//! `ZEUGE_FUZZ_EVERY=1` ask all.

use std::sync::atomic::{AtomicU64, Ordering};

static ONE_IN: AtomicU64 = AtomicU64::new(1);

/// From now on dear assertions are made for one input in so many; 1 is all of them.
pub fn one_in(inputs: u64) {
    ONE_IN.store(inputs.max(1), Ordering::Relaxed);
}

/// Whether the dear assertions are made for this input.
pub(crate) fn chosen(bytes: &[u8]) -> bool {
    let inputs = ONE_IN.load(Ordering::Relaxed);
    inputs <= 1 || mixed(bytes).is_multiple_of(inputs)
}

/// A number in which every byte has a say. Nothing rests on it but which inputs are looked at
/// closely.
fn mixed(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut out = bytes.len() as u64;
    for word in words.iter().chain([&last]) {
        out = (out ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        out ^= out >> 29;
    }
    out ^ (out >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_input_in_sixteen_is_chosen_and_always_the_same_ones() {
        let of = |number: u32| mixed(&number.to_le_bytes());
        let chosen = (0..16_000)
            .filter(|number| of(*number).is_multiple_of(16))
            .count();
        assert!((800..1200).contains(&chosen), "{chosen} of 16000");
        assert_eq!(of(7), of(7));
        let long = [7; 100];
        let with = |at: usize| {
            let mut bytes = long;
            bytes[at] = 8;
            mixed(&bytes)
        };
        assert!((0..100).all(|at| with(at) != mixed(&long)));
        assert_ne!(mixed(&[0]), mixed(&[0, 0]));
    }
}
