//! What a cluster hands over: certificate requests of kubelets, certificates that the API server
//! signed, and reports that somebody signed over a span of time.
//!
//! Nothing here knows Kubernetes: the readers are asked, never the cluster.

use std::{collections::BTreeMap, sync::OnceLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use zeuge_kube::{certificate, pkcs10, request as asking};
use zeuge_protocol::{keys::SigningKey, text::base64url};

use crate::meter::{Bound, within};

/// The text of a request, its DER and its names, each a copy of some of its bytes.
const REQUEST: Bound = Bound::new(8, 16 * 1024);
/// The text of a certificate and its DER.
const CERTIFICATE: Bound = Bound::new(4, 4096);
/// A signed page, its payload, and what is shown of each of its nodes: lists of small records.
const PAGE: Bound = Bound::new(192, 64 * 1024);

/// The generator of P-256: the public key to the secret number one.
const POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2\
                     fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

fn kubelet() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut secret = [0; 32];
        secret[31] = 1;
        let point = hex::decode(POINT).expect("hexadecimal digits");
        EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &secret,
            &point,
        )
        .expect("the generator belongs to the number one")
    })
}

/// One element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short element");
    let mut out = vec![tag];
    match length.to_be_bytes() {
        [0, short @ 0..=0x7f] => out.push(short),
        [0, long] => out.extend([0x81, long]),
        both => out.extend([0x82, both[0], both[1]]),
    }
    out.extend(content);
    out
}

/// A request that says this and is signed by the kubelet's key.
fn signed(information: &[u8]) -> Vec<u8> {
    let information = element(0x30, information);
    let algorithm = element(0x30, b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02");
    let signature = kubelet()
        .sign(&SystemRandom::new(), &information)
        .expect("a curve key signs any message");
    let signature = element(0x03, &[&[0][..], signature.as_ref()].concat());
    element(0x30, &[information, algorithm, signature].concat())
}

/// A certificate request: as it comes (PEM), as DER, and as what is signed once more, so that rules
/// and not the signature must refuse.
pub(crate) fn request(bytes: &[u8]) {
    read(bytes, bytes);
    read(
        asking::armour("CERTIFICATE REQUEST", bytes).as_bytes(),
        bytes,
    );
    let signed = signed(bytes);
    if read(
        asking::armour("CERTIFICATE REQUEST", &signed).as_bytes(),
        bytes,
    ) {
        // Whoever holds another key cannot have made it.
        let mut other = signed;
        let last = other.last_mut().expect("a request is not empty");
        *last ^= 1;
        let other = asking::armour("CERTIFICATE REQUEST", &other);
        assert!(pkcs10::read(other.as_bytes()).is_err());
    }
}

/// Whether it was read; every name stands in the request as it is.
fn read(pem: &[u8], bytes: &[u8]) -> bool {
    let request = match within(REQUEST, pem.len(), || pkcs10::read(pem)) {
        Ok(request) => request,
        Err(because) => {
            assert!(!because.is_empty() && because.len() < 200);
            return false;
        }
    };
    let subject = request.organizations.len() + request.common_names.len();
    assert!(subject <= pkcs10::NAMES_MAX, "{subject} names of a subject");
    let others = request.dns.len() + request.addresses.len();
    assert!(others <= pkcs10::NAMES_MAX, "{others} alternative names");
    if !bytes.starts_with(b"-----") {
        let names = request.organizations.iter().chain(&request.common_names);
        for name in names.chain(&request.dns) {
            let stands =
                name.is_empty() || bytes.windows(name.len()).any(|at| at == name.as_bytes());
            assert!(stands, "{name:?} stands nowhere");
        }
    }
    true
}

/// A certificate: as it comes (PEM), and as DER.
pub(crate) fn validity(bytes: &[u8]) {
    let armoured = asking::armour("CERTIFICATE", bytes);
    for pem in [bytes, armoured.as_bytes()] {
        if let Some(validity) = within(CERTIFICATE, pem.len(), || certificate::validity(pem)) {
            assert!(validity.from <= validity.until, "{validity:?}");
            let half = validity.half();
            assert!(
                (validity.from..=validity.until).contains(&half),
                "{validity:?}"
            );
        }
    }
}

fn auditor() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::from_seed(&[5; 32]).expect("any seed will do"))
}

fn page(payload: &[u8]) -> String {
    let message = [&b"zeuge-kube-report-v1\0"[..], payload].concat();
    format!(
        r#"{{"payload":"{}","public_key":"{}","signature":"{}"}}"#,
        base64url(payload),
        base64url(&auditor().public().0),
        base64url(&auditor().sign(&message))
    )
}

/// A signed report: as it comes, and as what is signed once more.
pub(crate) fn report(bytes: &[u8]) {
    let public = auditor().public();
    let signed = page(bytes);
    for text in [std::str::from_utf8(bytes).ok(), Some(signed.as_str())] {
        let Some(text) = text else { continue };
        match within(PAGE, text.len(), || zeuge_kube::report(text, &public)) {
            Ok(shown) => {
                assert!(!shown.is_empty());
                let stranger = SigningKey::from_seed(&[6; 32]).expect("any seed will do");
                let refused = zeuge_kube::report(text, &stranger.public());
                assert_eq!(refused, Err("the signature is not this key's"));
            }
            Err(because) => assert!(!because.is_empty() && because.len() < 200),
        }
    }
}

