//! A toy of Google's firmware signing: random root, real shapes.
//!
//! Writes launch endorsements (`VMLaunchEndorsement`) with their certificates; shares no code with
//! their reader. Time is an argument; randomness is the operating system's.

use std::sync::OnceLock;

use aws_lc_rs::{
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use serde_json::json;
use zeuge_evidence::UnixTime;

use crate::{
    amd::certificates::{Pss, rsa_key_info},
    der_write::{bits, element, explicit, integer, oid, pem, sequence, set, time, utf8},
    lies::lies,
    x509_write::{
        CERT_SIGN, CRL_SIGN, DAY, DIGITAL_SIGNATURE, Window, authority_key_id, basic_constraints,
        flip_last_bit, key_id, key_usage,
    },
};

lies! {
    /// One lie per check on firmware endorsements. Each lies in one thing and tells the truth in all
    /// others.
    GoogleLie:
    Evidence {
        Endorsement = "google.endorsement": "A measurement of the endorsement has 47 bytes, and is signed with it.";
    }
    Verify {
        Issuer = "google.endorsement.issuer": "The signer's certificate names the root and is signed by somebody else.";
        Measurement = "google.endorsement.measurement": "The endorsement is genuine, and of other firmware.";
        Root = "google.endorsement.root": "The whole chain hangs from another root with the same name.";
        Signature = "google.endorsement.signature": "The last bit of the signature is flipped.";
        Usage = "google.endorsement.usage": "The signer's certificate is one of an authority.";
        Validity = "google.endorsement.validity": "The signer's certificate ran out yesterday.";
    }
    Appraise {
        Missing = "policy.firmware-endorsement": "No endorsement comes along, and one is demanded.";
        Svn = "policy.firmware-svn": "The firmware is old, and Google honestly says so.";
    }
}

/// What the endorsement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementSpec {
    /// MEASUREMENT with two virtual CPUs.
    pub measurement: [u8; 48],
    /// MRTD with 16 GiB.
    pub mr_td: [u8; 48],
    /// The security version under both.
    pub svn: u32,
    /// Whether the root's certificate travels in it.
    pub with_root: bool,
}

impl EndorsementSpec {
    /// An endorsement of the firmware with which this toy's machines start.
    #[must_use]
    pub const fn new(measurement: [u8; 48], mr_td: [u8; 48]) -> Self {
        Self {
            measurement,
            mr_td,
            svn: 5,
            with_root: true,
        }
    }
}

const ROOT: &str = "toy-GCE-cc-tcb-root";
const SIGNER: &str = "toy-GCE-uefi-signer";

/// The toy, with root, signer and stranger.
pub struct ToyGoogle {
    root: KeyPair,
    signer: KeyPair,
    stranger: KeyPair,
    root_certificate: Vec<u8>,
}

impl std::fmt::Debug for ToyGoogle {
    /// The name only: keys stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyGoogle")
    }
}

impl Default for ToyGoogle {
    fn default() -> Self {
        Self::new()
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate(KeySize::Rsa2048).expect("the operating system has random bytes")
}

impl ToyGoogle {
    /// A toy with new random keys.
    #[must_use]
    pub fn new() -> Self {
        let root = new_key();
        let root_certificate = root_of(&root);
        Self {
            root,
            signer: new_key(),
            stranger: new_key(),
            root_certificate,
        }
    }

    /// One toy for the whole process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ToyGoogle> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// The trust file of this toy, for `--dangerous-trust-sim`. It holds no private key.
    #[must_use]
    pub fn trust_file(&self) -> String {
        let root = pem("CERTIFICATE", &self.root_certificate);
        let file = json!({ "schema": "zeuge.sim-trust.v1", "google": { "root": root } });
        format!("{file:#}\n")
    }

    /// The root's certificate in DER, for who has it beside the endorsement.
    #[must_use]
    pub fn root_certificate(&self) -> &[u8] {
        &self.root_certificate
    }

