//! One broken rule at a time, with a software key in place of a TPM: each must be refused by the
//! check that is named after it, and nothing may panic.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, RevokedCertParams, SerialNumber, date_time_ymd,
};
use zeuge_evidence::{
    UnixTime,
    tpm::{ClockInfo, HashAlgorithm, PcrSelection, PcrSet, PcrValue, QuoteBundle},
};
use zeuge_verify::{
    Endorsements, Error,
    crypto::AWS_LC,
    tpm::{
        AkTrust, AttestationKey, Context, Demand, EnrolledAk, Nonce, Revocation, Selection,
        TpmRoots, TrustBasis, credential, verify, verify_ak_certificate, verify_ek,
    },
};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const AK_ATTRIBUTES: u32 = 0x0005_0072;
const NONCE: &[u8] = b"the question";

struct Ak {
    pair: EcdsaKeyPair,
    key: KeyPair,
    attributes: u32,
}

impl Ak {
    fn new(attributes: u32) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = key.serialize_der();
        Self {
            pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap(),
            key,
            attributes,
        }
    }

    fn public(&self) -> Vec<u8> {
        let mut out = hex::decode("0023000b").unwrap();
        out.extend(self.attributes.to_be_bytes());
        out.extend(hex::decode("0000001000180 00b00030010".replace(' ', "")).unwrap());
        for coordinate in self.key.der_bytes()[1..].chunks(32) {
            out.extend([0, 32]);
            out.extend(coordinate);
        }
        out
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), message).unwrap();
        let mut out = hex::decode("0018000b").unwrap();
        for number in signature.as_ref().chunks(32) {
            out.extend([0, 32]);
            out.extend(number);
        }
        out
    }
}

/// What a quote says, field by field, so that a test can change one.
#[derive(Clone)]
struct Statement {
    magic: u32,
    kind: u16,
    bank: HashAlgorithm,
    clock: ClockInfo,
}

const HONEST: Statement = Statement {
    magic: 0xff54_4347,
    kind: 0x8018,
    bank: HashAlgorithm::SHA256,
    clock: ClockInfo {
        clock: 1000,
        reset_count: 5,
        restart_count: 1,
        safe: true,
    },
};

impl Statement {
    /// Quotes PCR 0 and 10 of the bank.
    fn bundle(&self, ak: &Ak, pcr10: &[u8]) -> QuoteBundle {
        let zeros = vec![0; self.bank.size().unwrap()];
        let digest = HashAlgorithm::SHA256.digest(&[&zeros, pcr10]).unwrap();
        let mut attest = self.magic.to_be_bytes().to_vec();
        attest.extend(self.kind.to_be_bytes());
        attest.extend([0, 0, 0, 12]);
        attest.extend(NONCE);
        attest.extend(self.clock.clock.to_be_bytes());
        attest.extend(self.clock.reset_count.to_be_bytes());
        attest.extend(self.clock.restart_count.to_be_bytes());
        attest.push(1);
        attest.extend([0; 8]);
        attest.extend([0, 0, 0, 1]);
        attest.extend(self.bank.0.to_be_bytes());
        attest.extend([3, 0b1, 0b100, 0, 0, 32]);
        attest.extend(digest);
        let value = |index, value: &[u8]| PcrValue {
            bank: self.bank,
            index,
            value: value.to_vec(),
        };
        QuoteBundle {
            signature: ak.sign(&attest),
            attest,
            ak_public: Some(ak.public()),
            pcrs: vec![value(0, &zeros), value(10, pcr10)],
            ..QuoteBundle::default()
        }
    }
}

fn demand(previous: Option<ClockInfo>) -> Demand<'static> {
    Demand {
        nonce: Nonce::Exact(NONCE),
        selection: Selection::Exactly(
            const {
                &[PcrSelection {
                    bank: HashAlgorithm::SHA256,
                    pcrs: PcrSet(0b100_0000_0001),
                }]
            },
        ),
        previous,
        held: None,
        replayed: Demand::BOOT,
        ima_signers: &[],
        dangerous_sha1_bank: None,
    }
}

