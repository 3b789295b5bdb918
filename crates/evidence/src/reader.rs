//! A cursor over received bytes that checks the length before every read.
//!
//! Never copies, never panics, never reads past the end; a short input is a [`Malformed`] under
//! the check id that the parser gave.

use crate::{Malformed, What};

/// Reads forward through a byte slice and knows the offset in the whole input.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
    check: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader from the start of `bytes`; shortness is reported under `check`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], check: &'static str) -> Self {
        Self::at_offset(bytes, 0, check)
    }

    /// A reader over a part of an input that begins at `base` in the whole.
    #[must_use]
    pub const fn at_offset(bytes: &'a [u8], base: usize, check: &'static str) -> Self {
        Self {
            bytes,
            at: 0,
            base,
            check,
        }
    }

    /// The offset of the next byte in the whole input.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.base.saturating_add(self.at)
    }

    /// The check id under which shortness is reported.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        self.check
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// Whether every byte has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// All bytes that are left, without moving.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let short = What::TooShort {
            wanted: length,
            found: self.left(),
        };
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        match (taken, end) {
            (Some(taken), Some(end)) => {
                self.at = end;
                Ok(taken)
            }
            _ => Err(Malformed::new(self.check, self.offset(), short)),
        }
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let at = self.offset();
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| {
            Malformed::new(
                self.check,
                at,
                What::TooShort {
                    wanted: N,
                    found: taken.len(),
                },
            )
        })
    }

    /// The next `length` bytes as a reader of their own, under the same check id.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer are left.
    pub fn part(&mut self, length: usize) -> Result<Self, Malformed> {
        let base = self.offset();
        Ok(Self::at_offset(self.take(length)?, base, self.check))
    }

    /// One byte.
    ///
    /// # Errors
    /// [`What::TooShort`] at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    /// A little-endian 16-bit number.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer bytes are left.
    pub fn u16_le(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian 32-bit number.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer bytes are left.
    pub fn u32_le(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian 64-bit number.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer bytes are left.
    pub fn u64_le(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A big-endian 16-bit number.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer bytes are left.
    pub fn u16_be(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian 32-bit number.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer bytes are left.
    pub fn u32_be(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// A big-endian 64-bit number.
    ///
    /// # Errors
    /// [`What::TooShort`] when fewer bytes are left.
    pub fn u64_be(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// `length` bytes that must all be zero.
    ///
    /// # Errors
    /// [`What::Reserved`] under `check` at the first byte that is not zero, [`What::TooShort`]
    /// when fewer are left.
    pub fn zeros(
        &mut self,
        length: usize,
        check: &'static str,
        field: &'static str,
    ) -> Result<(), Malformed> {
        let at = self.offset();
        let range = self.take(length)?;
        match range.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(index) => Err(Malformed::new(
                check,
                at.saturating_add(index),
                What::Reserved { field },
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_is_refused_and_does_not_move() {
        let mut reader = Reader::at_offset(&[1, 2, 3], 100, "test.short");
        assert_eq!(reader.u16_le(), Ok(0x0201));
        assert_eq!(
            reader.u16_le(),
            Err(Malformed::new(
                "test.short",
                102,
                What::TooShort {
                    wanted: 2,
                    found: 1
                }
            ))
        );
        assert_eq!(reader.u8(), Ok(3));
    }

    #[test]
    fn a_length_near_the_largest_number_does_not_wrap() {
        let mut reader = Reader::new(&[0; 4], "test.short");
        assert_eq!(reader.u8(), Ok(0));
        assert!(reader.take(usize::MAX).is_err());
    }

    #[test]
    fn a_reserved_range_names_its_first_byte_that_is_not_zero() {
        let mut reader = Reader::new(&[0, 0, 7, 0], "test.short");
        assert_eq!(
            reader.zeros(4, "test.reserved", "reserved at 0"),
            Err(Malformed::new(
                "test.reserved",
                2,
                What::Reserved {
                    field: "reserved at 0"
                }
            ))
        );
    }
}
