//! What stands before the chip in clouds: Azure's HCL reports and their JSON, AWS's documents,
//! Google's endorsements of firmware.

use zeuge_evidence::{
    azure::{self, Evidence, HclReport, LocalTdReport, RuntimeClaims},
    google::{self, LaunchEndorsement},
    nitro::{self, Signed},
};

use crate::{
    meter::{Bound, within},
    must,
};

/// Claims are a tree of JSON.
const CLAIMS: Bound = Bound::new(4, 48 * 1024 * 1024);
/// Registers and certificates are references.
const DOCUMENT: Bound = Bound::new(16, 8192);

/// An HCL report, its claims, and what `zeuge inspect` shows of them.
pub(crate) fn hcl(bytes: &[u8]) {
    let length = bytes.len();
    let report = match within(Bound::new(0, 0), length, || HclReport::parse(bytes)) {
        Ok(report) => report,
        Err(malformed) => {
            must::refuse(&malformed, length);
            assert!(azure::annotate(bytes).is_err());
            return;
        }
    };
    // What is hashed and compared lies where the layout says.
    assert_eq!(report.report, &bytes[32..1216]);
    assert_eq!(report.claims, &bytes[1236..1236 + report.claims.len()]);
    let at = match report.hardware {
        azure::Hardware::Snp => 32 + 0x50,
        azure::Hardware::Tdx => 32 + 128,
    };
    assert_eq!(report.report_data(), bytes[at..at + 64]);
    if let Err(malformed) = LocalTdReport::parse(report.report) {
        must::refuse(&malformed, length);
    }
    match within(CLAIMS, length, || RuntimeClaims::parse(report.claims)) {
        Ok(claims) => assert!(claims.keys.len() <= 8),
        Err(malformed) => must::refuse(&malformed, length),
    }
    match azure::annotate(bytes) {
        Ok(tree) => must::show_in_place(&tree, bytes),
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// The JSON around an HCL report.
pub(crate) fn evidence(bytes: &[u8]) {
    let length = bytes.len();
    match within(CLAIMS, length, || Evidence::read(bytes)) {
        Ok(evidence) => {
            assert!(evidence.hcl.len() <= length && evidence.certificates.len() <= 8);
            assert!(evidence.version.is_none() == evidence.quote.is_none());
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// An attestation document of AWS's hypervisor, in any wrapping.
pub(crate) fn document(bytes: &[u8]) {
    let length = bytes.len();
    // Without its line ends, and decoded.
    let unwrapped = within(Bound::new(2, 128), length, || nitro::unwrapped(bytes));
    let (document, _) = match unwrapped {
        Ok(found) => found,
        Err(malformed) => return must::refuse(&malformed, length),
    };
    let bytes = document.as_ref();
    let length = bytes.len();
    match within(DOCUMENT, length, || Signed::parse(bytes)) {
        Ok(signed) => {
            let from = signed.payload_offset;
            assert_eq!(signed.payload, &bytes[from..from + signed.payload.len()]);
            assert!(signed.signed_message().ends_with(signed.payload));
            match within(DOCUMENT, length, || signed.document()) {
                Ok(document) => {
                    assert!(!document.pcrs.is_empty() && document.pcrs.len() <= 32);
                    assert!(document.pcrs.keys().all(|index| *index < 32));
                    let tree = nitro::annotate(bytes).expect("what is read can be shown");
                    must::show_in_place(&tree, bytes);
                }
                Err(malformed) => must::refuse(&malformed, length),
            }
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// The endorsement, its measurements by reference, and certificates out of PEM.
const ENDORSEMENT: Bound = Bound::new(32, 16_384);

/// Google's endorsement of firmware.
pub(crate) fn endorsement(bytes: &[u8]) {
    let length = bytes.len();
    match within(ENDORSEMENT, length, || LaunchEndorsement::parse(bytes)) {
        Ok(read) => {
            assert!(read.signed.len() + read.signature.len() <= length);
            assert!(read.golden.bundle.len() <= 4);
            let digest = read.golden.digest.len();
            assert!(digest == 0 || digest == 48);
            let tree = google::annotate(bytes).expect("what is read can be shown");
            must::show_in_place(&tree, bytes);
        }
        Err(malformed) => {
            must::refuse(&malformed, length);
            assert!(google::annotate(bytes).is_err());
        }
    }
}

/// Toy evidence to begin with.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    use zeuge_sim::{
        AzureCpu, AzureSpec, EndorsementSpec, NitroSpec, Product, ToyAzure, ToyGoogle, ToyNitro,
    };
    let now = zeuge_evidence::UnixTime(crate::seeds::NOW);
    let mut out = Vec::new();
    for (name, cpu, json) in [
        ("snp-0", AzureCpu::Snp(Product::Milan), 0),
        ("snp-2", AzureCpu::Snp(Product::Genoa), 2),
        ("tdx-1", AzureCpu::Tdx, 1),
    ] {
        let spec = AzureSpec {
            json,
            ..AzureSpec::new(cpu)
        };
        let told = ToyAzure::shared().tell(None, &spec, now);
        out.push((format!("azure-hcl/{name}"), told.hcl));
        out.push((format!("azure-evidence/{name}"), told.file));
    }
    for (name, tpm) in [("enclave", false), ("tpm", true)] {
        let told = ToyNitro::shared().tell(None, &NitroSpec::new(tpm), now);
        out.push((format!("nitro/{name}"), told.file));
    }
    let spec = EndorsementSpec::new([0x61; 48], [0x62; 48]);
    let told = ToyGoogle::shared().tell(None, &spec, now);
    out.push(("google-endorsement/both".to_owned(), told));
    out
}
