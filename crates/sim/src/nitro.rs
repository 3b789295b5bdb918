//! A toy of AWS's Nitro hypervisor: random root, real shapes.
//!
//! Writes chains of certificates and attestation documents of enclaves and of NitroTPM; shares no
//! code with their readers. Time is an argument; randomness is the operating system's.

use std::sync::OnceLock;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    },
};
use serde_json::json;
use zeuge_evidence::UnixTime;

use crate::{
    der_write::{bits, element, explicit, integer, oid, pem, sequence, set, time, unsigned, utf8},
    lies::lies,
    x509_write::{
        CERT_SIGN, CRL_SIGN, DAY, DIGITAL_SIGNATURE, P256, P384, Window, authority_key_id,
        basic_constraints, curve_key_info, flip_last_bit, key_id, key_usage,
    },
};

lies! {
    /// One lie per check on Nitro's documents. Each lies in one thing and tells the truth in all
    /// others.
    NitroLie:
    Evidence {
        Cose = "nitro.cose": "The protected header names another algorithm than ES384.";
        Document = "nitro.document": "The document has a member that AWS does not document, and is signed with it.";
    }
    Verify {
        ChainAuthority = "nitro.chain.authority": "An issuer's certificate does not make it an authority.";
        ChainIssuer = "nitro.chain.issuer": "A certificate names another issuer than the one that signed it.";
        ChainSignature = "nitro.chain.signature": "An issuer's signature has a flipped bit.";
        ChainValidity = "nitro.chain.validity": "An issuer ran out yesterday.";
        LeafKey = "nitro.leaf.key": "The signing key is certified on P-256.";
        LeafUsage = "nitro.leaf.usage": "The certificate is one of an authority.";
        Nonce = "nitro.nonce": "The document answers another challenge.";
        RootPinned = "nitro.root.pinned": "The whole chain hangs from another root with the same name.";
        Signature = "nitro.signature": "The last bit of the signature is flipped.";
        Timestamp = "nitro.timestamp": "The document is from an hour before its certificate.";
        UserData = "nitro.user-data": "The document was made for another session.";
    }
    Appraise {
        Age = "policy.nitro-age": "The document is an hour old.";
        Instance = "policy.nitro-instance": "The instance is another customer's.";
    }
}

/// What is asked for, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NitroSpec {
    /// Whether an instance's NitroTPM speaks, and not an enclave.
    pub tpm: bool,
    /// Whether the enclave runs in debug mode.
    pub debug: bool,
    /// The challenge.
    pub nonce: Vec<u8>,
    /// What the enclave wants signed.
    pub user_data: Vec<u8>,
}

impl NitroSpec {
    /// An enclave, or an instance, that is asked something.
    #[must_use]
    pub fn new(tpm: bool) -> Self {
        Self {
            tpm,
            debug: false,
            nonce: vec![0x31; 32],
            user_data: vec![0x32; 64],
        }
    }
}

/// What the toy hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToyNitroDocument {
    /// The COSE_Sign1.
    pub file: Vec<u8>,
    /// The instant to verify at.
    pub at: UnixTime,
    /// The challenge.
    pub nonce: Vec<u8>,
    /// The user data asked for.
    pub user_data: Vec<u8>,
}

const ROOT: &str = "aws.toy-nitro-enclaves";
const ZONE: &str = "zone.toy-nitro-enclaves";
const INSTANCE: &str = "i-0toy.toy-nitro-enclaves";
const LEAF: &str = "i-0toy-enc01.toy-nitro-enclaves";
/// The instance that the toy's documents name.
pub const TOY_INSTANCE: &str = "i-0123456789abcdef0";
/// The value of the toy's registers, repeated.
pub const TOY_IMAGE: u8 = 0x1a;

/// Keys of one chain.
struct House {
    root: EcdsaKeyPair,
    zone: EcdsaKeyPair,
    instance: EcdsaKeyPair,
    root_certificate: Vec<u8>,
}

impl House {
    fn new() -> Self {
        let key = || new_key(&ECDSA_P384_SHA384_ASN1_SIGNING);
        let root = key();
        // Once: every signature by a curve key is another one.
        let root_certificate = Body {
            issuer: ROOT,
            subject: ROOT,
            // Until the end of 2049.
            window: Window {
                from: UnixTime(1_572_269_285),
                to: UnixTime(2_519_044_085),
            },
            key: curve_key_info(&P384, root.public_key().as_ref()),
            authority: Some(None),
        }
        .signed_with(&root);
        Self {
            root,
            zone: key(),
            instance: key(),
            root_certificate,
        }
    }
}

