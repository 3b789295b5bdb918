//! How a quote is told, truly or with one lie.
//!
//! Steps, each with the place where a lie may step in: what the machine is asked, the
//! certificates, the lists, the boot, the statement, the file. A lie changes one step and leaves
//! the rest as an honest machine would have made it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use serde_json::{Value, json};
use zeuge_evidence::UnixTime;

use super::{
    CA, House, Proof, ROOT, ToyTpm, TpmLie as Lie, TpmSpec, boot,
    certificates::{CertificateBody, list, tcg_usage, tpm_names},
    issue_window,
    keys::{Ak, Ek, name, short_public, sized},
};
use crate::x509_write::{
    DAY, DIGITAL_SIGNATURE, Window, flip_last_bit, key_id, key_usage, years_later,
};

const KEY_ENCIPHERMENT: u8 = 0b0010_0000;
const KEY_AGREEMENT: u8 = 0b0000_1000;
/// `TPM_ALG_SHA1`, `TPM_ALG_SHA256`.
const SHA1_BANK: u16 = 0x0004;
const SHA256_BANK: u16 = 0x000b;

/// Milliseconds, resets, restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds of powered time.
    pub milliseconds: u64,
    /// Resets.
    pub resets: u32,
    /// Restarts since the last reset.
    pub restarts: u32,
}

/// What the toy hands over.
#[derive(Clone)]
pub struct ToyTpmQuote {
    /// The evidence: `zeuge.tpm-quote.v1`.
    pub file: Vec<u8>,
    /// The file of the EK certificate, as out of an NV index.
    pub ek_certificate: Vec<u8>,
    /// `TPMT_PUBLIC` of the EK.
    pub ek_public: Vec<u8>,
    /// `TPMT_PUBLIC` of the AK that asks for a credential, or that the owner enrolled.
    pub ak_public: Vec<u8>,
    /// Why the AK is to be believed; `None` where nobody says.
    pub proof: Option<Proof>,
    /// File names and contents of what endorses it.
    pub endorsements: Vec<(String, Vec<u8>)>,
    /// The instant to verify at.
    pub at: UnixTime,
    /// The challenge.
    pub nonce: Vec<u8>,
    /// The bank and the PCRs that were asked for.
    pub asked: (u16, u32),
    /// The clock in the quote before.
    pub previous: Clock,
    guesses: bool,
    ek: Arc<Ek>,
}

impl std::fmt::Debug for ToyTpmQuote {
    /// The name only: it can open credentials.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyTpmQuote")
    }
}

impl ToyTpmQuote {
    /// The TPM's answer to a credential (both parts with their lengths); what it cannot open it
    /// answers with nothing.
    #[must_use]
    pub fn activate(&self, id_object: &[u8], encrypted_secret: &[u8]) -> Vec<u8> {
        if self.guesses {
            return vec![0x5a; 32];
        }
        let opened = self
            .ek
            .activate(&name(&self.ak_public), id_object, encrypted_secret);
        opened.unwrap_or_default()
    }

    /// The TPM name of the AK in `ak_public`.
    #[must_use]
    pub fn ak_name(&self) -> Vec<u8> {
        name(&self.ak_public)
    }
}

impl ToyTpm {
    /// Signs a statement with the AK of this machine, whatever it says: a TPM would not, but
    /// somebody who has the key can. `TPMT_SIGNATURE`.
    #[must_use]
    pub fn resign(&self, spec: &TpmSpec, attest: &[u8]) -> Vec<u8> {
        self.ak(spec.ak, false).sign(attest)
    }

    /// A quote of the machine in `spec`, honest or with one lie, as of `now`.
    ///
    /// Some lies need a machine of their own and change `spec` for it: lies about AK certificates
    /// are told by a certified AK.
    #[must_use]
    pub fn tell(&self, lie: Option<Lie>, spec: &TpmSpec, now: UnixTime) -> ToyTpmQuote {
        let mut spec = spec.clone();
        let proof = lie_in_spec(lie, &mut spec);
        let ek = self.ek(spec.ek);
        let ak = self.ak(spec.ak, false);
        let signer = self.ak(spec.ak, lie == Some(Lie::AkTrust));
        let ek_certificate = self.tell_ek(lie, &spec, &ek, now);
        let restricted = lie != Some(Lie::AkAttributes);
        let public = |ak: &Ak| match lie {
            Some(Lie::AkKey) => short_public(),
            Some(Lie::Public) => [&[0, 8][..], &ak.public(true)[2..]].concat(),
            _ => ak.public(restricted),
        };
        let statement = Statement::tell(lie, &spec, &signer);
        let mut file = statement.file(lie, &spec, &signer);
        if lie != Some(Lie::AkAvailable) {
            file["ak_public"] = base64(&public(&signer));
        }
        if proof == Some(Proof::Certificate) {
            file["ak_certificate"] = base64(&self.tell_ak(lie, &spec, now));
        }
        if lie == Some(Lie::Bundle) {
            file["attest"] = json!("not base64!");
        }
        ToyTpmQuote {
            file: file.to_string().into_bytes(),
            ek_certificate,
            ek_public: ek.public(),
            ak_public: public(&ak),
            proof,
            endorsements: self.tell_endorsements(lie, &ek, now),
            at: now,
            nonce: spec.nonce.clone(),
            asked: (statement.bank, spec.pcrs),
            previous: HONEST,
            guesses: lie == Some(Lie::AkActivation),
            ek,
        }
    }

