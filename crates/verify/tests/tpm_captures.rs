//! Real quotes against their keys and logs, and real certificates of TPMs against makers' roots.
//!
//! Captures stay outside the repository: `ZEUGE_VECTORS` names their folder. What is not accepted
//! stands in `tpm_exceptions.tsv` with its check and the reason; an exception that is not needed
//! fails.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use base64::Engine as _;
use zeuge_evidence::{
    UnixTime,
    tpm::{
        Attest, HashAlgorithm, PcrSelection, PcrSet, Public, QuoteBundle, certificate_in,
        qualified_name,
    },
};
use zeuge_verify::{
    Endorsements,
    crypto::AWS_LC,
    tpm::{
        AkTrust, AttestationKey, Context, Demand, EnrolledAk, Nonce, Selection, TpmRoots,
        TrustBasis, check_quote_signature, verify, verify_ak_certificate, verify_ek,
    },
};

fn root() -> Option<PathBuf> {
    let root = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    root
}

/// Path, class and instant of each capture of these classes.
fn rows(root: &std::path::Path, classes: &[&str]) -> Vec<(String, String)> {
    let index = fs::read_to_string(root.join("INDEX.tsv")).unwrap();
    index
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|row| classes.contains(&row[1]))
        .map(|row| (row[0].to_owned(), row[4].to_owned()))
        .collect()
}

fn exceptions() -> BTreeMap<&'static str, &'static str> {
    include_str!("tpm_exceptions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.splitn(3, '\t');
            let row = (parts.next().unwrap(), parts.next().unwrap());
            assert!(
                parts.next().is_some_and(|reason| reason.len() > 10),
                "{line}"
            );
            row
        })
        .collect()
}

struct World {
    endorsements: Endorsements,
    roots: TpmRoots,
}

impl World {
    fn new(root: &std::path::Path) -> Self {
        let mut endorsements = Endorsements::new();
        for (path, _) in rows(root, &["tpm-ek-cert", "tpm-ca"]) {
            if let Ok(der) = certificate_in(&fs::read(root.join(&path)).unwrap()) {
                endorsements.add(&path, &der);
            }
        }
        Self {
            endorsements,
            roots: TpmRoots::shipped(),
        }
    }

    fn at(&self, at: UnixTime) -> Context<'_> {
        Context {
            endorsements: &self.endorsements,
            roots: &self.roots,
            at,
            crypto: &AWS_LC,
        }
    }
}

fn instant(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text)
        .unwrap_or_else(|| UnixTime::parse_rfc3339("2024-01-01T00:00:00Z").unwrap())
}