/// The toy, with the keys of its chain, of a stranger's, and of one document.
pub struct ToyNitro {
    own: House,
    stranger: House,
    leaf: EcdsaKeyPair,
    leaf_p256: EcdsaKeyPair,
}

impl std::fmt::Debug for ToyNitro {
    /// The name only: keys stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyNitro")
    }
}

impl Default for ToyNitro {
    fn default() -> Self {
        Self::new()
    }
}

fn new_key(kind: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(kind).expect("the operating system has random bytes")
}

/// What an issuer puts its name to.
struct Body<'a> {
    issuer: &'a str,
    subject: &'a str,
    window: Window,
    key: Vec<u8>,
    /// `None` for the leaf; the path length of an authority.
    authority: Option<Option<u64>>,
}

impl Body<'_> {
    fn signed_with(&self, key: &EcdsaKeyPair) -> Vec<u8> {
        let name = |text: &str| {
            let part = |numbers: &[u64], text: &str| set(&sequence(&[&oid(numbers), &utf8(text)]));
            sequence(&[&part(&[2, 5, 4, 10], "Toy"), &part(&[2, 5, 4, 3], text)])
        };
        let usage = match self.authority {
            Some(_) => CERT_SIGN | CRL_SIGN,
            None => DIGITAL_SIGNATURE,
        };
        let extensions = [
            basic_constraints(self.authority.is_some(), self.authority.flatten()),
            key_usage(usage),
            authority_key_id(&key_id(key.public_key().as_ref())),
        ];
        // ecdsa-with-SHA384, without parameters.
        let algorithm = sequence(&[&oid(&[1, 2, 840, 10_045, 4, 3, 3])]);
        let body = sequence(&[
            &explicit(0, &integer(2)),
            &unsigned(&key_id(&self.key)),
            &algorithm,
            &name(self.issuer),
            &sequence(&[&time(self.window.from), &time(self.window.to)]),
            &name(self.subject),
            &self.key,
            &explicit(3, &element(0x30, &extensions.concat())),
        ]);
        let signature = key
            .sign(&SystemRandom::new(), &body)
            .expect("a curve key signs any message");
        sequence(&[&body, &algorithm, &bits(0, signature.as_ref())])
    }
}

impl ToyNitro {
    /// A toy with new random keys.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own: House::new(),
            stranger: House::new(),
            leaf: new_key(&ECDSA_P384_SHA384_FIXED_SIGNING),
            leaf_p256: new_key(&ECDSA_P256_SHA256_FIXED_SIGNING),
        }
    }

    /// One toy for the whole process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ToyNitro> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// The trust file of this toy, for `--dangerous-trust-sim`. It holds no private key.
    #[must_use]
    pub fn trust_file(&self) -> String {
        let root = pem("CERTIFICATE", &self.own.root_certificate);
        let file = json!({ "schema": "zeuge.sim-trust.v1", "aws": { "root": root } });
        format!("{file:#}\n")
    }

    /// A document about the machine in `spec`, honest or with one lie, as of `now`.
    #[must_use]
    pub fn tell(&self, lie: Option<NitroLie>, spec: &NitroSpec, now: UnixTime) -> ToyNitroDocument {
        let house = match lie {
            Some(NitroLie::RootPinned) => &self.stranger,
            _ => &self.own,
        };
        let chain = self.chain(lie, house, now);
        let payload = document(lie, spec, &chain, now);
        let protected: &[u8] = match lie {
            Some(NitroLie::Cose) => &[0xa1, 0x01, 0x26],
            _ => &[0xa1, 0x01, 0x38, 0x22],
        };
        let mut message = vec![0x84];
        text(&mut message, "Signature1");
        bytes(&mut message, protected);
        bytes(&mut message, &[]);
        bytes(&mut message, &payload);
        let signed = self
            .leaf
            .sign(&SystemRandom::new(), &message)
            .expect("a curve key signs any message");
        let mut signature = signed.as_ref().to_vec();
        if lie == Some(NitroLie::Signature) {
            flip_last_bit(&mut signature);
        }
        let mut file = vec![0x84];
        bytes(&mut file, protected);
        file.push(0xa0);
        bytes(&mut file, &payload);
        bytes(&mut file, &signature);
        ToyNitroDocument {
            file,
            at: now,
            nonce: spec.nonce.clone(),
            user_data: spec.user_data.clone(),
        }
    }

    /// Root, zone, instance, leaf.
    fn chain(&self, lie: Option<NitroLie>, house: &House, now: UnixTime) -> Vec<Vec<u8>> {
        use NitroLie as Lie;
        let window = |days: i64| Window {
            from: now.plus(-days * DAY),
            to: now.plus(days * DAY),
        };
        let info = |key: &EcdsaKeyPair| curve_key_info(&P384, key.public_key().as_ref());
        let zone = Body {
            issuer: ROOT,
            subject: ZONE,
            window: match lie {
                Some(Lie::ChainValidity) => Window::ended_yesterday(now),
                _ => window(10),
            },
            key: info(&house.zone),
            authority: Some(Some(1)),
        };
        let instance = Body {
            issuer: match lie {
                Some(Lie::ChainIssuer) => ROOT,
                _ => ZONE,
            },
            subject: INSTANCE,
            window: window(1),
            key: info(&house.instance),
            authority: (lie != Some(Lie::ChainAuthority)).then_some(Some(0)),
        };
        let leaf = Body {
            issuer: INSTANCE,
            subject: LEAF,
            window: Window {
                from: now.plus(-5400),
                to: now.plus(5400),
            },
            key: match lie {
                Some(Lie::LeafKey) => curve_key_info(&P256, self.leaf_p256.public_key().as_ref()),
                _ => info(&self.leaf),
            },
            authority: (lie == Some(Lie::LeafUsage)).then_some(Some(0)),
        };
        let mut instance = instance.signed_with(&house.zone);
        if lie == Some(Lie::ChainSignature) {
            flip_last_bit(&mut instance);
        }
        vec![
            house.root_certificate.clone(),
            zone.signed_with(&house.root),
            instance,
            leaf.signed_with(&house.instance),
        ]
    }
}

