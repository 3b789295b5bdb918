//! What a quote's verification will look for, so that another room can fetch it.
//!
//! Names things, never addresses: the addresses of Intel's services belong to `zeuge-collateral`.

use zeuge_evidence::{
    dcap::{CertificationData, Quote, Tee},
    x509::Certificate,
};

use super::{chain, pck::PckExtension};

/// One endorsement, by what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndorsementId {
    /// The PCK certificate of a platform that the quote names without certifying it.
    PckCertificate {
        /// The PPID as the quote carries it, plain or encrypted for Intel's service, in hex.
        ppid: String,
        /// CPUSVN in hex.
        cpu_svn: String,
        /// PCESVN.
        pce_svn: u16,
        /// PCEID, two bytes as received, where the quote names it.
        pce_id: Option<[u8; 2]>,
        /// The QE id of the header in hex.
        qe_id: String,
    },
    /// The revocation list of Intel's root.
    RootCrl,
    /// The revocation list of a PCK CA.
    PckCrl {
        /// `platform` or `processor`, as Intel's addresses write it.
        ca: &'static str,
    },
    /// The TCB Info of a platform.
    TcbInfo {
        /// Whether for SGX or for TDX.
        tee: Tee,
        /// FMSPC.
        fmspc: [u8; 6],
    },
    /// The identity of the quoting enclave.
    QeIdentity {
        /// Whether for SGX or for TDX.
        tee: Tee,
    },
}

/// The certificates in DER that the quote itself brings, leaf first; believed by nobody. Empty for
/// a quote that brings none, or something else in their place.
#[must_use]
pub fn certificates(quote: &Quote<'_>) -> Vec<Vec<u8>> {
    chain::brought(quote).unwrap_or_default()
}

/// Whether this certificate in DER names an authority of Intel's or the signer of its documents,
/// and not a platform. Believes nothing.
#[must_use]
pub fn is_of_authority(certificate: &[u8]) -> bool {
    Certificate::parse(certificate).is_ok_and(|certificate| {
        let name = certificate.subject.common_name().unwrap_or_default();
        ["SGX Root CA", "SGX PCK P", "SGX TCB Signing"]
            .iter()
            .any(|part| name.contains(part))
    })
}

/// `platform` or `processor`: the CA whose common name this is, as Intel's addresses write it.
#[must_use]
pub fn ca_of(common_name: &str) -> Option<&'static str> {
    [("Platform CA", "platform"), ("Processor CA", "processor")]
        .into_iter()
        .find(|(part, _)| common_name.contains(part))
        .map(|(_, ca)| ca)
}

/// Which endorsements this quote needs. Pure: fetches nothing, believes nothing.
///
/// A quote that brings no certificate does not say its FMSPC; then the certificate is named first,
/// and the TCB Info once the certificate is there.
#[must_use]
pub fn needs(quote: &Quote<'_>) -> Vec<EndorsementId> {
    let tee = quote.header.tee;
    let mut out = Vec::new();
    if let CertificationData::Platform {
        ppid,
        cpu_svn,
        pce_svn,
        pce_id,
        ..
    } = &quote.certification
    {
        out.push(EndorsementId::PckCertificate {
            ppid: hex::encode(ppid),
            cpu_svn: hex::encode(cpu_svn),
            pce_svn: *pce_svn,
            pce_id: *pce_id,
            qe_id: hex::encode(quote.header.user_data.get(..16).unwrap_or_default()),
        });
    }
    out.push(EndorsementId::RootCrl);
    let brought = chain::brought(quote).unwrap_or_default();
    let leaf = brought
        .first()
        .and_then(|leaf| Certificate::parse(leaf).ok());
    if let Some(leaf) = leaf {
        let issuer = leaf.issuer.common_name().unwrap_or_default();
        out.extend(ca_of(issuer).map(|ca| EndorsementId::PckCrl { ca }));
        if let Ok(extension) = PckExtension::of(&leaf) {
            let fmspc = extension.fmspc;
            out.push(EndorsementId::TcbInfo { tee, fmspc });
        }
    }
    out.push(EndorsementId::QeIdentity { tee });
    out
}
