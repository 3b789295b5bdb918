//! The wire of Protocol Buffers, as far as messages of ours use it: numbers and byte strings with
//! their field numbers.
//!
//! Knows no message. Every length is checked before it is followed; refusals stand under the check
//! of the reader.

use crate::{Malformed, reader::Reader};

/// One value on the wire.
pub(crate) enum Value<'a> {
    /// Of any of the three widths.
    Number(u64),
    /// A byte string, a text or a message.
    Bytes(Reader<'a>),
}

/// One field of a message.
pub(crate) struct Field<'a> {
    /// Its number, from one.
    pub(crate) number: u64,
    /// Where it stands in the whole input.
    pub(crate) at: usize,
    /// Its value.
    pub(crate) value: Value<'a>,
}

/// The next field; `None` at the end of the message.
pub(crate) fn field<'a>(reader: &mut Reader<'a>) -> Result<Option<Field<'a>>, Malformed> {
    if reader.is_empty() {
        return Ok(None);
    }
    let (at, check) = (reader.offset(), reader.check());
    let refuse = |because| Err(Malformed::invalid(check, at, "field", because));
    let tag = varint(reader)?;
    let number = tag.wrapping_shr(3);
    let value = match tag & 7 {
        0 => Value::Number(varint(reader)?),
        1 => Value::Number(reader.u64_le()?),
        2 => {
            // A length that does not fit is longer than what is left, and refused as that.
            let length = usize::try_from(varint(reader)?).unwrap_or(usize::MAX);
            Value::Bytes(reader.part(length)?)
        }
        5 => Value::Number(u64::from(reader.u32_le()?)),
        _ => return refuse("its wire type is not one of today's"),
    };
    if number == 0 {
        return refuse("fields count from one");
    }
    Ok(Some(Field { number, at, value }))
}

/// A number in groups of seven bits, lowest first; at most ten bytes, at most 64 bits.
pub(crate) fn varint(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let start = reader.offset();
    let mut number = 0_u64;
    for shift in (0_u32..).step_by(7).take(10) {
        let byte = reader.u8()?;
        let group = u64::from(byte & 0x7f);
        let shifted = group.checked_shl(shift).unwrap_or_default();
        if shifted.checked_shr(shift) != Some(group) {
            break;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    let because = "a number is longer than 64 bits";
    Err(Malformed::invalid(reader.check(), start, "varint", because))
}