/// What a kubelet asks for, without its signature.
fn information(organization: &str, name: &str, attributes: &[u8]) -> Vec<u8> {
    let pair = |kind: u8, value: &str| {
        let kind = element(0x06, &[0x55, 0x04, kind]);
        let value = element(0x0c, value.as_bytes());
        element(0x31, &element(0x30, &[kind, value].concat()))
    };
    let subject = [pair(0x0a, organization), pair(0x03, name)].concat();
    let algorithm = element(
        0x30,
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    );
    let point = [vec![0], hex::decode(POINT).expect("hexadecimal digits")].concat();
    [
        element(0x02, &[0]),
        element(0x30, &subject),
        element(0x30, &[algorithm, element(0x03, &point)].concat()),
        element(0xa0, attributes),
    ]
    .concat()
}

/// The attribute by which a serving certificate's names are asked for.
fn alternative_names() -> Vec<u8> {
    let names = [
        element(0x82, b"worker-1"),
        element(0x87, &[192, 0, 2, 7]),
        element(0x87, &[0x20; 16]),
    ]
    .concat();
    let extension = [
        element(0x06, &[0x55, 0x1d, 0x11]),
        element(0x01, &[0xff]),
        element(0x04, &element(0x30, &names)),
    ]
    .concat();
    let kind = element(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e");
    let values = element(0x31, &element(0x30, &element(0x30, &extension)));
    element(0x30, &[kind, values].concat())
}

/// A report over one node that failed and was repaired.
const REPORT: &str = r#"{"schema":"zeuge.kube-report.v1","cluster":"c","from":"2026-11-01T00:00:00Z","to":"2026-12-01T00:00:00Z","made_at":"2026-12-01T00:00:00Z","signer":"Ada","policy":{"maxAgeSeconds":900,"compromised":["n"]},"summary":{"nodes":1,"expected":96,"actual":90,"gap_seconds":900,"failures":1,"waivers":0,"slowest_reaction_seconds":2,"incomplete":[]},"nodes":[{"node":"worker-1","lived_seconds":86400,"lives":[{"from":"2026-11-01T00:00:00Z","to":"2026-11-02T00:00:00Z"}],"expected":96,"actual":90,"gaps":[],"gap_seconds":900,"failures":[{"at":"2026-11-01T10:00:00Z","checks":["policy.debug"],"step":{"at":"2026-11-01T10:00:02Z","step":"Distrust"},"reaction_seconds":2,"repaired_at":null}],"steps":[],"waivers":[],"complete_since":null}],"notes":["n"]}"#;

/// Seeds of these boundaries.
pub(crate) fn seeds(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let client = information("system:nodes", "system:node:worker-1", &[]);
    put("kube-request/client", client.clone());
    put(
        "kube-request/serving",
        information("system:nodes", "system:node:worker-1", &alternative_names()),
    );
    put("kube-request/der", signed(&client));
    put(
        "kube-request/pem",
        asking::armour("CERTIFICATE REQUEST", &signed(&client)).into_bytes(),
    );
    let times = [
        element(0x17, b"260301000000Z"),
        element(0x18, b"20500101000000Z"),
    ]
    .concat();
    let body = [
        element(0xa0, &element(0x02, &[2])),
        element(0x02, &[7]),
        element(0x30, &[]),
        element(0x30, &[]),
        element(0x30, &times),
    ]
    .concat();
    let certificate = element(0x30, &element(0x30, &body));
    put(
        "kube-certificate/pem",
        asking::armour("CERTIFICATE", &certificate).into_bytes(),
    );
    put("kube-certificate/der", certificate);
    put("kube-report/payload", REPORT.into());
    put("kube-report/signed", page(REPORT.as_bytes()).into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_what_their_readers_accept() {
        let mut seeds = BTreeMap::new();
        super::seeds(&mut seeds);
        let seed = |name: &str| seeds[name].clone();
        for name in ["client", "serving"] {
            let signed = signed(&seed(&format!("kube-request/{name}")));
            let read = pkcs10::read(asking::armour("CERTIFICATE REQUEST", &signed).as_bytes());
            let read = read.expect("a good request");
            assert_eq!(read.common_names, ["system:node:worker-1"]);
            assert_eq!(read.dns.len(), usize::from(name == "serving"));
        }
        let validity = certificate::validity(&seed("kube-certificate/pem"));
        let validity = validity.map(|it| (it.from, it.until));
        assert_eq!(validity, Some((1_772_323_200, 2_524_608_000)));
        let signed = String::from_utf8(seed("kube-report/signed")).expect("JSON");
        let shown = zeuge_kube::report(&signed, &auditor().public()).expect("a good report");
        assert!(shown.contains("Distrust after 2 s"), "{shown}");
    }
}
