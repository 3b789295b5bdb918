//! How evidence is told, truly or with one lie.
//!
//! Five steps, each with the place where a lie may step in: what the report says, the leaf, the
//! other endorsements, the signature, the file. A lie changes one step and leaves the rest as an
//! honest vendor would have made it.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use zeuge_evidence::UnixTime;

use super::{
    ReportSpec, Signer, ToyAmd,
    certificates::{CertificateBody, Pss},
    containers::{self, Slot},
    leaf_claims, leaf_window,
    report::{Draft, POLICY_MUST_BE_ONE},
};
use crate::{
    Lie, Product,
    x509_write::{DAY, P256, Window, curve_key_info, flip_last_bit, years_later},
};

/// Bits of GUEST_POLICY.
const MIGRATE_MA: u64 = 1 << 18;
const DEBUG: u64 = 1 << 19;
/// What stands where a certificate or list should: an OCTET STRING, so not even a SEQUENCE.
const JUNK: [u8; 4] = [0x04, 2, 0x6e, 0x6f];

/// What the toy hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToyEvidence {
    /// The report, 1184 bytes (1183 for the lie about its length).
    pub report: Vec<u8>,
    /// File names and contents (DER) of what endorses it.
    pub endorsements: Vec<(String, Vec<u8>)>,
    /// The bytes to feed as the evidence file: the report, but for lies about tables, JSON and
    /// protobuf.
    pub evidence_file: Vec<u8>,
    /// The instant to verify at.
    pub at: UnixTime,
    /// What REPORT_DATA must be.
    pub expected_report_data: [u8; 64],
    product: Product,
    signer: Signer,
}

impl ToyEvidence {
    /// The report with a GUID certificate table of all endorsements behind it, as the kernel
    /// hands it out.
    #[must_use]
    pub fn table_file(&self) -> Vec<u8> {
        [self.report.clone(), containers::table(&self.slots(), 0)].concat()
    }

    /// The evidence as a Trustee client sends it: JSON with the leaf.
    #[must_use]
    pub fn json_file(&self) -> Vec<u8> {
        containers::json(&self.report, self.product, self.leaf(), false)
    }

    /// The evidence as go-sev-guest writes it: protobuf with the leaf.
    #[must_use]
    pub fn protobuf_file(&self) -> Vec<u8> {
        containers::protobuf(&self.report, self.leaf(), false)
    }

    fn leaf(&self) -> (Signer, &[u8]) {
        let name = leaf_file(self.signer);
        let found = self.endorsements.iter().find(|(file, _)| *file == name);
        (self.signer, found.map_or(&[], |(_, bytes)| bytes))
    }

    fn slots(&self) -> Vec<(Slot, Vec<u8>)> {
        let slot = |name: &str| match name {
            "vcek.der" => Slot::Vcek,
            "vlek.der" => Slot::Vlek,
            "ark.der" => Slot::Ark,
            "crl.der" => Slot::Crl,
            _ => Slot::Ask,
        };
        self.endorsements
            .iter()
            .map(|(name, bytes)| (slot(name), bytes.clone()))
            .collect()
    }

    fn without(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.endorsements.retain(|(file, _)| file != name);
        rest
    }
}

fn leaf_file(signer: Signer) -> String {
    format!("{}.der", signer.name())
}

const fn intermediate_file(signer: Signer) -> &'static str {
    match signer {
        Signer::Vcek => "ask.der",
        Signer::Vlek => "asvk.der",
    }
}

impl ToyAmd {
    /// Evidence of the machine in `spec`, honest or with one lie, as of `now`.
    ///
    /// Some lies need a machine of their own and change `spec` for it: lies about VLEKs are
    /// signed by one, the chip-id lie by a VCEK, the product lie has version 3 or later.
    #[must_use]
    pub fn tell(&self, lie: Option<Lie>, spec: &ReportSpec, now: UnixTime) -> ToyEvidence {
        let expected_report_data = spec.report_data;
        let mut spec = spec.clone();
        lie_in_spec(lie, &mut spec);
        let at = match lie {
            Some(Lie::ArkValidity) => spec.product.root_window().to.plus(DAY),
            _ => now,
        };
        let (leaf, key) = self.tell_leaf(lie, &spec, at);
        let endorsements = self.tell_endorsements(lie, &spec, leaf, at);
        let report = tell_report(lie, &spec, &key);
        let evidence = ToyEvidence {
            evidence_file: report.clone(),
            report,
            endorsements,
            at,
            expected_report_data,
            product: spec.product,
            signer: spec.signer,
        };
        tell_file(lie, evidence)
    }