fn check_of(bundle: &QuoteBundle, demand: &Demand<'_>, ak: &Ak) -> Result<(), Error> {
    let endorsements = Endorsements::new();
    let roots = TpmRoots::none();
    let key = AttestationKey::read(&ak.public()).unwrap();
    let enrolled = [EnrolledAk::Key(key.key_sha256())];
    let trust = AkTrust {
        enrolled: &enrolled,
        ..AkTrust::default()
    };
    let context = Context {
        endorsements: &endorsements,
        roots: &roots,
        at: UnixTime(1_700_000_000),
        crypto: &AWS_LC,
    };
    let verified = verify(bundle, demand, trust, context)?;
    let basis = TrustBasis::EnrolledByOwner(EnrolledAk::Key(key.key_sha256()));
    assert_eq!(verified.fact().trust, basis);
    // The owner vouched for the bare key: what stands beside it is not a fact.
    assert_eq!(
        (&verified.fact().ak_name, verified.fact().ak_attributes),
        (&None, None)
    );
    Ok(())
}

fn refused(bundle: &QuoteBundle, demand: &Demand<'_>, ak: &Ak) -> &'static str {
    check_of(bundle, demand, ak).unwrap_err().check()
}

// spec: tpm.signature.hash
#[test]
fn every_rule_of_a_quote_refuses_by_its_own_name() {
    let ak = Ak::new(AK_ATTRIBUTES);
    let pcr10 = [7; 32];
    let honest = HONEST.bundle(&ak, &pcr10);
    check_of(&honest, &demand(Some(HONEST.clock)), &ak).unwrap();

    let magic = Statement { magic: 1, ..HONEST };
    let bundle = magic.bundle(&ak, &pcr10);
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.quote.magic");

    let kind = Statement {
        kind: 0x8014,
        ..HONEST
    };
    let bundle = kind.bundle(&ak, &pcr10);
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.quote.type");

    let mut bundle = honest.clone();
    bundle.ak_public = None;
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.ak.available");

    let mut bundle = honest.clone();
    bundle.pcrs.pop();
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.quote.pcr-digest");

    let mut before = HONEST.clock;
    before.restart_count -= 1;
    assert_eq!(
        refused(&honest, &demand(Some(before)), &ak),
        "tpm.quote.reset"
    );
    let mut before = HONEST.clock;
    before.clock += 1;
    assert_eq!(
        refused(&honest, &demand(Some(before)), &ak),
        "tpm.quote.clock"
    );

    let sha1 = Statement {
        bank: HashAlgorithm::SHA1,
        ..HONEST
    };
    let bundle = sha1.bundle(&ak, &[7; 20]);
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.quote.selection");
    let mut any = demand(None);
    any.selection = Selection::AsQuoted { because: "a test" };
    assert_eq!(refused(&bundle, &any, &ak), "tpm.quote.bank");
    any.dangerous_sha1_bank = Some("a test");
    check_of(&bundle, &any, &ak).unwrap();
}

/// What was ever seen of the key: a reset since is fine, an earlier one is not.
// spec: tpm.clock.order
#[test]
fn a_key_never_stands_before_what_was_seen_of_it() {
    let ak = Ak::new(AK_ATTRIBUTES);
    let honest = HONEST.bundle(&ak, &[7; 32]);
    let held = |resets, restarts, clock| Demand {
        held: Some(ClockInfo {
            clock,
            reset_count: resets,
            restart_count: restarts,
            safe: true,
        }),
        ..demand(None)
    };
    let ClockInfo {
        clock,
        reset_count: resets,
        restart_count: restarts,
        ..
    } = HONEST.clock;
    for good in [
        held(resets, restarts, clock),
        held(resets - 1, restarts + 1, clock + 9),
        held(resets, restarts - 1, clock + 9),
    ] {
        check_of(&honest, &good, &ak).unwrap();
    }
    for late in [
        held(resets, restarts, clock + 1),
        held(resets + 1, 0, 0),
        held(resets, restarts + 1, 0),
    ] {
        assert_eq!(refused(&honest, &late, &ak), "tpm.quote.clock");
    }
}

#[test]
fn a_key_that_may_do_more_than_attest_is_refused() {
    // Each attribute by itself: fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign
    // taken away, decrypt added.
    for flipped in [1_u32 << 1, 1 << 4, 1 << 5, 1 << 16, 1 << 18, 1 << 17] {
        let ak = Ak::new(AK_ATTRIBUTES ^ flipped);
        let bundle = HONEST.bundle(&ak, &[7; 32]);
        assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.ak.attributes");
    }
}

#[test]
fn a_short_rsa_key_is_refused() {
    let ak = Ak::new(AK_ATTRIBUTES);
    let mut bundle = HONEST.bundle(&ak, &[7; 32]);
    let mut public = hex::decode("0001000b00050072000000100014000b0400000000000080").unwrap();
    public.extend([0xff; 128]);
    bundle.ak_public = Some(public);
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.ak.key");
}

// spec: tpm.ima.violation
#[test]
fn an_ima_list_counts_up_to_the_signed_register_and_no_further() {
    let ak = Ak::new(AK_ATTRIBUTES);
    let line = |name: &str| {
        format!(
            "10 {} ima-ng sha256:{} {name}\n",
            "22".repeat(20),
            "11".repeat(32)
        )
    };
    let text = format!("{}{}", line("/bin/a"), line("/bin/b"));
    let entries = zeuge_evidence::ima::parse_ascii(text.as_bytes())
        .unwrap()
        .entries;
    let own = HashAlgorithm::SHA256.digest(&[&entries[0].data]).unwrap();
    let pcr10 = HashAlgorithm::SHA256.digest(&[&[0; 32], &own]).unwrap();
    let mut bundle = HONEST.bundle(&ak, &pcr10);
    bundle.ima = Some(text.clone().into_bytes());
    check_of(&bundle, &demand(None), &ak).unwrap();
    bundle.ima = Some(text.replace("/bin/a", "/bin/c").into_bytes());
    assert_eq!(refused(&bundle, &demand(None), &ak), "tpm.ima.replay");
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params.serial_number = Some(SerialNumber::from(0x1234_u64));
    params
}

fn authority(name: &str, issuer: Option<&Issuer>) -> Issuer {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    match issuer {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
    }
}

fn leaf(key: &KeyPair, issuer: &Issuer, usage: KeyUsagePurpose) -> Vec<u8> {
    let mut params = named("a TPM");
    params.key_usages = vec![usage];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 8, 1])];
    params.signed_by(key, issuer).unwrap().der().to_vec()
}

