//! Whether an AlgorithmIdentifier names exactly the RSASSA-PSS that a maker signs with.
//!
//! AMD writes the same parameters in two ways: the trailer field, whose default is 1, stands in
//! older certificates and is left out of newer ones and of revocation lists. So the parameters are
//! read (RFC 4055 §3.1), never compared with one byte string. Checks no signature.

use zeuge_evidence::{
    Malformed,
    der::{Der, tag},
    x509::Algorithm,
};

const CHECK: &str = "snp.vcek.algorithm";
const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
const MGF1: &str = "1.2.840.113549.1.1.8";
/// The only trailer there is (0xbc).
const TRAILER: u64 = 1;

/// What one maker signs with: one hash for message and mask, and a salt as long as the hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pss {
    hash: &'static str,
    salt: u64,
}

/// AMD's: SHA-384, a salt of 48 bytes.
pub(crate) const AMD: Pss = Pss {
    hash: "2.16.840.1.101.3.4.2.2",
    salt: 48,
};
/// Google's, of firmware endorsements: SHA-256, a salt of 32 bytes.
pub(crate) const GOOGLE: Pss = Pss {
    hash: "2.16.840.1.101.3.4.2.1",
    salt: 32,
};

impl Pss {
    /// Whether both identifiers of a certificate or list, beside and inside the signed part, are
    /// the same bytes and name exactly this.
    pub(crate) fn is_named(self, outer: &Algorithm<'_>, inner: &Algorithm<'_>) -> bool {
        // spec: sev-snp.chain.identifiers-equal
        outer.raw == inner.raw
            && outer.oid == RSASSA_PSS
            && self.holds(outer.parameters).unwrap_or(false)
    }

    fn holds(self, parameters: &[u8]) -> Result<bool, Malformed> {
        let mut outer = Der::new(parameters, CHECK);
        let mut fields = outer.expect(tag::SEQUENCE, "RSASSA-PSS-params")?.inside();
        outer.finish("RSASSA-PSS-params")?;
        let hash = one(&mut fields, 0)?;
        let mask = one(&mut fields, 1)?;
        let mut salt = fields.expect(tag::context(2), "saltLength")?.inside();
        let salt_length = salt.expect(tag::INTEGER, "saltLength")?.u64()?;
        salt.finish("saltLength")?;
        let trailer = match fields.optional(tag::context(3))? {
            Some(holder) => {
                let mut inside = holder.inside();
                let trailer = inside.expect(tag::INTEGER, "trailerField")?.u64()?;
                inside.finish("trailerField")?;
                trailer
            }
            // spec: sev-snp.chain.pss-two-encodings
            None => TRAILER,
        };
        fields.finish("RSASSA-PSS-params")?;
        let mask_is_ours = {
            let mut mask = mask;
            let named = mask.expect(tag::OID, "maskGenAlgorithm")?.oid()? == MGF1;
            let inner = mask.expect(tag::SEQUENCE, "maskGenAlgorithm")?.inside();
            mask.finish("maskGenAlgorithm")?;
            named && self.is_hash(inner)?
        };
        Ok(self.is_hash(hash)? && mask_is_ours && salt_length == self.salt && trailer == TRAILER)
    }

    /// The makers write the NULL that RFC 4055 asks for.
    fn is_hash(self, mut identifier: Der<'_>) -> Result<bool, Malformed> {
        let named = identifier.expect(tag::OID, "hash")?.oid()? == self.hash;
        let null = identifier.expect(tag::NULL, "hash parameters")?;
        identifier.finish("hash")?;
        Ok(named && null.content.is_empty())
    }
}

/// The inside of the AlgorithmIdentifier in `[number]`.
fn one<'a>(fields: &mut Der<'a>, number: u8) -> Result<Der<'a>, Malformed> {
    let mut holder = fields
        .expect(tag::context(number), "AlgorithmIdentifier")?
        .inside();
    let inside = holder
        .expect(tag::SEQUENCE, "AlgorithmIdentifier")?
        .inside();
    holder.finish("AlgorithmIdentifier")?;
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use zeuge_evidence::x509::Certificate;

    use super::*;

    const ARK: &[u8] = include_bytes!("anchors/amd/ark-milan.der");

    fn parameters() -> Vec<u8> {
        Certificate::parse(ARK)
            .unwrap()
            .algorithm
            .parameters
            .to_vec()
    }

    fn holds(parameters: &[u8]) -> bool {
        AMD.holds(parameters).unwrap_or(false)
    }

    // spec: sev-snp.chain.pss-two-encodings
    #[test]
    fn the_trailer_may_be_written_out_or_left_to_its_default() {
        let mut written = parameters();
        assert!(holds(&written));
        // [3] { INTEGER 1 } is five bytes at the end.
        let end = written.len() - 5;
        assert_eq!(written[end..], [0xa3, 3, 2, 1, 1]);
        written.truncate(end);
        written[1] -= 5;
        assert!(holds(&written));
    }

    #[test]
    fn another_trailer_salt_hash_or_mask_is_refused() {
        let original = parameters();
        let last = original.len() - 1;
        for (at, value) in [(last, 2), (last - 5, 32)] {
            let mut other = original.clone();
            other[at] = value;
            assert!(!holds(&other), "byte {at}");
        }
        // Both hash identifiers end in 04 02 02 (SHA-384); 01 is SHA-256.
        let hashes: Vec<usize> = (0..original.len() - 3)
            .filter(|at| original[*at..at + 3] == [4, 2, 2])
            .collect();
        assert_eq!(hashes.len(), 2);
        for at in hashes {
            let mut other = original.clone();
            other[at + 2] = 1;
            assert!(!holds(&other));
        }
    }

    #[test]
    fn absent_or_lengthened_parameters_are_refused() {
        assert!(!holds(&[]));
        assert!(!holds(&[0x30, 0]));
        assert!(!holds(&[5, 0]));
        let mut longer = parameters();
        longer.push(0);
        assert!(!holds(&longer));
    }

    proptest::proptest! {
        #[test]
        fn no_parameters_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..96)) {
            let _ = AMD.holds(&bytes);
        }
    }
}
