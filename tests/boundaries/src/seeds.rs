//! Inputs to begin with: toy evidence, and small files written by hand where no toy exists yet.
//! Captures are never among them; the runner adds them from `ZEUGE_VECTORS` where it is set.

mod by_hand;
mod snp;

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

use zeuge_log::{
    commitment::Commitment,
    leaf::{Leaf, Outcome},
    note::{Signer as LogSigner, VerifierKey},
    proof::TlogProof,
    tile::write_bundle,
};
use zeuge_protocol::{
    api::AttestRequest,
    binding::{Binding, BoundKey, Role, Witness},
    bundle::{Bundle, Media},
    challenge::{Challenge, ChallengeKey},
    document::{Owner, OwnerSet},
    ear::{Appraisal, Ear, Jwks, PROFILE, Status, Vector, VerifierId, cwt, jwt},
    keys::SigningKey,
    manifest::encrypt_secret,
    name::{Name, Path},
    request::{Request, Wanted},
    suite::Suite,
    text::base64url,
    waiver::{self, Waiver},
};

use crate::{cloud, intel, told, told_tpm};

/// The instant of everything, in Unix seconds: 2026-03-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_772_323_200;
pub(crate) const ISSUER: &str = "https://witness.example";
pub(crate) const AUDIENCE: &str = "bank";

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a good name")
}

fn key(fill: u8) -> SigningKey {
    SigningKey::from_seed(&[fill; 32]).expect("any seed will do")
}

/// The owners of the tenant: one key.
pub(crate) fn owners() -> OwnerSet {
    OwnerSet {
        tenant: name("tenant"),
        threshold: 1,
        author_is_not_approver: false,
        owners: vec![Owner {
            person: "ada".to_owned(),
            public_key: key(1).public(),
        }],
        carries: std::collections::BTreeSet::new(),
    }
}

/// The keys that sign tokens.
pub(crate) fn token_keys() -> Jwks {
    static KEYS: LazyLock<Jwks> = LazyLock::new(|| Jwks::of(&[key(2).public(), key(3).public()]));
    KEYS.clone()
}

/// The log's key.
pub(crate) fn log_key() -> VerifierKey {
    log_signer().verifier().clone()
}

fn log_signer() -> LogSigner {
    LogSigner::log("log.example", &[4; 32]).expect("a good name")
}

fn ear() -> Ear {
    let vector = Vector {
        hardware: 2,
        ..Vector::default()
    };
    let device = Appraisal {
        status: Status::Affirming,
        vector,
        policy_ids: vec!["tenant/default@1".to_owned()],
        failed: Vec::new(),
        makers: vec!["AMD".into()],
        product: Some("Milan".into()),
        adversaries: [("provider-employee".into(), "conditional".into())].into(),
        claims: serde_json::json!({"vmpl": 0}),
    };
    Ear {
        profile: PROFILE.to_owned(),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        issued: NOW - 10,
        expires: NOW + 100,
        nonce: Some(base64url(&[1; 32])),
        verifier_id: VerifierId {
            developer: "https://zeuge.invalid".to_owned(),
            build: "zeuged".to_owned(),
        },
        confirmation: None,
        confirmation_role: None,
        context: BTreeMap::new(),
        tenant: name("tenant"),
        policy_digest: [4; 32],
        knowledge_version: 0,
        receipt: None,
        submods: BTreeMap::from([("snp".to_owned(), device)]),
    }
}

/// A good token.
pub(crate) fn token() -> String {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN
        .get_or_init(|| jwt::sign(&ear(), &key(2)).expect("good claims"))
        .clone()
}

