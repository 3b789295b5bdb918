//! How long a certificate counts (RFC 5280, 4.1.2.5), read out of what the API server signed.
//!
//! Reads the two instants and nothing else, within a limit; never panics on hostile bytes and checks
//! no signature: nothing is decided by it but when to renew, and what is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::der::Reader;

/// The longest certificate in bytes of PEM: a node's has under 2 KiB.
const PEM_BYTES_MAX: usize = 64 * 1024;

/// From when to when a certificate counts, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub from: i64,
    /// The last instant.
    pub until: i64,
}

impl Validity {
    /// The instant from which it is renewed: half of its life.
    #[must_use]
    pub const fn half(self) -> i64 {
        self.from
            .saturating_add(self.until.saturating_sub(self.from) / 2)
    }
}

/// The validity of the first certificate in PEM; `None` when it cannot be read.
#[must_use]
pub fn validity(pem: &[u8]) -> Option<Validity> {
    let text = std::str::from_utf8(pem.get(..pem.len().min(PEM_BYTES_MAX))?).ok()?;
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (inside, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let inside: String = inside.split_ascii_whitespace().collect();
    let der = STANDARD.decode(inside).ok()?;
    let mut outer = Reader(&der);
    let mut certificate = Reader(outer.take(0x30)?);
    let mut body = Reader(certificate.take(0x30)?);
    // Version, serial number, algorithm, issuer.
    for tag in [0xa0, 0x02, 0x30, 0x30] {
        body.take(tag)?;
    }
    let mut instants = Reader(body.take(0x30)?);
    let (from, until) = (instant(&mut instants)?, instant(&mut instants)?);
    (instants.0.is_empty() && from <= until).then_some(Validity { from, until })
}

/// UTCTime or GeneralizedTime, to the second and in UTC.
fn instant(fields: &mut Reader<'_>) -> Option<i64> {
    let text = match fields.take(0x17) {
        Some(short) => {
            let short = std::str::from_utf8(short).ok()?;
            let year: u8 = short.get(..2)?.parse().ok()?;
            // RFC 5280: 50 to 99 are of the last century.
            format!("{}{short}", if year >= 50 { "19" } else { "20" })
        }
        None => std::str::from_utf8(fields.take(0x18)?).ok()?.to_owned(),
    };
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let written = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    );
    let instant: jiff::Timestamp = written.parse().ok()?;
    Some(instant.as_second())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_openssl_signs_is_read_and_anything_shorter_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("crt");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "10"])
            .args(["-subj", "/CN=x", "-keyout"])
            .arg(folder.path().join("key"))
            .arg("-out")
            .arg(&out)
            .output();
        assert!(made.unwrap().status.success());
        let pem = std::fs::read(&out).unwrap();
        let read = validity(&pem).unwrap();
        let now = jiff::Timestamp::now().as_second();
        assert_eq!(read.until - read.from, 10 * 86_400);
        assert!((now - 60..=now).contains(&read.from));
        assert_eq!(read.half(), read.from + 5 * 86_400);
        let end = pem.len() - "-----END CERTIFICATE-----\n".len();
        for length in 0..=end {
            assert_eq!(validity(&pem[..length]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(der: Vec<u8>, pem: Vec<u8>) {
            let _ = validity(&pem);
            let text = crate::request::armour("CERTIFICATE", &der);
            let _ = validity(text.as_bytes());
            let _ = instant(&mut Reader(&der));
        }
    }

    #[test]
    fn times_are_of_the_forms_of_rfc_5280_alone() {
        let read = |tag: u8, text: &str| {
            let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
            bytes.extend(text.as_bytes());
            instant(&mut Reader(&bytes))
        };
        assert_eq!(read(0x17, "700101000000Z"), Some(0));
        assert_eq!(read(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(read(0x18, "20500101000000Z"), Some(2_524_608_000));
        for (tag, text) in [
            (0x17, "7001010000Z"),
            (0x17, "700101000000"),
            (0x17, "701301000000Z"),
            (0x18, "20500101000000.5Z"),
            (0x18, "2050010100000+Z"),
            (0x19, "20500101000000Z"),
        ] {
            assert_eq!(read(tag, text), None, "{text}");
        }
    }
}