    /// An endorsement, honest or with one lie, as of `now`.
    #[must_use]
    pub fn tell(&self, lie: Option<GoogleLie>, spec: &EndorsementSpec, now: UnixTime) -> Vec<u8> {
        use GoogleLie as Lie;
        let issuer = match lie {
            Some(Lie::Root | Lie::Issuer) => &self.stranger,
            _ => &self.root,
        };
        let window = match lie {
            Some(Lie::Validity) => Window::ended_yesterday(now),
            _ => Window {
                from: now.plus(-30 * DAY),
                to: now.plus(300 * DAY),
            },
        };
        let certificate = Body {
            subject: SIGNER,
            window,
            key: &self.signer,
            authority: lie == Some(Lie::Usage),
            usage: DIGITAL_SIGNATURE,
        }
        .signed_with(issuer);
        let root = match lie {
            Some(Lie::Root) => root_of(&self.stranger),
            _ => self.root_certificate.clone(),
        };
        let golden = golden(lie, spec, &certificate, &root, now);
        let mut signature = Pss::Foreign.sign(&self.signer, &golden);
        if lie == Some(Lie::Signature) {
            flip_last_bit(&mut signature);
        }
        let mut out = Vec::new();
        put(&mut out, 1, &golden);
        put(&mut out, 2, &signature);
        out
    }
}

fn root_of(key: &KeyPair) -> Vec<u8> {
    Body {
        subject: ROOT,
        // From 2023 to the end of 2049.
        window: Window {
            from: UnixTime(1_672_531_200),
            to: UnixTime(2_519_044_085),
        },
        key,
        authority: true,
        usage: CERT_SIGN | CRL_SIGN,
    }
    .signed_with(key)
}

/// What an issuer puts its name to; the issuer is always called the root.
struct Body<'a> {
    subject: &'a str,
    window: Window,
    key: &'a KeyPair,
    authority: bool,
    usage: u8,
}

impl Body<'_> {
    fn signed_with(&self, key: &KeyPair) -> Vec<u8> {
        let name = |text: &str| {
            let part = |numbers: &[u64], text: &str| set(&sequence(&[&oid(numbers), &utf8(text)]));
            sequence(&[&part(&[2, 5, 4, 10], "Toy"), &part(&[2, 5, 4, 3], text)])
        };
        let extensions = [
            key_usage(self.usage),
            basic_constraints(self.authority, self.authority.then_some(0)),
            authority_key_id(&key_id(key.public_key().as_ref())),
        ];
        let algorithm = Pss::Foreign.identifier();
        let body = sequence(&[
            &explicit(0, &integer(2)),
            &integer(7),
            &algorithm,
            &name(ROOT),
            &sequence(&[&time(self.window.from), &time(self.window.to)]),
            &name(self.subject),
            &rsa_key_info(self.key),
            &explicit(3, &element(0x30, &extensions.concat())),
        ]);
        let signature = Pss::Foreign.sign(key, &body);
        sequence(&[&body, &algorithm, &bits(0, &signature)])
    }
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(0x80 | u8::try_from(number & 0x7f).expect("seven bits"));
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn put(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, u64::try_from(bytes.len()).expect("short"));
    out.extend(bytes);
}

/// `VMGoldenMeasurement`.
fn golden(
    lie: Option<GoogleLie>,
    spec: &EndorsementSpec,
    certificate: &[u8],
    root: &[u8],
    now: UnixTime,
) -> Vec<u8> {
    use GoogleLie as Lie;
    let (mut measurement, mut mr_td) = (spec.measurement, spec.mr_td);
    if lie == Some(Lie::Measurement) {
        measurement[0] ^= 1;
        mr_td[0] ^= 1;
    }
    let svn = match lie {
        Some(Lie::Svn) => 1,
        _ => u64::from(spec.svn),
    };
    let mut out = Vec::new();
    let mut instant = Vec::new();
    let made = u64::try_from(now.plus(-20 * DAY).0).expect("after 1970");
    number(&mut instant, 1, made);
    put(&mut out, 1, &instant);
    put(&mut out, 3, &[0xc0; 20]);
    put(&mut out, 4, certificate);
    put(&mut out, 5, &[0xd1; 48]);
    if spec.with_root {
        put(&mut out, 6, pem("CERTIFICATE", root).as_bytes());
    }
    let mut snp = Vec::new();
    number(&mut snp, 1, svn);
    for (shape, value) in [(1, [0x51; 48]), (2, measurement), (4, [0x54; 48])] {
        let mut entry = Vec::new();
        number(&mut entry, 1, shape);
        let short = lie == Some(Lie::Endorsement) && shape == 4;
        put(&mut entry, 2, &value[usize::from(short)..]);
        put(&mut snp, 2, &entry);
    }
    number(&mut snp, 5, 0x7_0000);
    put(&mut out, 7, &snp);
    let mut tdx = Vec::new();
    number(&mut tdx, 1, svn);
    for (gib, value) in [(8, [0x58; 48]), (16, mr_td)] {
        let mut shape = Vec::new();
        number(&mut shape, 1, gib);
        put(&mut shape, 3, &value);
        put(&mut tdx, 2, &shape);
    }
    put(&mut out, 8, &tdx);
    out
}