/// A JWT of any claims, signed: what stands behind the signature is read as well.
pub(crate) fn token_of(claims: &[u8]) -> String {
    let signer = key(2);
    let header = serde_json::json!({"alg": "EdDSA", "kid": signer.public().id().to_string()});
    let header = base64url(header.to_string().as_bytes());
    let input = format!("{header}.{}", base64url(claims));
    let signature = base64url(&signer.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// A report that its reader accepts: version 2, all zero but for what must not be.
pub(crate) fn bare_report() -> Vec<u8> {
    let mut report = vec![0; 0x4a0];
    report[0] = 2;
    report[0x00a] = 2;
    report[0x034] = 1;
    report
}

/// `target/name` and content of every seed.
///
/// # Panics
/// When a seed is not what its reader accepts.
#[must_use]
pub fn all() -> BTreeMap<String, Vec<u8>> {
    let mut out: BTreeMap<String, Vec<u8>> = told::evidence().into_iter().collect();
    out.extend(told_tpm::evidence());
    out.extend(cloud::seeds());
    out.insert("snp-report/bare".to_owned(), bare_report());
    out.insert("snp-told/honest".to_owned(), vec![0, 0]);
    out.insert("snp-told/debug".to_owned(), vec![0x80, 0, 2, 2, 0x0b]);
    out.insert("snp-told/other-chip".to_owned(), vec![0x81, 3, 21, 0, 1]);
    out.insert("quote-told/honest".to_owned(), vec![3, 0]);
    out.insert(
        "quote-told/signed-anew".to_owned(),
        vec![0x83, 0, 200, 0, 1],
    );
    out.insert("intel-document/honest".to_owned(), vec![3, 0]);
    out.insert(
        "intel-document/text".to_owned(),
        b"\x03\x00{\"id\":\"TDX\",\"version\":3}".to_vec(),
    );
    intel::seeds(&mut out);
    crate::kube::seeds(&mut out);
    wire(&mut out);
    ledger(&mut out);
    documents(&mut out);
    crate::reports::seeds(&mut out);
    by_hand::put_all(&mut out);
    snp::put_all(&mut out);
    for (name, text) in [
        ("time/z", "2026-03-01T00:00:00Z"),
        ("time/offset", "2026-03-01T01:00:00.5+01:00"),
        ("time/utc", "260301000000Z"),
        ("time/generalized", "20260301000000Z"),
        ("name/name", "witness-1.example"),
        ("name/path", "db/password"),
        (
            "endorsements/pem",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        ),
        ("kind/json", "{\"quote\":\"AA\"}"),
    ] {
        out.insert(name.to_owned(), text.into());
    }
    // What chooses between readers begins with one seed of each.
    let firsts = [
        "snp-report/0",
        "snp-json/fields",
        "snp-protobuf/0",
        "quote/0",
        "certificate/amd-0-vcek.der",
        "crl/amd-0-crl.der",
        "bundle/json",
        "bundle/cbor",
        "tpm-attest/quote",
        "event-log/agile",
    ];
    for first in firsts {
        let bytes = out.get(first).unwrap_or_else(|| panic!("no seed {first}"));
        out.insert(format!("kind/{}", first.replace('/', "-")), bytes.clone());
    }
    out
}

fn wire(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let suite = Suite::X_WING;
    let keys = BTreeMap::from([
        (
            Role::Kem,
            BoundKey::Kem {
                suite,
                public_key: vec![5; 1216],
            },
        ),
        (Role::Tls, BoundKey::ed25519(&[6; 32])),
    ]);
    let witness = Witness {
        id: name("witness"),
        tenant: name("tenant"),
        nonce: [9; 32],
    };
    let path = Path::parse("db/password").expect("a good path");
    let request = Request::release(
        [Wanted {
            path: path.clone(),
            version: 1,
        }],
        [suite],
    );
    let binding = Binding::new(
        vec![witness],
        keys,
        request.digest(),
        vec![vec![0; 34]],
        None,
    )
    .expect("a good binding");
    put("binding/two-keys", binding.encode());
    put("cbor/binding", binding.encode());
    let mut bundle = Bundle::new();
    bundle
        .put(name("cpu"), Media::SnpReport, bare_report())
        .expect("a small member");
    put("bundle/json", bundle.to_json().into_bytes());
    put("bundle/cbor", bundle.to_cbor());
    let challenge = Challenge::issue(name("witness"), name("tenant"), NOW - 5, 60, &mut |out| {
        out.fill(8);
    })
    .seal(&ChallengeKey::new(&[7; 32]));
    put("challenge/ours", challenge.clone().into_bytes());
    let ask = AttestRequest {
        tenant: name("tenant"),
        challenge,
        binding: binding.encode(),
        request,
        bundle: bundle.to_cbor(),
    };
    put("api/release", serde_json::to_vec(&ask).expect("JSON"));
    put("api/challenge", br#"{"tenant":"tenant"}"#.to_vec());
    secrets(out, &path);
    tokens(out);
}

fn secrets(out: &mut BTreeMap<String, Vec<u8>>, path: &Path) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let secret = encrypt_secret(
        &name("tenant"),
        path,
        1,
        &name("witness"),
        b"s",
        &mut |out| {
            out.fill(3);
        },
    )
    .expect("a small secret");
    put("manifest/manifest", secret.manifest.encode());
    put("manifest/share", secret.share.encode().to_vec());
    let mut document = secret.manifest.document(NOW - 10, NOW + 1000);
    document.sign(&key(1));
    put(
        "document/manifest",
        serde_json::to_vec(&document).expect("JSON"),
    );
    let waiver = Waiver {
        because: "a test".to_owned(),
        from: NOW,
        until: NOW + 3600,
        ..Waiver::new(
            "c".to_owned(),
            vec!["n".to_owned()],
            vec!["policy.tcb".to_owned()],
        )
    };
    put(
        "waiver/signed",
        waiver::sign(&waiver, &[&key(1)]).into_bytes(),
    );
    put(
        "document/owners",
        serde_json::to_vec(&owners()).expect("JSON"),
    );
}

fn tokens(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    put("token/jwt", token().into_bytes());
    put("token/claims", ear().claims().into_bytes());
    let cwt = cwt::sign(&ear(), &key(3)).expect("good claims");
    put("cbor/cwt", cwt.clone());
    put("token/cwt", base64url(&cwt).into_bytes());
    put(
        "token/keys",
        serde_json::to_vec(&token_keys()).expect("JSON"),
    );
}

fn ledger(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let verdict = Leaf::Verdict {
        time: 1_772_323_200,
        platform: "snp".to_owned(),
        outcome: Outcome::Warning,
        failed: vec!["policy.debug".to_owned()],
        evidence: [1; 32],
        policy: [2; 32],
        knowledge: "none".to_owned(),
        commitments: vec![("tenant".to_owned(), Commitment([3; 32]))],
    };
    let release = Leaf::ReleaseAuthorised {
        time: 1_772_323_200,
        manifest: [1; 32],
        recipient: [2; 32],
        challenge: [3; 32],
        policy_epoch: 0,
        tenant: Commitment([4; 32]),
        path: Commitment([5; 32]),
        version: Commitment([6; 32]),
        machine: Commitment([7; 32]),
    };
    let denials = Leaf::Denials {
        from: 1_772_323_200,
        until: 1_772_323_260,
        counts: vec![("snp.signature".to_owned(), 3)],
        source: Commitment([8; 32]),
    };
    let leaves = [verdict, release, denials].map(|leaf| leaf.encode().expect("a good leaf"));
    for (index, leaf) in leaves.iter().enumerate() {
        put(&format!("leaf/{index}"), leaf.clone());
    }
    put("tile/bundle", write_bundle(&leaves).expect("small leaves"));
    put("tile/hashes", vec![1; 64]);
    put("tile/path", b"tile/0/x001/x234/067".to_vec());
    put("tile/entries", b"tile/entries/273.p/112".to_vec());
    let root = zeuge_log::hash::leaf_hash(&leaves[0]);
    let signed = zeuge_log::checkpoint::SignedCheckpoint::sign(&log_signer(), 1, root);
    let checkpoint = signed.expect("a good checkpoint").note();
    put("checkpoint/signed", checkpoint.clone().into_bytes());
    put("checkpoint/key", log_key().to_string().into_bytes());
    let proof = TlogProof {
        extra: Some(leaves[0].clone()),
        index: 0,
        path: Vec::new(),
        checkpoint,
    };
    put("proof/receipt", proof.write().into_bytes());
}

fn documents(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, text: String| out.insert(name.to_owned(), text.into());
    put("policy/floor", "schema = \"zeuge.policy.v1\"\n".to_owned());
    put(
        "policy/snp",
        "schema = \"zeuge.policy.v1\"\n[snp]\nrefused_products = [\"Milan\"]\nforbid_smt = true\n\
         dangerous_allow_debug = \"a rehearsal\"\n[tpm]\nrequire_secure_boot = true\n"
            .to_owned(),
    );
    let values = format!(
        "schema = \"zeuge.reference-values.v1\"\n[minimum_tcb.Genoa]\nsnp = 27\nmicrocode = 84\n\
         [[snp]]\nname = \"web\"\nmeasurements = [\"{}\"]\n",
        "22".repeat(48)
    );
    zeuge_appraise::ReferenceValues::parse(&values).expect("good values");
    put("reference-values/snp", values);
    let rule = "schema = \"zeuge.release-rule.v1\"\ntenant = \"tenant\"\npath = \"db/password\"\n\
                door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
                chips = \"dangerous_any_chip\"\nworkload = \"web\"\n";
    zeuge_appraise::ReleaseRule::parse(rule).expect("a good rule");
    put("release-rule/any-chip", rule.to_owned());
    let registry = format!(
        "schema = \"zeuge.hardware.v1\"\n[[intel]]\nname = \"rack\"\nppid = \"{}\"\n\
         keys = [{{ cpu_svn = \"{}\", pce_svn = 13, public_key = \"{}\" }}]\n",
        "11".repeat(16),
        "02".repeat(16),
        "aa".repeat(32)
    );
    zeuge_appraise::HardwareRegistry::parse(&registry).expect("a good registry");
    put("hardware/intel", registry);
    put("knowledge/small", knowledge());
    let roots = "schema = \"zeuge.tpm-roots.v1\"\n[[root]]\nfile = \"amd-ftpm.der\"\nmaker = \"AMD\"\n\
                 jurisdiction = \"US\"\norigin = \"https://ftpm.amd.com/pki/aia\"\n";
    zeuge_appraise::tpm::named_roots(roots).expect("good roots");
    put("tpm-roots/own", roots.to_owned());
}

/// The least that threat knowledge may be, with one row that can say something.
fn knowledge() -> String {
    let texts = |name: &str| format!("{name} = {{ en = \"e\", de = \"d\" }}\n");
    let mut text =
        "schema = \"zeuge.threat-knowledge.v1\"\nversion = 1\nstate_of = \"2026-01-01\"\n\
                    line = []\nfloor = []\nroot = []\nlimit = []\napproach = []\nhistory = []\n\
                    price = []\nkind = []\nregime = []\n[sources]\nS = { title = \"s\" }\n\
                    [[threat]]\nid = \"A-1\"\ngroup = \"amd\"\nname = \"n\"\nyear = \"2026\"\n\
                    positions = [\"hv\"]\nbreaks = [\"keys\"]\naffected = \"a\"\n\
                    confidence = \"secondary\"\nsources = [\"S\"]\notherwise = \"UNPROVABLE\"\n\
                    applies = { evidence = [\"snp\"] }\nrule = [{ state = \"PROVEN\", when = \
                    { all = [{ mitigation = 2 }, { not = { vmpl = [1] } }] } }]\n"
            .to_owned();
    text.push_str(&texts("general"));
    text.push_str(&texts("mitigation"));
    for who in zeuge_appraise::threats::Who::ALL {
        text.push_str(&format!(
            "[[adversary]]\nwho = \"{}\"\ncan = [\"hv\"]\ninvisible = \"conditional\"\n\
             approaches = []\n{}{}",
            who.word(),
            texts("name"),
            texts("general")
        ));
    }
    zeuge_appraise::Knowledge::parse(&text).expect("good knowledge");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_protocol::ear::verify_ear;

    #[test]
    fn good_claims_are_believed_once_they_are_signed() {
        let token = token_of(ear().claims().as_bytes());
        let believed = verify_ear(&token, &token_keys(), ISSUER, AUDIENCE, NOW);
        assert_eq!(believed, Ok(ear()));
    }
}