struct Maker {
    root: Issuer,
    middle: Issuer,
    endorsements: Endorsements,
    roots: TpmRoots,
}

impl Maker {
    fn new() -> Self {
        let root = authority("root", None);
        let middle = authority("middle", Some(&root));
        let mut endorsements = Endorsements::new();
        endorsements.add("middle", middle.der());
        let mut roots = TpmRoots::none();
        roots
            .add("a maker", "none", "this test", root.der())
            .unwrap();
        Self {
            root,
            middle,
            endorsements,
            roots,
        }
    }

    fn at(&self, at: &str) -> Context<'_> {
        Context {
            endorsements: &self.endorsements,
            roots: &self.roots,
            at: UnixTime::parse_rfc3339(at).unwrap(),
            crypto: &AWS_LC,
        }
    }
}

const NOW: &str = "2025-01-01T00:00:00Z";
const LATE: &str = "2031-01-01T00:00:00Z";

// spec: tpm.ek.critical
#[test]
fn every_rule_of_an_ek_certificate_refuses_by_its_own_name() {
    let mut maker = Maker::new();
    let key = KeyPair::generate().unwrap();
    let ek = leaf(&key, &maker.middle, KeyUsagePurpose::KeyAgreement);
    let verified = verify_ek(&ek, maker.at(NOW)).unwrap();
    assert_eq!(verified.fact().root.maker, "a maker");
    assert_eq!(verified.fact().issuers, 1);
    assert_eq!(verified.fact().revocation, Revocation::NotChecked);

    let refused = |file: &[u8], context: Context<'_>| verify_ek(file, context).unwrap_err().check();
    assert_eq!(refused(&ek, maker.at(LATE)), "tpm.ek.validity");
    let signing = leaf(&key, &maker.middle, KeyUsagePurpose::DigitalSignature);
    assert_eq!(refused(&signing, maker.at(NOW)), "tpm.ek.key");
    // Another authority with the same name is a candidate, and its signature does not hold.
    let impostor = leaf(
        &key,
        &authority("middle", None),
        KeyUsagePurpose::KeyAgreement,
    );
    assert_eq!(refused(&impostor, maker.at(NOW)), "tpm.ek.chain");
    let nobody = leaf(
        &key,
        &authority("nobody", None),
        KeyUsagePurpose::KeyAgreement,
    );
    assert_eq!(refused(&nobody, maker.at(NOW)), "tpm.ek.available");

    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2026, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(0x1234_u64),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&maker.middle).unwrap();
    maker.endorsements.add("list", list.der());
    assert_eq!(refused(&ek, maker.at(NOW)), "tpm.ek.revoked");
}