fn head(out: &mut Vec<u8>, major: u8, length: usize) {
    let kind = major << 5;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 24 => out.push(kind | length),
        (Ok(length), _) => out.extend([kind | 24, length]),
        (_, Ok(length)) => {
            out.push(kind | 25);
            out.extend(length.to_be_bytes());
        }
        _ => unreachable!("a toy writes nothing that long"),
    }
}

fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    head(out, 2, content.len());
    out.extend(content);
}

fn text(out: &mut Vec<u8>, content: &str) {
    head(out, 3, content.len());
    out.extend(content.as_bytes());
}

fn document(lie: Option<NitroLie>, spec: &NitroSpec, chain: &[Vec<u8>], now: UnixTime) -> Vec<u8> {
    use NitroLie as Lie;
    // A map of unknown length, as the hypervisor writes it.
    let mut out = vec![0xbf];
    text(&mut out, "module_id");
    let instance = match lie {
        Some(Lie::Instance) => "i-0fedcba9876543210",
        _ => TOY_INSTANCE,
    };
    let module = if spec.tpm {
        instance.to_owned()
    } else {
        format!("{instance}-enc0191ccebaf8feaba")
    };
    text(&mut out, &module);
    text(&mut out, "digest");
    text(&mut out, "SHA384");
    text(&mut out, "timestamp");
    let made = match lie {
        Some(Lie::Timestamp) => now.0 - 9000,
        Some(Lie::Age) => now.0 - 3600,
        _ => now.0,
    };
    out.push(0x1b);
    out.extend((made * 1000).to_be_bytes());
    text(&mut out, if spec.tpm { "nitrotpm_pcrs" } else { "pcrs" });
    head(&mut out, 5, 9);
    for index in 0..9 {
        out.push(index);
        let value = if spec.debug { 0 } else { TOY_IMAGE };
        bytes(&mut out, &[value; 48]);
    }
    text(&mut out, "certificate");
    let (leaf, issuers) = chain.split_last().expect("a chain");
    bytes(&mut out, leaf);
    text(&mut out, "cabundle");
    head(&mut out, 4, issuers.len());
    for certificate in issuers {
        bytes(&mut out, certificate);
    }
    text(&mut out, "public_key");
    out.push(0xf6);
    let flipped = |content: &[u8], flip: bool| {
        let mut content = content.to_vec();
        if flip {
            flip_last_bit(&mut content);
        }
        content
    };
    text(&mut out, "user_data");
    bytes(
        &mut out,
        &flipped(&spec.user_data, lie == Some(Lie::UserData)),
    );
    text(&mut out, "nonce");
    bytes(&mut out, &flipped(&spec.nonce, lie == Some(Lie::Nonce)));
    if lie == Some(Lie::Document) {
        text(&mut out, "surprise");
        out.push(0xf6);
    }
    out.push(0xff);
    out
}
