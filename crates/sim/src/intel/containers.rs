//! The other files in which a quote and what endorses it travel: the JSON of Trustee's client, the
//! protobuf of go-tdx-guest, all endorsements in one JSON.
//!
//! Written from the bytes of the finished quote, by offsets of its own.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// Endorsements by file name in one JSON object, under the names that are common for them.
pub(super) fn collateral(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    for (name, bytes) in files {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (member, text) = match name.as_str() {
            "root-crl.der" => ("root_ca_crl", hex::encode(bytes)),
            "pck-crl.der" => ("pck_crl", hex::encode(bytes)),
            "tcb-info.json" => ("tcb_info_json", text),
            "qe-identity.json" => ("enclave_identity_json", text),
            other => (other, text),
        };
        object.insert(member.to_owned(), text.into());
    }
    serde_json::Value::Object(object).to_string().into_bytes()
}

/// Quote and boot log in base64, as Trustee's client sends them.
pub(super) fn json_with_log(quote: &[u8], log: &[u8]) -> Vec<u8> {
    let [quote, log] = [quote, log].map(|bytes| STANDARD.encode(bytes));
    json!({"cc_eventlog": log, "quote": quote})
        .to_string()
        .into_bytes()
}

/// JSON with the quote in base64; a lie names a second one.
pub(super) fn json(quote: &[u8], lie: bool) -> Vec<u8> {
    let text = STANDARD.encode(quote);
    let file = if lie {
        json!({"quote": text, "quote_b64": text})
    } else {
        json!({"quote": text})
    };
    file.to_string().into_bytes()
}

/// The message `tdx.QuoteV4` of a quote of version 4 or `tdx.QuoteV5` of one of version 5 (body
/// types 2 and 3); a lie claims bytes that are not there.
pub(super) fn protobuf(quote: &[u8], lie: bool) -> Vec<u8> {
    let from = |at| Fields { quote, at, next: 1 };
    let (said, end) = match (quote[0], quote[48]) {
        (4, _) => (body(from(48)), 632),
        (_, kind) => {
            let mut descriptor = from(48);
            let mut out = [descriptor.number(2), descriptor.number(4)].concat();
            let mut fields = body(from(54));
            if kind == 3 {
                let mut newer = from(638).numbered(13);
                fields.extend([newer.bytes(16), newer.bytes(48)].concat());
            }
            out.extend(delimited(3, &fields));
            (out, if kind == 3 { 702 } else { 638 })
        }
    };
    let mut out = [
        delimited(1, &header(from(0))),
        delimited(2, &said),
        from(end).numbered(3).number(4),
        delimited(4, &signed_data(quote, end)),
    ]
    .concat();
    if lie {
        out.pop();
    }
    out
}

fn header(mut fields: Fields<'_>) -> Vec<u8> {
    let numbers = [2, 2, 4].map(|width| fields.number(width)).concat();
    // go-tdx-guest numbers the bytes at 10 before those at 8; both are zero in versions 4 and 5.
    let strings = [2, 2, 16, 20].map(|width| fields.bytes(width)).concat();
    [numbers, strings].concat()
}

fn body(mut fields: Fields<'_>) -> Vec<u8> {
    let widths = [16, 48, 48, 8, 8, 8, 48, 48, 48, 48];
    let mut out = widths.map(|width| fields.bytes(width)).concat();
    for _ in 0..4 {
        // The run-time registers are one repeated field.
        fields.next = 11;
        out.extend(fields.bytes(48));
    }
    out.extend(fields.bytes(64));
    out
}

/// What is signed ends at `end`: the signature follows at 4, the key at 68, type and length at 132,
/// the QE report at 138, its signature at 522.
fn signed_data(quote: &[u8], end: usize) -> Vec<u8> {
    let from = |at| Fields {
        quote,
        at: end + at,
        next: 1,
    };
    let mut fields = from(586);
    let authentication_length = usize::from(quote[end + 586]);
    let authentication = [fields.number(2), fields.bytes(authentication_length)].concat();
    fields.next = 1;
    let mut chain = [2, 4].map(|width| fields.number(width)).concat();
    chain.extend(delimited(3, &quote[fields.at..]));
    let inner = [
        delimited(1, &qe_report(from(138))),
        from(522).numbered(2).bytes(64),
        delimited(3, &authentication),
        delimited(4, &chain),
    ]
    .concat();
    let mut certification = [from(132).number(2), from(134).numbered(2).number(4)].concat();
    certification.extend(delimited(3, &inner));
    let mut fields = from(4);
    let mut out = [64, 64].map(|width| fields.bytes(width)).concat();
    out.extend(delimited(3, &certification));
    out
}

fn qe_report(mut fields: Fields<'_>) -> Vec<u8> {
    let mut out = fields.bytes(16);
    out.extend(fields.number(4));
    for width in [28, 16, 32, 32, 32, 96] {
        out.extend(fields.bytes(width));
    }
    out.extend([2, 2].map(|width| fields.number(width)).concat());
    out.extend([60, 64].map(|width| fields.bytes(width)).concat());
    out
}

/// Parts of a quote one after the other, as fields with rising numbers.
struct Fields<'q> {
    quote: &'q [u8],
    at: usize,
    next: u64,
}

impl<'q> Fields<'q> {
    const fn numbered(mut self, next: u64) -> Self {
        self.next = next;
        self
    }

    fn take(&mut self, width: usize) -> (u64, &'q [u8]) {
        let part = (self.next, &self.quote[self.at..self.at + width]);
        self.at += width;
        self.next += 1;
        part
    }

    /// A field that holds the next bytes.
    fn bytes(&mut self, width: usize) -> Vec<u8> {
        let (field, part) = self.take(width);
        delimited(field, part)
    }

    /// A field that holds the next bytes as a little-endian number.
    fn number(&mut self, width: usize) -> Vec<u8> {
        let (field, part) = self.take(width);
        let little = part.iter().rev();
        let value = little.fold(0, |value, byte| value << 8 | u64::from(*byte));
        [varint(field << 3), varint(value)].concat()
    }
}

/// A field that holds bytes.
fn delimited(field: u64, content: &[u8]) -> Vec<u8> {
    let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
    [&varint(field << 3 | 2)[..], &varint(length), content].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}
