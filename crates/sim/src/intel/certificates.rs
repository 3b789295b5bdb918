//! Intel's certificates and revocation lists, shaped as Intel shapes them.
//!
//! Root, PCK CAs, PCK certificates with the SGX extension, TCB signing, and lists: names, order of
//! extensions and string types are those of real ones. Signs with the keys it is given; never
//! decides who signs what.

use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use zeuge_evidence::UnixTime;

use super::{PckCa, QuoteSpec, sign};
use crate::{
    der_write::{
        bits, element, enumerated, explicit, integer, no, octets, oid, printable, sequence, set,
        time, unsigned, utf8, yes,
    },
    x509_write::{
        CERT_SIGN, CRL_SIGN, Window, authority_key_id, basic_constraints, extension, key_id,
        key_usage, subject_key_id,
    },
};

/// Intel's arc of the SGX extension.
const SGX: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];
/// Where the root's list is.
pub(super) const ROOT_LIST: &str =
    "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

/// Where the list of a PCK CA is.
pub(super) fn pck_list(ca: PckCa) -> String {
    format!(
        "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca={}&encoding=der",
        ca.name()
    )
}

/// What an issuer puts its name to.
pub(super) struct CertificateBody {
    pub(super) serial: Vec<u8>,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) window: Window,
    /// SubjectPublicKeyInfo in DER.
    pub(super) key: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
}

impl CertificateBody {
    /// The certificate in DER.
    pub(super) fn signed_with(&self, key: &EcdsaKeyPair) -> Vec<u8> {
        let body = sequence(&[
            &explicit(0, &integer(2)),
            &unsigned(&self.serial),
            &algorithm(),
            &name(&self.issuer),
            &sequence(&[&time(self.window.from), &time(self.window.to)]),
            &name(&self.subject),
            &self.key,
            &explicit(3, &element(0x30, &self.extensions.concat())),
        ]);
        signed(&body, key)
    }
}

/// What an issuer says about revoked certificates.
pub(super) struct ListBody {
    pub(super) issuer: String,
    pub(super) issuer_key_id: Vec<u8>,
    /// thisUpdate and nextUpdate.
    pub(super) window: Window,
    pub(super) number: u64,
    /// Serial numbers and since when.
    pub(super) revoked: Vec<(Vec<u8>, UnixTime)>,
}

impl ListBody {
    /// The list in DER.
    pub(super) fn signed_with(&self, key: &EcdsaKeyPair) -> Vec<u8> {
        let entries: Vec<u8> = self
            .revoked
            .iter()
            .flat_map(|(serial, since)| sequence(&[&unsigned(serial), &time(*since)]))
            .collect();
        // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
        let revoked = if entries.is_empty() {
            Vec::new()
        } else {
            element(0x30, &entries)
        };
        let extensions = sequence(&[
            &authority_key_id(&self.issuer_key_id),
            &extension(&[2, 5, 29, 20], false, &integer(self.number)),
        ]);
        let body = sequence(&[
            &integer(1),
            &algorithm(),
            &name(&self.issuer),
            &time(self.window.from),
            &time(self.window.to),
            &revoked,
            &explicit(0, &extensions),
        ]);
        signed(&body, key)
    }
}

/// ecdsa-with-SHA256, without parameters (RFC 5758 §3.2).
fn algorithm() -> Vec<u8> {
    sequence(&[&oid(&[1, 2, 840, 10_045, 4, 3, 2])])
}

/// Body, algorithm, signature.
fn signed(body: &[u8], key: &EcdsaKeyPair) -> Vec<u8> {
    let fixed = sign(key, body);
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let signature = sequence(&[&unsigned(r), &unsigned(s)]);
    sequence(&[body, &algorithm(), &bits(0, &signature)])
}

/// The distinguished name with this common name, in Intel's order and string types.
fn name(common_name: &str) -> Vec<u8> {
    let attribute = |last: u64, value: &[u8]| set(&sequence(&[&oid(&[2, 5, 4, last]), value]));
    sequence(&[
        &attribute(3, &utf8(common_name)),
        &attribute(10, &utf8("Intel Corporation")),
        &attribute(7, &utf8("Santa Clara")),
        &attribute(8, &utf8("CA")),
        &attribute(6, &printable("US")),
    ])
}

/// What a certified key may do, and where its issuer's list is.
pub(super) struct Constraints {
    pub(super) usage: u8,
    pub(super) authority: bool,
    pub(super) path_length: Option<u64>,
    pub(super) list: String,
}

impl Constraints {
    /// Those of the root.
    pub(super) fn root() -> Self {
        Self {
            usage: CERT_SIGN | CRL_SIGN,
            authority: true,
            path_length: Some(1),
            list: ROOT_LIST.to_owned(),
        }
    }
}

/// The five extensions of every certificate of Intel's, in their real order.
pub(super) fn extensions(
    issuer: &EcdsaKeyPair,
    point: &[u8],
    constraints: &Constraints,
) -> Vec<Vec<u8>> {
    let general_name = element(0x86, constraints.list.as_bytes());
    let place = sequence(&[&explicit(0, &explicit(0, &general_name))]);
    vec![
        authority_key_id(&key_id(issuer.public_key().as_ref())),
        extension(&[2, 5, 29, 31], false, &sequence(&[&place])),
        subject_key_id(&key_id(point)),
        key_usage(constraints.usage),
        basic_constraints(constraints.authority, constraints.path_length),
    ]
}

/// What a PCK certificate says about its platform.
pub(super) struct SgxClaims {
    pub(super) ca: PckCa,
    pub(super) ppid: [u8; 16],
    pub(super) components: [u8; 16],
    pub(super) pce_svn: u16,
    pub(super) cpu_svn: [u8; 16],
    /// FMSPC; `None` for a certificate that leaves it out.
    pub(super) fmspc: Option<[u8; 6]>,
}

impl SgxClaims {
    pub(super) fn of(spec: &QuoteSpec) -> Self {
        Self {
            ca: spec.ca,
            ppid: spec.ppid,
            components: spec.components,
            pce_svn: spec.pce_svn,
            cpu_svn: spec.components,
            fmspc: Some(spec.fmspc),
        }
    }

    /// The SGX extension (fact sheet §3).
    pub(super) fn extension(&self) -> Vec<u8> {
        let member =
            |suffix: &[u64], value: &[u8]| sequence(&[&oid(&[&SGX[..], suffix].concat()), value]);
        let mut tcb = Vec::new();
        for (number, svn) in (1..).zip(self.components) {
            tcb.extend(member(&[2, number], &integer(u64::from(svn))));
        }
        tcb.extend(member(&[2, 17], &integer(u64::from(self.pce_svn))));
        tcb.extend(member(&[2, 18], &octets(&self.cpu_svn)));
        let mut members = [
            member(&[1], &octets(&self.ppid)),
            member(&[2], &element(0x30, &tcb)),
            member(&[3], &octets(&[0, 0])),
        ]
        .concat();
        if let Some(fmspc) = self.fmspc {
            members.extend(member(&[4], &octets(&fmspc)));
        }
        members.extend(member(&[5], &enumerated(self.ca.sgx_type())));
        if self.ca == PckCa::Platform {
            let flags = [
                member(&[7, 1], &no()),
                member(&[7, 2], &yes()),
                member(&[7, 3], &no()),
            ]
            .concat();
            members.extend(member(&[6], &octets(&[0x71; 16])));
            members.extend(member(&[7], &element(0x30, &flags)));
        }
        extension(&SGX, false, &element(0x30, &members))
    }
}