    /// The leaf, and the key that signs the report.
    fn tell_leaf(
        &self,
        lie: Option<Lie>,
        spec: &ReportSpec,
        at: UnixTime,
    ) -> (Vec<u8>, Arc<EcdsaKeyPair>) {
        let signer = self.intermediate_key(spec.product, spec.signer);
        let mut holder = spec.clone();
        match lie {
            Some(Lie::VcekChipId) => holder.chip_id[0] ^= 1,
            Some(Lie::VcekTcb) => {
                let own = holder.reported_tcb.microcode;
                holder.reported_tcb.microcode = own.checked_sub(1).unwrap_or(1);
            }
            _ => {}
        }
        let mut key = self.leaf_key(&holder);
        let mut body = self.leaf_body(&holder, leaf_window(spec.signer, at));
        match lie {
            Some(Lie::VcekAlgorithm) => body.pss = Pss::Foreign,
            Some(Lie::VcekIssuer) => body.issuer = spec.signer.issuer_name(spec.product.other()),
            Some(Lie::VcekValidity) => body.window = Window::ended_yesterday(at),
            Some(Lie::VcekKey) => {
                key = Arc::new(
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                        .expect("the operating system has random bytes"),
                );
                body.key = curve_key_info(&P256, key.public_key().as_ref());
            }
            Some(Lie::VcekExtensions | Lie::VlekHwid | Lie::VlekCspId) => {
                lie_in_extensions(lie, spec, &mut body);
            }
            _ => {}
        }
        let mut leaf = body.signed_with(signer);
        if lie == Some(Lie::VcekSignature) {
            flip_last_bit(&mut leaf);
        }
        (leaf, key)
    }

    fn tell_endorsements(
        &self,
        lie: Option<Lie>,
        spec: &ReportSpec,
        leaf: Vec<u8>,
        at: UnixTime,
    ) -> Vec<(String, Vec<u8>)> {
        let product = spec.product;
        let root = match lie {
            Some(Lie::ArkPinned) => self.root_of(product, self.stranger_key(product)),
            _ => self.root(product).to_vec(),
        };
        let mut files = vec![(leaf_file(spec.signer), leaf)];
        let intermediate = self.tell_intermediate(lie, spec, at);
        files.push((intermediate_file(spec.signer).to_owned(), intermediate));
        if lie == Some(Lie::VcekKind) {
            let other = spec.signer.other();
            files.push((
                intermediate_file(other).to_owned(),
                self.intermediate(product, other),
            ));
        }
        files.push(("ark.der".to_owned(), root));
        if spec.revocation_list {
            files.push(("crl.der".to_owned(), self.tell_list(lie, spec, at)));
        }
        let missing = match lie {
            Some(Lie::AskAvailable) => intermediate_file(spec.signer).to_owned(),
            Some(Lie::VcekAvailable) => leaf_file(spec.signer),
            _ => return files,
        };
        files.retain(|(name, _)| *name != missing);
        files
    }

    fn tell_intermediate(&self, lie: Option<Lie>, spec: &ReportSpec, at: UnixTime) -> Vec<u8> {
        let product = spec.product;
        let window = match lie {
            Some(Lie::AskValidity) => Window::ended_yesterday(at),
            // Evidence from after the root's end needs an intermediate that outlives it.
            Some(Lie::ArkValidity) => Window {
                from: at.plus(-DAY),
                to: years_later(at, 25),
            },
            _ => product.root_window(),
        };
        let authority = lie != Some(Lie::AskAuthority);
        let mut body = self.intermediate_body(product, spec.signer, window, authority);
        if lie == Some(Lie::AskIssuer) {
            body.issuer = product.other().root_name();
        }
        let root = match lie {
            Some(Lie::ArkPinned) => self.stranger_key(product),
            _ => self.root_key(product),
        };
        let mut intermediate = body.signed_with(root);
        if lie == Some(Lie::AskSignature) {
            flip_last_bit(&mut intermediate);
        }
        intermediate
    }

    fn tell_list(&self, lie: Option<Lie>, spec: &ReportSpec, at: UnixTime) -> Vec<u8> {
        let product = spec.product;
        let root = match lie {
            Some(Lie::ArkPinned) => self.stranger_key(product),
            _ => self.root_key(product),
        };
        let mut body = self.list_body(product, root, at);
        match lie {
            Some(Lie::CrlFresh) => {
                let window = Window::ended_yesterday(at);
                (body.this_update, body.next_update) = (window.from, window.to);
            }
            Some(Lie::CrlRevoked) => {
                let serial = product.intermediate_serial(spec.signer);
                body.revoked.push((serial, body.this_update.plus(-DAY)));
            }
            _ => {}
        }
        let mut list = body.signed_with(root);
        if lie == Some(Lie::CrlSignature) {
            flip_last_bit(&mut list);
        }
        list
    }
}