    fn house(&self, strange: bool) -> &House {
        if strange { &self.stranger } else { &self.own }
    }

    fn tell_ek(&self, lie: Option<Lie>, spec: &TpmSpec, ek: &Ek, now: UnixTime) -> Vec<u8> {
        if lie == Some(Lie::EkFormat) {
            return b"an empty NV index".to_vec();
        }
        let usage = match (lie, spec.ek) {
            (Some(Lie::EkKey), _) => DIGITAL_SIGNATURE,
            (_, super::EkKind::Rsa) => KEY_ENCIPHERMENT,
            (_, super::EkKind::P256) => KEY_AGREEMENT,
        };
        let mut certificate = CertificateBody {
            serial: key_id(ek.info()),
            issuer: CA.to_owned(),
            subject: String::new(),
            window: leaf_window(lie == Some(Lie::EkValidity), now),
            key: ek.info().to_vec(),
            extensions: vec![tpm_names(), key_usage(usage), tcg_usage(1)],
        }
        .signed_with(&self.house(lie == Some(Lie::EkChain)).ca);
        // An NV index is longer than what lies in it.
        certificate.extend([0xff; 40]);
        certificate
    }

    fn tell_ak(&self, lie: Option<Lie>, spec: &TpmSpec, now: UnixTime) -> Vec<u8> {
        let ak = self.ak(spec.ak, lie == Some(Lie::AkCertificate));
        CertificateBody {
            serial: key_id(&ak.info()),
            issuer: CA.to_owned(),
            subject: "Toy AK".to_owned(),
            window: leaf_window(lie == Some(Lie::AkValidity), now),
            key: ak.info(),
            extensions: vec![tpm_names(), key_usage(DIGITAL_SIGNATURE), tcg_usage(3)],
        }
        .signed_with(&self.house(lie == Some(Lie::AkChain)).ca)
    }

    fn tell_endorsements(
        &self,
        lie: Option<Lie>,
        ek: &Ek,
        now: UnixTime,
    ) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut add = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
        if !matches!(lie, Some(Lie::EkAvailable | Lie::AkIssuer)) {
            add("ca.der", self.own.ca_certificate.clone());
        }
        if matches!(lie, Some(Lie::EkChain | Lie::AkChain)) {
            add("other-ca.der", self.stranger.ca_certificate.clone());
            add("other-root.der", self.stranger.root_certificate.clone());
        }
        let window = match lie {
            Some(Lie::CrlFresh) => Window {
                from: now.plus(-31 * DAY),
                to: now.plus(-DAY),
            },
            _ => issue_window(now),
        };
        let serial = key_id(ek.info());
        let revoked = (lie == Some(Lie::EkRevoked)).then_some((serial.as_slice(), window.from));
        add(
            "root.crl",
            list(ROOT, &self.own.root, issue_window(now), None),
        );
        add("ca.crl", list(CA, &self.own.ca, window, revoked));
        files
    }
}

/// Certificates of chips count for ten years, since a month.
fn leaf_window(ended: bool, now: UnixTime) -> Window {
    if ended {
        return Window::ended_yesterday(now);
    }
    let from = now.plus(-30 * DAY);
    Window {
        from,
        to: years_later(from, 10),
    }
}

/// Lies that need another machine. Returns why the AK is to be believed.
fn lie_in_spec(lie: Option<Lie>, spec: &mut TpmSpec) -> Option<Proof> {
    match lie {
        Some(Lie::AkCertificate | Lie::AkChain | Lie::AkIssuer | Lie::AkValidity) => {
            spec.proof = Proof::Certificate
        }
        Some(Lie::AkKey) => spec.proof = Proof::Enrolment,
        Some(Lie::AkProof) => return None,
        Some(
            Lie::AkActivation
            | Lie::AkTrust
            | Lie::EkAvailable
            | Lie::EkChain
            | Lie::EkFormat
            | Lie::EkKey
            | Lie::EkRevoked
            | Lie::EkValidity
            | Lie::CrlFresh,
        ) => spec.proof = Proof::Activation,
        // No log and no list speak of that bank.
        Some(Lie::QuoteBank) => (spec.log, spec.ima) = (false, false),
        Some(Lie::PolicyEventLog) => spec.log = false,
        Some(Lie::PolicySelection) => spec.pcrs &= !(1 << 15),
        _ => {}
    }
    Some(spec.proof)
}