// spec: tpm.ek.issuers
#[test]
fn a_leaf_that_calls_itself_an_authority_issues_nothing() {
    let mut maker = Maker::new();
    let params = named("a leaf");
    let leafy = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &maker.middle);
    let leafy = leafy.unwrap();
    maker.endorsements.add("leaf", leafy.der());
    let key = KeyPair::generate().unwrap();
    let ek = leaf(&key, &leafy, KeyUsagePurpose::KeyAgreement);
    let error = verify_ek(&ek, maker.at(NOW)).unwrap_err();
    assert_eq!(error.check(), "tpm.ek.chain");
}

// spec: tpm.ak.certificate
#[test]
fn every_rule_of_an_ak_certificate_refuses_by_its_own_name() {
    let maker = Maker::new();
    let ak = Ak::new(AK_ATTRIBUTES);
    let key = AttestationKey::read(&ak.public()).unwrap();
    let usage = KeyUsagePurpose::DigitalSignature;
    let good = leaf(&ak.key, &maker.middle, usage);
    let refused = |file: &[u8], at: &str| {
        let error = verify_ak_certificate(&key, file, maker.at(at)).unwrap_err();
        error.check()
    };
    let mut bundle = HONEST.bundle(&ak, &[7; 32]);
    bundle.ak_certificate = Some(good.clone());
    let verified = verify(&bundle, &demand(None), AkTrust::default(), maker.at(NOW)).unwrap();
    assert!(
        matches!(&verified.fact().trust, TrustBasis::Certified(by) if by.root.maker == "a maker")
    );

    assert_eq!(refused(&good, LATE), "tpm.ak.validity");
    let other = leaf(&KeyPair::generate().unwrap(), &maker.middle, usage);
    assert_eq!(refused(&other, NOW), "tpm.ak.certificate");
    let decrypting = leaf(&ak.key, &maker.root, KeyUsagePurpose::KeyAgreement);
    assert_eq!(refused(&decrypting, NOW), "tpm.ak.certificate");
    let nobody = leaf(&ak.key, &authority("nobody", None), usage);
    assert_eq!(refused(&nobody, NOW), "tpm.ak.issuer");
    let impostor = leaf(&ak.key, &authority("root", None), usage);
    assert_eq!(refused(&impostor, NOW), "tpm.ak.chain");
}

// spec: tpm.activation.before
#[test]
fn a_credential_is_made_only_for_the_certified_ek_and_an_ak() {
    let maker = Maker::new();
    let key = KeyPair::generate().unwrap();
    let ek = leaf(&key, &maker.middle, KeyUsagePurpose::KeyAgreement);
    let verified = verify_ek(&ek, maker.at(NOW)).unwrap();
    let random = credential::Randomness {
        secret: [1; 32],
        seed: [2; 64],
        oaep: [3; 64],
        ephemeral: [4; 66],
    };
    let stranger = Ak::new(AK_ATTRIBUTES);
    let error = credential::begin(&verified, &stranger.public(), &stranger.public(), &random);
    assert_eq!(error.unwrap_err().check(), "tpm.ek.key");
}

proptest::proptest! {
    #[test]
    fn no_change_of_one_byte_verifies_or_panics(part in 0_usize..4, at: usize, flip in 1_u8..) {
        let ak = Ak::new(AK_ATTRIBUTES);
        let mut bundle = HONEST.bundle(&ak, &[7; 32]);
        let bytes = match part {
            0 => &mut bundle.attest,
            1 => &mut bundle.signature,
            2 => bundle.ak_public.as_mut().unwrap(),
            _ => &mut bundle.pcrs[1].value,
        };
        let at = at % bytes.len();
        bytes[at] ^= flip;
        // The name, the policy and the user's rights of a key are not signed by the quote: an
        // enrolment by the bare key covers only the key.
        let outcome = check_of(&bundle, &demand(None), &ak);
        proptest::prop_assert!(outcome.is_err() || part == 2);
    }

    #[test]
    fn no_bundle_makes_verification_panic(attest: Vec<u8>, signature: Vec<u8>, key: Vec<u8>, log: Vec<u8>) {
        let ak = Ak::new(AK_ATTRIBUTES);
        let honest = HONEST.bundle(&ak, &[7; 32]);
        let with_log = QuoteBundle { eventlog: Some(log.clone()), ima: Some(log), ..honest };
        let _ = check_of(&with_log, &demand(None), &ak);
        let other = QuoteBundle { attest, signature, ak_public: Some(key), ..QuoteBundle::default() };
        proptest::prop_assert!(check_of(&other, &demand(None), &ak).is_err());
    }
}