/// Lies that the machine tells about itself, before anything is signed.
fn lie_in_spec(lie: Option<Lie>, spec: &mut ReportSpec) {
    match lie {
        Some(Lie::MustBeOne) => spec.policy &= !POLICY_MUST_BE_ONE,
        Some(Lie::ReportVersion) => spec.version = 6,
        Some(Lie::ReportData) => spec.report_data[0] ^= 1,
        Some(Lie::HostRequested) => spec.vmpl = u32::MAX,
        Some(Lie::VmplRange) => spec.vmpl = 4,
        Some(Lie::ProductUnknown) => spec.version = spec.version.max(3),
        Some(Lie::TcbOrder) => {
            let reported = spec.reported_tcb.snp.max(1);
            spec.reported_tcb.snp = reported;
            spec.current_tcb.snp = spec.current_tcb.snp.max(reported);
            spec.committed_tcb.snp = reported - 1;
        }
        Some(Lie::VcekChipId) => spec.signer = Signer::Vcek,
        Some(Lie::VlekCspId | Lie::VlekHwid) => spec.signer = Signer::Vlek,
        Some(Lie::CrlFresh | Lie::CrlRevoked | Lie::CrlSignature | Lie::RevocationList) => {
            spec.revocation_list = true;
        }
        Some(Lie::PolicyDebug) => spec.policy |= DEBUG,
        Some(Lie::PolicyMigration) => spec.policy |= MIGRATE_MA,
        Some(Lie::PolicyMeasurement) => spec.measurement[0] ^= 1,
        Some(Lie::PolicyVmpl) => spec.vmpl = 2,
        Some(Lie::PolicyTcb) => {
            let mut old = spec.reported_tcb;
            (old.snp, old.microcode) = (1, 1);
            *spec = spec.clone().with_tcb(old);
        }
        _ => {}
    }
}

fn lie_in_extensions(lie: Option<Lie>, spec: &ReportSpec, body: &mut CertificateBody) {
    let mut claims = leaf_claims(spec);
    match lie {
        Some(Lie::VcekExtensions) => claims.microcode = false,
        Some(Lie::VlekHwid) => {
            claims.chip = Some(spec.chip_id[..spec.product.chip_bytes()].to_vec())
        }
        Some(Lie::VlekCspId) => claims.provider = None,
        _ => {}
    }
    body.extensions = claims.extensions();
}

/// Writes and signs the report.
fn tell_report(lie: Option<Lie>, spec: &ReportSpec, key: &EcdsaKeyPair) -> Vec<u8> {
    let mut draft = spec.unsigned();
    let mut signed = true;
    let mut key_info = |value: u32| draft.put(0x048, &value.to_le_bytes());
    match lie {
        Some(Lie::KeyInfoReserved) => key_info(spec.key_info() | (1 << 5)),
        Some(Lie::KeyInfoMasked) => {
            key_info(spec.key_info() | 2);
            signed = false;
        }
        Some(Lie::KeyInfoSigningKey) => {
            key_info(spec.key_info() | (7 << 2));
            signed = false;
        }
        Some(Lie::VcekKind) => {
            key_info((spec.key_info() & 1) | (spec.signer.other().number() << 2));
        }
        Some(Lie::SignatureAlgorithm) => draft.put(0x034, &[2, 0, 0, 0]),
        // Family 0x1A, model 0x50: a product whose root nobody has published.
        Some(Lie::ProductUnknown) => draft.put(0x188, &[0x1a, 0x50, 0]),
        Some(Lie::ReportReserved) => draft.flip(0x29f),
        _ => {}
    }
    if signed {
        sign(&mut draft, key);
    }
    match lie {
        Some(Lie::Signature) => draft.flip(0x0c0),
        // The first byte above the 48 of R.
        Some(Lie::SignatureFormat) => draft.flip(0x2a0 + 48),
        _ => {}
    }
    let mut report = draft.into_bytes();
    if lie == Some(Lie::ReportLength) {
        report.pop();
    }
    report
}

fn sign(draft: &mut Draft, key: &EcdsaKeyPair) {
    let signature = key
        .sign(&SystemRandom::new(), draft.signed_part())
        .expect("a curve key signs any message");
    draft.put_signature(signature.as_ref());
}