// spec: tpm.ek.not-attribute, tpm.ek.san, tpm.ek.oaep-oid
#[test]
fn every_certificate_leads_to_its_makers_root_or_fails_by_a_known_check() {
    let Some(root) = root() else { return };
    let world = World::new(&root);
    let mut expected = exceptions();
    let mut wrong = Vec::new();
    let mut makers: BTreeMap<String, usize> = BTreeMap::new();
    for (path, at) in rows(&root, &["tpm-ek-cert", "tpm-ca"]) {
        let file = fs::read(root.join(&path)).unwrap();
        let wanted = expected.remove(path.as_str()).unwrap_or("ok");
        let outcome = verify_ek(&file, world.at(instant(&at)));
        let found = match &outcome {
            Ok(verified) => {
                let facts = verified.fact();
                *makers
                    .entry(format!("{} {}", facts.root.maker, facts.root.jurisdiction))
                    .or_default() += 1;
                "ok"
            }
            Err(error) => error.check(),
        };
        if found != wanted {
            wrong.push(format!(
                "{path}\t{found}\t{:?}",
                outcome.map_err(|error| error.to_string()).err()
            ));
        }
    }
    println!("{makers:?}");
    wrong.extend(
        expected
            .keys()
            .map(|path| format!("{path}: no such capture")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn googles_signing_certificates_certify_an_ak_and_not_an_ek() {
    let Some(root) = root() else { return };
    let world = World::new(&root);
    let at = instant("2024-11-22T00:00:00Z");
    for (name, attests) in [("rsa_sign", true), ("ecc_sign", true), ("rsa_enc", false)] {
        let path = format!("open/tpm-ek-cert/go-tpm-tools__pca_tpm_{name}_cert.pem");
        let file = fs::read(root.join(path)).unwrap();
        let der = certificate_in(&file).unwrap();
        let certificate = zeuge_evidence::x509::Certificate::parse(&der).unwrap();
        let key = AttestationKey::of_certificate(&certificate).unwrap();
        let outcome = verify_ak_certificate(&key, &file, world.at(at));
        if attests {
            assert_eq!(outcome.unwrap().fact().root.maker, "Google");
        } else {
            assert_eq!(outcome.unwrap_err().check(), "tpm.ak.certificate");
        }
    }
}

/// The AK in the runtime claims of an HCL report, as the TPM's template makes it.
fn azure_ak(claims: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(claims);
    let (_, after) = text.split_once("HCLAkPub").unwrap();
    let (_, after) = after.split_once("\"n\":\"").unwrap();
    let (modulus, _) = after.split_once('"').unwrap();
    let modulus = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(modulus)
        .unwrap();
    let mut public = hex::decode("0001000b0005047200000010001400").unwrap();
    public.extend([0x0b, 0x08, 0x00, 0, 0, 0, 0, 1, 0]);
    public.extend(modulus);
    public
}

// spec: tpm.public.exponent, tpm.public.name, tpm.public.qualified-name
#[test]
fn azures_samples_are_signed_by_the_ak_of_their_hcl_report_in_the_endorsement_hierarchy() {
    let Some(root) = root() else { return };
    let pairs = [
        (
            "tpm-quote/trustee__quote-ed79a7.bin",
            "azure-hcl/tdx__trustee__evidence-v0-1.bin",
        ),
        (
            "tpm-quote/trustee__quote.bin",
            "azure-hcl/snp-milan__trustee__hcl-report.bin",
        ),
    ];
    for (quote, claims) in pairs {
        let read = |path: &str| fs::read(root.join("open").join(path)).unwrap();
        let public = azure_ak(&read(claims));
        let key = AttestationKey::read(&public).unwrap();
        let bundle = QuoteBundle::read(&read(quote)).unwrap().remove(0);
        check_quote_signature(&bundle.attest, &bundle.signature, &key, &AWS_LC).unwrap();
        let name = Public::parse(&public).unwrap().name().unwrap();
        let attest = Attest::parse(&bundle.attest).unwrap();
        assert_eq!(
            qualified_name(0x4000_000b, &name).as_deref(),
            Some(attest.qualified_signer)
        );
        let pcrs = PcrSelection {
            bank: HashAlgorithm::SHA256,
            pcrs: PcrSet::ALL,
        };
        let demand = Demand {
            nonce: Nonce::Exact(b"challenge"),
            selection: Selection::Exactly(&[pcrs]),
            previous: None,
            held: None,
            replayed: Demand::BOOT,
            ima_signers: &[],
            dangerous_sha1_bank: None,
        };
        let bundle = QuoteBundle {
            ak_public: Some(public),
            ..bundle
        };
        let world = World::new(&root);
        let context = world.at(instant(""));
        let untrusted = verify(&bundle, &demand, AkTrust::default(), context).unwrap_err();
        assert_eq!(untrusted.check(), "tpm.ak.proof");
        let enrolled = [EnrolledAk::Name(name)];
        let trust = AkTrust {
            enrolled: &enrolled,
            ..AkTrust::default()
        };
        let verified = verify(&bundle, &demand, trust, context).unwrap();
        assert!(matches!(
            &verified.fact().trust,
            TrustBasis::EnrolledByOwner(_)
        ));
        assert!(verified.fact().ak_attributes.is_some());
        // One bit anywhere in the statement breaks it.
        for at in [0, 40, 60, 100] {
            let mut changed = bundle.clone();
            changed.attest[at] ^= 1;
            assert!(verify(&changed, &demand, trust, context).is_err());
        }
    }
}

#[test]
fn a_sample_is_signed_by_the_bare_key_beside_it_and_by_no_other() {
    let Some(root) = root() else { return };
    let read = |name: &str| fs::read(root.join("open/tpm-quote").join(name)).unwrap();
    let key = AttestationKey::read(&read("azure-cvm-tooling__akpub.pem")).unwrap();
    let own = QuoteBundle::read(&read("azure-cvm-tooling__quote.bin"))
        .unwrap()
        .remove(0);
    check_quote_signature(&own.attest, &own.signature, &key, &AWS_LC).unwrap();
    let other = QuoteBundle::read(&read("trustee__quote.bin"))
        .unwrap()
        .remove(0);
    let error = check_quote_signature(&other.attest, &other.signature, &key, &AWS_LC).unwrap_err();
    assert_eq!(error.check(), "tpm.quote.signature");
}

#[test]
fn trustees_evidence_holds_with_its_nonce_and_the_key_it_carries() {
    let Some(root) = root() else { return };
    let file = fs::read(root.join("open/evidence-bundle/trustee__tpm_evidence.json")).unwrap();
    let bundle = QuoteBundle::read(&file).unwrap().remove(0);
    let attest = Attest::parse(&bundle.attest).unwrap();
    let nonce = attest.extra_data.to_vec();
    let world = World::new(&root);
    let because = Some("the capture carries no proof of its key");
    let trust = AkTrust {
        dangerous_unproven: because,
        ..AkTrust::default()
    };
    let demand = |nonce| Demand {
        nonce: Nonce::Exact(nonce),
        selection: Selection::AsQuoted {
            because: "a capture",
        },
        previous: None,
        held: None,
        replayed: Demand::BOOT,
        ima_signers: &[],
        dangerous_sha1_bank: None,
    };
    let context = world.at(instant(""));
    verify(&bundle, &demand(&nonce), trust, context).unwrap();
    let error = verify(&bundle, &demand(&nonce[..48]), trust, context).unwrap_err();
    assert_eq!(error.check(), "tpm.quote.nonce");
}

#[test]
fn googles_quotes_hold_bank_by_bank_and_their_log_replays() {
    let Some(root) = root() else { return };
    let world = World::new(&root);
    for (name, nonce) in [("no-nonce", &b""[..]), ("nonce9009", &[0x90, 0x09])] {
        let path = format!("open/tpm-quote/go-tpm-tools__gce-cos-85-{name}.bin");
        let bundles = QuoteBundle::read(&fs::read(root.join(path)).unwrap()).unwrap();
        let trust = AkTrust {
            dangerous_unproven: Some("the capture carries no certificate"),
            ..AkTrust::default()
        };
        let mut outcomes = Vec::new();
        for bundle in &bundles {
            let demand = Demand {
                nonce: Nonce::Exact(nonce),
                selection: Selection::AsQuoted {
                    because: "a capture",
                },
                previous: None,
                held: None,
                replayed: Demand::BOOT,
                ima_signers: &[],
                dangerous_sha1_bank: None,
            };
            outcomes.push(
                match verify(bundle, &demand, trust, world.at(instant(""))) {
                    Ok(verified) => {
                        let facts = verified.fact();
                        assert!(facts.boot.is_some(), "{name}");
                        format!("ok, explains {}", facts.explained)
                    }
                    Err(error) => error.check().to_owned(),
                },
            );
        }
        println!("{name}: {outcomes:?}");
        assert_eq!(outcomes[0], "tpm.quote.bank");
        assert!(outcomes[1].starts_with("ok"), "{outcomes:?}");
    }
}