const HONEST: Clock = Clock {
    milliseconds: 1_000_000,
    resets: 7,
    restarts: 1,
};

fn base64(bytes: &[u8]) -> Value {
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// What is signed, and what it was made from.
struct Statement {
    bank: u16,
    attest: Vec<u8>,
    /// Index and value of the quoted PCRs.
    values: Vec<(u32, Vec<u8>)>,
    log: Vec<u8>,
    ima: String,
}

impl Statement {
    fn tell(lie: Option<Lie>, spec: &TpmSpec, ak: &Ak) -> Self {
        let records = boot::records(lie);
        let mut pcrs = boot::pcrs(&records);
        let (ima, register) = boot::ima(&pcrs, lie);
        pcrs[10] = register;
        if spec.closed {
            boot::extend(&mut pcrs[15], &boot::digest_of("zeuge:closed"));
        }
        let told = match lie {
            // The TPM was told what `records` says; the log says something else.
            Some(Lie::EventLogReplay) => boot::records(Some(Lie::PolicyCommandLine)),
            _ => records,
        };
        let chosen = match lie {
            Some(Lie::QuoteSelection) => spec.pcrs | 1 << 16,
            _ => spec.pcrs,
        };
        let (bank, size) = match lie {
            Some(Lie::QuoteBank) => (SHA1_BANK, 20),
            _ => (SHA256_BANK, 32),
        };
        let values: Vec<(u32, Vec<u8>)> = (0_u32..24)
            .zip(&pcrs)
            .filter(|(index, _)| chosen >> index & 1 == 1)
            .map(|(index, value)| (index, value[..size].to_vec()))
            .collect();
        Self {
            bank,
            attest: attest(lie, spec, ak, (bank, chosen), &values),
            values,
            log: boot::log(&told, lie),
            ima,
        }
    }

    fn file(&self, lie: Option<Lie>, spec: &TpmSpec, ak: &Ak) -> Value {
        let mut signature = ak.sign(&self.attest);
        match lie {
            Some(Lie::QuoteSignature) => flip_last_bit(&mut signature),
            Some(Lie::SignatureFormat) => signature[1] = 0x1a,
            Some(Lie::QuoteAvailable) => signature.clear(),
            _ => {}
        }
        let bank = if self.bank == SHA1_BANK {
            "sha1"
        } else {
            "sha256"
        };
        let mut values: serde_json::Map<String, Value> = self
            .values
            .iter()
            .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
            .collect();
        if lie == Some(Lie::QuotePcrDigest) {
            values.insert("15".to_owned(), json!("5a".repeat(32)));
        }
        let mut file = json!({
            "schema": "zeuge.tpm-quote.v1",
            "attest": base64(&self.attest),
            "signature": base64(&signature),
            "pcrs": { bank: values },
        });
        if spec.log {
            file["eventlog"] = base64(&self.log);
        }
        if spec.ima {
            file["ima"] = base64(self.ima.as_bytes());
        }
        file
    }
}

/// `TPMS_ATTEST`.
fn attest(
    lie: Option<Lie>,
    spec: &TpmSpec,
    ak: &Ak,
    (bank, chosen): (u16, u32),
    values: &[(u32, Vec<u8>)],
) -> Vec<u8> {
    let mut clock = Clock {
        milliseconds: HONEST.milliseconds + 1000,
        ..HONEST
    };
    match lie {
        Some(Lie::QuoteClock) => clock.milliseconds = HONEST.milliseconds - 1,
        Some(Lie::QuoteReset) => clock.resets += 1,
        _ => {}
    }
    let magic: u32 = match lie {
        Some(Lie::QuoteMagic) => 0xff54_4348,
        _ => 0xff54_4347,
    };
    let kind: u16 = match lie {
        Some(Lie::QuoteType) => 0x8019,
        _ => 0x8018,
    };
    let hierarchy = 0x4000_000b_u32.to_be_bytes();
    let signer = name(&[&hierarchy[..], &name(&ak.public(true))].concat());
    let mut nonce = spec.nonce.clone();
    if lie == Some(Lie::QuoteNonce) {
        flip_last_bit(&mut nonce);
    }
    let mut out = [&magic.to_be_bytes()[..], &kind.to_be_bytes()].concat();
    out.extend(sized(&signer));
    out.extend(sized(&nonce));
    out.extend(clock.milliseconds.to_be_bytes());
    out.extend(clock.resets.to_be_bytes());
    out.extend(clock.restarts.to_be_bytes());
    out.push(1);
    out.extend(0x0001_0002_0003_0004_u64.to_be_bytes());
    out.extend(1_u32.to_be_bytes());
    out.extend(bank.to_be_bytes());
    out.push(3);
    out.extend(&chosen.to_le_bytes()[..3]);
    let all: Vec<u8> = values.iter().flat_map(|(_, value)| value.clone()).collect();
    out.extend(sized(digest(&SHA256, &all).as_ref()));
    if lie == Some(Lie::Attest) {
        out.push(0);
    }
    out
}