/// Lies about the file around the report.
fn tell_file(lie: Option<Lie>, evidence: ToyEvidence) -> ToyEvidence {
    let with_table = |evidence: &ToyEvidence, slots: &[(Slot, Vec<u8>)], beyond: usize| {
        [evidence.report.clone(), containers::table(slots, beyond)].concat()
    };
    match lie {
        Some(Lie::Table) => {
            let evidence_file = with_table(&evidence, &evidence.slots(), 1);
            ToyEvidence {
                evidence_file,
                ..evidence
            }
        }
        Some(Lie::Json) => {
            let evidence_file =
                containers::json(&evidence.report, evidence.product, evidence.leaf(), true);
            ToyEvidence {
                evidence_file,
                ..evidence
            }
        }
        Some(Lie::Protobuf) => {
            let evidence_file = containers::protobuf(&evidence.report, evidence.leaf(), true);
            ToyEvidence {
                evidence_file,
                ..evidence
            }
        }
        Some(Lie::Certificate) => {
            let slot = Slot::of_leaf(evidence.signer);
            let evidence = evidence.without(&leaf_file(evidence.signer));
            let evidence_file = with_table(&evidence, &[(slot, JUNK.to_vec())], 0);
            ToyEvidence {
                evidence_file,
                ..evidence
            }
        }
        Some(Lie::RevocationList) => {
            let evidence = evidence.without("crl.der");
            let evidence_file = with_table(&evidence, &[(Slot::Crl, JUNK.to_vec())], 0);
            ToyEvidence {
                evidence_file,
                ..evidence
            }
        }
        _ => evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_evidence::x509::Certificate;

    const NOW: UnixTime = UnixTime(1_772_323_200);

    fn names(evidence: &ToyEvidence) -> Vec<&str> {
        let files = evidence.endorsements.iter();
        files.map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_two_kinds_of_key_come_with_their_own_intermediates() {
        let amd = ToyAmd::shared();
        let mut spec = ReportSpec::new(Product::Milan);
        let told = amd.tell(None, &spec, NOW);
        assert_eq!(names(&told), ["vcek.der", "ask.der", "ark.der", "crl.der"]);
        spec.signer = Signer::Vlek;
        spec.revocation_list = false;
        let told = amd.tell(None, &spec, NOW);
        assert_eq!(names(&told), ["vlek.der", "asvk.der", "ark.der"]);
        // A provider's key hides the chip.
        assert_eq!(told.report[0x1a0..0x1e0], [0; 64]);
    }

    #[test]
    fn old_versions_leave_the_later_fields_zero() {
        let amd = ToyAmd::shared();
        let report = |version| {
            let spec = ReportSpec {
                version,
                ..ReportSpec::new(Product::Milan)
            };
            amd.tell(None, &spec, NOW).report
        };
        assert_eq!(report(2)[0x188..0x1a0], [0; 24]);
        assert_eq!(report(3)[0x188..0x18b], [0x19, 1, 1]);
        assert_eq!(report(4)[0x1f8..0x208], [0; 16]);
        assert_eq!(report(5)[0x1f8], 0x3f);
    }

    #[test]
    fn a_lie_about_the_binding_keeps_what_was_expected() {
        let spec = ReportSpec::new(Product::Milan);
        let told = ToyAmd::shared().tell(Some(Lie::ReportData), &spec, NOW);
        assert_eq!(told.expected_report_data, spec.report_data);
        assert_ne!(told.report[0x050..0x090], spec.report_data);
    }

    #[test]
    fn evidence_from_after_the_root_has_a_chain_that_outlives_it() {
        let spec = ReportSpec::new(Product::Milan);
        let amd = ToyAmd::shared();
        let told = amd.tell(Some(Lie::ArkValidity), &spec, NOW);
        let root = Certificate::parse(amd.root(Product::Milan)).unwrap();
        assert!(root.not_after < told.at);
        for (name, bytes) in told
            .endorsements
            .iter()
            .filter(|(name, _)| name.contains("ek.der") || name == "ask.der")
        {
            let certificate = Certificate::parse(bytes).unwrap();
            assert!(
                certificate.not_before <= told.at && told.at <= certificate.not_after,
                "{name}"
            );
        }
    }

    #[test]
    fn every_lie_can_be_told_of_a_machine_whose_numbers_are_zero() {
        let zero = super::super::Tcb {
            fmc: 0,
            boot_loader: 0,
            tee: 0,
            snp: 0,
            microcode: 0,
        };
        let spec = ReportSpec::new(Product::Milan).with_tcb(zero);
        for lie in Lie::ALL {
            let told = ToyAmd::shared().tell(Some(*lie), &spec, NOW);
            assert!(!told.evidence_file.is_empty(), "{}", lie.check());
        }
    }
}
