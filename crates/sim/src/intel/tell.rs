//! How a quote is told, truly or with one lie.
//!
//! Steps, each with the place where a lie may step in: what the machine says, the certificates,
//! the lists, the documents, the quote, the file. A lie changes one step and leaves the rest as an
//! honest maker would have made it.

use std::sync::PoisonError;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use zeuge_evidence::UnixTime;

use super::{
    Authorities, Certification, IntelLie as Lie, Issuer, LEAVES_MAX, PckIdentity, QuoteForm,
    QuoteSpec, Tee, ToyIntel, boot_log,
    certificates::{CertificateBody, SgxClaims},
    containers,
    documents::{self, OLD_COMPONENTS, OLD_MODULE_SVN, QeIdentity, TcbInfo},
    issue_window,
    quote::{MIGRATABLE, SEPT_VE_DISABLE, SGX_DEBUG, length, put},
    root_window, sign,
};
use crate::{
    der_write::pem,
    x509_write::{
        DAY, P384, Window, basic_constraints, curve_key_info, flip_last_bit, key_id, years_later,
    },
};

/// Which of the five common extensions says whether a key may certify others.
const CONSTRAINTS: usize = 4;
/// The record of the kernel in the toy's boot log.
const FALSE_RECORD: usize = 5;
/// QE authentication data of nearly all real quotes: 0 to 31.
const QE_AUTHENTICATION_BYTES: u8 = 32;

/// What the toy hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToyQuote {
    /// The quote (one byte short for the lie about its length).
    pub quote: Vec<u8>,
    /// File names and contents of what endorses it: PEM chains, lists in DER, signed documents.
    pub endorsements: Vec<(String, Vec<u8>)>,
    /// The bytes to feed as the evidence file: the quote, but for lies about JSON and protobuf; JSON
    /// with the boot log, where there is one.
    pub evidence_file: Vec<u8>,
    /// The instant to verify at.
    pub at: UnixTime,
    /// What REPORTDATA must be.
    pub expected_report_data: [u8; 64],
    /// The content of the CCEL area, where a boot log lies beside the quote.
    pub boot_log: Option<Vec<u8>>,
}

impl ToyQuote {
    /// The evidence as Trustee's client sends it: JSON with the quote in base64.
    #[must_use]
    pub fn json_file(&self) -> Vec<u8> {
        containers::json(&self.quote, false)
    }

    /// Everything that endorses the quote in one JSON file, for a bundle: documents as texts, lists
    /// in hex, chains in PEM.
    #[must_use]
    pub fn collateral_file(&self) -> Vec<u8> {
        containers::collateral(&self.endorsements)
    }

    /// The evidence as go-tdx-guest writes it; for quotes of trust domains but
    /// those of body type 4, which its messages do not have.
    #[must_use]
    pub fn protobuf_file(&self) -> Vec<u8> {
        containers::protobuf(&self.quote, false)
    }
}

/// The certificates of one telling, in DER.
#[derive(Clone)]
pub(super) struct Chain {
    leaf: Vec<u8>,
    leaf_serial: Vec<u8>,
    intermediate: Vec<u8>,
    signing: Vec<u8>,
    root: Vec<u8>,
}

impl ToyIntel {
    /// A quote of the platform in `spec`, honest or with one lie, as of `now`.
    ///
    /// Some lies need a platform of their own and change `spec` for it: lies about TDX modules and
    /// migration are told by a trust domain, the one about the body's size in version 5. All lies
    /// but the one about the missing PCK certificate are told with a chain in the quote.
    #[must_use]
    pub fn tell(&self, lie: Option<Lie>, spec: &QuoteSpec, now: UnixTime) -> ToyQuote {
        let expected_report_data = spec.report_data;
        let mut spec = spec.clone();
        lie_in_spec(lie, &mut spec);
        let at = match lie {
            Some(Lie::RootValidity) => root_window().to.plus(DAY),
            _ => now,
        };
        let house = match lie {
            Some(Lie::RootPinned) => &self.stranger,
            _ => &self.own,
        };
        let chain = self.chain(lie, house, &spec, at);
        let endorsements = tell_endorsements(lie, house, &spec, &chain, at);
        let vouched = self.attestation.public_key().as_ref();
        let quote = self.tell_quote(lie, &spec, &chain, vouched);
        // The kernel is not the one that was measured into RTMR1.
        let false_record = (lie == Some(Lie::EventLogReplay)).then_some(FALSE_RECORD);
        let boot_log = spec.boot_log.then(|| boot_log::area(false_record));
        let evidence_file = match (lie, &boot_log) {
            (Some(Lie::Json), _) => containers::json(&quote, true),
            (Some(Lie::Protobuf), _) => containers::protobuf(&quote, true),
            (_, Some(log)) => containers::json_with_log(&quote, log),
            _ => quote.clone(),
        };
        ToyQuote {
            quote,
            endorsements,
            evidence_file,
            at,
            expected_report_data,
            boot_log,
        }
    }

    /// The chain of this platform: the same bytes for every quote of one instant, as a machine has
    /// one certificate; another one for a lie that it tells.
    pub(super) fn chain(
        &self,
        lie: Option<Lie>,
        house: &Authorities,
        spec: &QuoteSpec,
        at: UnixTime,
    ) -> Chain {
        if lie.is_some_and(is_in_chain) {
            return self.tell_chain(lie, house, spec, at);
        }
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= LEAVES_MAX {
            chains.clear();
        }
        let made = || self.tell_chain(None, house, spec, at);
        let chain = chains.entry((PckIdentity::of(spec), at));
        chain.or_insert_with(made).clone()
    }

    fn tell_chain(
        &self,
        lie: Option<Lie>,
        house: &Authorities,
        spec: &QuoteSpec,
        at: UnixTime,
    ) -> Chain {
        let mut leaf = self.leaf_body(house, spec, at);
        lie_in_leaf(lie, spec, at, &mut leaf);
        let leaf_serial = leaf.serial.clone();
        let mut leaf = leaf.signed_with(house.pck_ca(spec.ca));
        let mut intermediate = house.pck_ca_body(spec.ca, authority_window(lie, at));
        match lie {
            Some(Lie::IntermediateAuthority) => {
                intermediate.extensions[CONSTRAINTS] = basic_constraints(false, None);
            }
            Some(Lie::IntermediateIssuer) => intermediate.issuer = "Intel TDX Root CA".to_owned(),
            Some(Lie::IntermediateValidity) => intermediate.window = Window::ended_yesterday(at),
            _ => {}
        }
        let mut intermediate = intermediate.signed_with(&house.root);
        let mut signing = house.signing_body(authority_window(lie, at));
        if lie == Some(Lie::SignerValidity) {
            signing.window = Window::ended_yesterday(at);
        }
        let mut signing = signing.signed_with(&house.root);
        match lie {
            Some(Lie::PckSignature) => flip_last_bit(&mut leaf),
            Some(Lie::IntermediateSignature) => flip_last_bit(&mut intermediate),
            Some(Lie::SignerSignature) => flip_last_bit(&mut signing),
            _ => {}
        }
        Chain {
            leaf,
            leaf_serial,
            intermediate,
            signing,
            root: house.root_certificate.clone(),
        }
    }

    /// Writes and signs the quote; the quoting enclave vouches for this public key (an uncompressed
    /// point), which is the attestation key's unless a part is swapped.
    pub(super) fn tell_quote(
        &self,
        lie: Option<Lie>,
        spec: &QuoteSpec,
        chain: &Chain,
        vouched: &[u8],
    ) -> Vec<u8> {
        let mut signed = [spec.header(), spec.descriptor(), spec.body()].concat();
        lie_in_signed(lie, spec, &mut signed);
        let signature = sign(&self.attestation, &signed);
        if lie == Some(Lie::QuoteSignature) {
            // MRCONFIGID of a trust domain, CONFIGID of an enclave.
            signed[body_at(spec) + 192] ^= 1;
        }
        // Without the 0x04 of an uncompressed point.
        let attestation_key = &self.attestation.public_key().as_ref()[1..];
        let authentication: Vec<u8> = (0..QE_AUTHENTICATION_BYTES).collect();
        let mut report_data = [0; 64];
        let vouched = digest(&SHA256, &[&vouched[1..], &authentication].concat());
        report_data[..32].copy_from_slice(vouched.as_ref());
        let mut report = spec.qe_report(report_data);
        match lie {
            Some(Lie::QeMiscSelect) => report[16] ^= 1,
            Some(Lie::QeAttributes) => report[48] ^= 2,
            Some(Lie::QeSigner) => report[128] ^= 1,
            Some(Lie::QeProduct) => report[256] ^= 0x10,
            Some(Lie::QeBinding) => report[320] ^= 1,
            _ => {}
        }
        let mut report_signature = sign(&self.leaf_key(spec), &report);
        if lie == Some(Lie::QeReportSignature) {
            flip_last_bit(&mut report_signature);
        }
        let (number, data) = tell_certification(lie, spec, chain);
        let inner = [
            &report[..],
            &report_signature,
            &u16::from(QE_AUTHENTICATION_BYTES).to_le_bytes(),
            &authentication,
            &number.to_le_bytes(),
            &length(&data),
            &data,
        ]
        .concat();
        let mut section = [&signature[..], attestation_key].concat();
        if spec.form.version() > 3 {
            section.extend(6u16.to_le_bytes());
            section.extend(length(&inner));
        }
        section.extend(inner);
        let mut quote = [&signed[..], &length(&section), &section].concat();
        if lie == Some(Lie::QuoteLength) {
            quote.pop();
        }
        quote
    }
}

/// Whether a lie is told by a certificate or by the house that issues it.
const fn is_in_chain(lie: Lie) -> bool {
    matches!(
        lie,
        Lie::IntermediateAuthority
            | Lie::IntermediateIssuer
            | Lie::IntermediateSignature
            | Lie::IntermediateValidity
            | Lie::PckAuthority
            | Lie::PckComponents
            | Lie::PckExtension
            | Lie::PckKey
            | Lie::PckName
            | Lie::PckSignature
            | Lie::PckValidity
            | Lie::RootPinned
            | Lie::RootValidity
            | Lie::SignerSignature
            | Lie::SignerValidity
    )
}

/// The window of the PCK CAs and the TCB signing certificate: the root's, but for evidence from
/// after its end, which needs authorities that outlive it.
fn authority_window(lie: Option<Lie>, at: UnixTime) -> Window {
    if lie != Some(Lie::RootValidity) {
        return root_window();
    }
    Window {
        from: at.plus(-DAY),
        to: years_later(at, 15),
    }
}

/// Lies that the machine tells about itself, before anything is signed.
fn lie_in_spec(lie: Option<Lie>, spec: &mut QuoteSpec) {
    let Some(lie) = lie else { return };
    spec.certification = Certification::Chain;
    let as_trust_domain = |spec: &mut QuoteSpec| {
        if spec.form.tee() == Tee::Sgx {
            spec.form = QuoteForm::Tdx4;
        }
    };
    match lie {
        Lie::PckAvailable => spec.certification = Certification::Ppid,
        Lie::ReportData => spec.report_data[0] ^= 1,
        Lie::Protobuf => spec.form = QuoteForm::Tdx4,
        Lie::QuoteBody => {
            spec.form = match spec.form.tee() {
                Tee::Sgx => QuoteForm::Sgx5,
                Tee::Tdx => QuoteForm::Tdx5,
            };
        }
        Lie::CrlFresh
        | Lie::CrlSignature
        | Lie::IntermediateRevoked
        | Lie::PckRevoked
        | Lie::SignerRevoked => spec.revocation_lists = true,
        Lie::TcbInfoModuleOrder | Lie::ModuleAttributes | Lie::ModuleSigner => {
            as_trust_domain(spec);
        }
        Lie::EventLogReplay => {
            as_trust_domain(spec);
            *spec = spec.clone().with_boot_log();
        }
        Lie::ModuleIdentity => {
            as_trust_domain(spec);
            spec.tee_tcb_svn[1] = 9;
        }
        Lie::ModuleLoaded => {
            // Launched under an old module of a known major version, on a platform of today.
            spec.form = QuoteForm::Tdx5;
            (spec.tee_tcb_svn[0], spec.tee_tcb_svn[1]) = (OLD_MODULE_SVN, 1);
            spec.tee_tcb_svn2[1] = 9;
        }
        Lie::PolicyDebug => {
            spec.td_attributes |= 1;
            spec.sgx_flags |= SGX_DEBUG;
        }
        Lie::PolicyMigration => {
            as_trust_domain(spec);
            spec.td_attributes |= MIGRATABLE;
        }
        Lie::PolicyTdAttributes => {
            as_trust_domain(spec);
            spec.td_attributes &= !SEPT_VE_DISABLE;
        }
        Lie::PolicyServiceTd => {
            if spec.form != QuoteForm::Tdx5Service {
                spec.form = QuoteForm::Tdx5;
            }
            spec.mr_service_td[0] ^= 1;
        }
        Lie::PolicyMeasurement => {
            spec.mr_td[0] ^= 1;
            spec.mr_enclave[0] ^= 1;
            spec.mr_signer[0] ^= 1;
        }
        Lie::PolicyTcbStatus => spec.components = OLD_COMPONENTS,
        _ => {}
    }
}

fn lie_in_leaf(lie: Option<Lie>, spec: &QuoteSpec, at: UnixTime, leaf: &mut CertificateBody) {
    let mut claims = SgxClaims::of(spec);
    match lie {
        Some(Lie::PckAuthority) => leaf.extensions[CONSTRAINTS] = basic_constraints(true, None),
        Some(Lie::PckComponents) => claims.cpu_svn[0] ^= 1,
        Some(Lie::PckExtension) => claims.fmspc = None,
        Some(Lie::PckKey) => {
            let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
                .expect("the operating system has random bytes");
            leaf.key = curve_key_info(&P384, key.public_key().as_ref());
        }
        Some(Lie::PckName) => leaf.subject = "Intel SGX Attestation Report Signing".to_owned(),
        Some(Lie::PckValidity) => leaf.window = Window::ended_yesterday(at),
        _ => return,
    }
    if let Some(last) = leaf.extensions.last_mut() {
        *last = claims.extension();
    }
}

/// Where the body begins.
fn body_at(spec: &QuoteSpec) -> usize {
    spec.header().len() + spec.descriptor().len()
}

/// Lies in header and body, before the attestation key signs.
fn lie_in_signed(lie: Option<Lie>, spec: &QuoteSpec, signed: &mut [u8]) {
    let body = body_at(spec);
    match lie {
        Some(Lie::QuoteVersion) => put(signed, 0, &6u16.to_le_bytes()),
        Some(Lie::QuoteKeyType) => put(signed, 2, &3u16.to_le_bytes()),
        Some(Lie::QuoteTeeType) => put(signed, 4, &0x82u32.to_le_bytes()),
        Some(Lie::QuoteVendor) => signed[12] ^= 1,
        // The size is the last field of the descriptor.
        Some(Lie::QuoteBody) => signed[body - 4] += 1,
        Some(Lie::ModuleSigner) => signed[body + 64] ^= 1,
        Some(Lie::ModuleAttributes) => signed[body + 112] ^= 1,
        _ => {}
    }
}

/// Certification data: its type and content.
fn tell_certification(lie: Option<Lie>, spec: &QuoteSpec, chain: &Chain) -> (u16, Vec<u8>) {
    if spec.certification == Certification::Ppid {
        return (1, spec.platform_data());
    }
    let mut text = pem("CERTIFICATE", &chain.leaf);
    if lie != Some(Lie::IntermediateAvailable) {
        text += &pem("CERTIFICATE", &chain.intermediate);
    }
    text += &pem("CERTIFICATE", &chain.root);
    let number = if lie == Some(Lie::CertificationData) {
        8
    } else {
        5
    };
    // Real quotes end their chain as C ends a text.
    (number, [text.as_bytes(), &[0]].concat())
}

fn tell_endorsements(
    lie: Option<Lie>,
    house: &Authorities,
    spec: &QuoteSpec,
    chain: &Chain,
    at: UnixTime,
) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
    let chain_of =
        |first: &[u8]| (pem("CERTIFICATE", first) + &pem("CERTIFICATE", &chain.root)).into_bytes();
    if spec.certification == Certification::Ppid && lie != Some(Lie::PckAvailable) {
        add("pck.pem", pem("CERTIFICATE", &chain.leaf).into_bytes());
    }
    if lie != Some(Lie::IntermediateAvailable) {
        add("pck-crl-issuer-chain.pem", chain_of(&chain.intermediate));
    }
    if lie != Some(Lie::SignerAvailable) {
        add("tcb-issuer-chain.pem", chain_of(&chain.signing));
    }
    if spec.revocation_lists {
        add(
            "root-crl.der",
            tell_list(lie, house, Issuer::Root, spec, chain, at),
        );
        add(
            "pck-crl.der",
            tell_list(lie, house, Issuer::PckCa(spec.ca), spec, chain, at),
        );
    }
    if lie != Some(Lie::TcbInfoAvailable) {
        add("tcb-info.json", tell_tcb_info(lie, house, spec, at));
    }
    if lie != Some(Lie::IdentityAvailable) {
        add(
            "qe-identity.json",
            tell_identity(lie, house, spec.form.tee(), at),
        );
    }
    files
}

fn tell_list(
    lie: Option<Lie>,
    house: &Authorities,
    issuer: Issuer,
    spec: &QuoteSpec,
    chain: &Chain,
    at: UnixTime,
) -> Vec<u8> {
    let mut body = house.list_body(issuer, at);
    let since = body.window.from.plus(-DAY);
    let serial = |key: &EcdsaKeyPair| key_id(key.public_key().as_ref());
    let revoked = match (lie, issuer) {
        (Some(Lie::IntermediateRevoked), Issuer::Root) => Some(serial(house.pck_ca(spec.ca))),
        (Some(Lie::SignerRevoked), Issuer::Root) => Some(serial(&house.signing)),
        (Some(Lie::PckRevoked), Issuer::PckCa(_)) => Some(chain.leaf_serial.clone()),
        _ => None,
    };
    body.revoked.extend(revoked.map(|serial| (serial, since)));
    let of_pck_ca = issuer == Issuer::PckCa(spec.ca);
    if lie == Some(Lie::CrlFresh) && of_pck_ca {
        body.window = Window {
            from: at.plus(-31 * DAY),
            to: at.plus(-DAY),
        };
    }
    let mut list = body.signed_with(house.list_key(issuer));
    if lie == Some(Lie::CrlSignature) && of_pck_ca {
        flip_last_bit(&mut list);
    }
    list
}

fn tell_tcb_info(lie: Option<Lie>, house: &Authorities, spec: &QuoteSpec, at: UnixTime) -> Vec<u8> {
    let tee = match lie {
        Some(Lie::TcbInfoTee) => spec.form.tee().other(),
        _ => spec.form.tee(),
    };
    let mut info = TcbInfo::new(tee, spec.fmspc, issue_window(at));
    match lie {
        Some(Lie::TcbInfoDuplicateKey) => info.issue.twice = true,
        Some(Lie::TcbInfoFmspc) => info.fmspc[2] ^= 1,
        Some(Lie::TcbInfoFormat) => info.issue.version = 4,
        Some(Lie::TcbInfoModuleOrder) => info.module_levels.reverse(),
        Some(Lie::TcbInfoOrder) => info.levels.reverse(),
        Some(Lie::TcbInfoPceId) => info.pce_id[1] = 1,
        Some(Lie::TcbInfoWindow) => info.issue.window = Window::ended_yesterday(at),
        Some(Lie::PolicyEvaluationNumber) => info.issue.number -= 1,
        _ => {}
    }
    let document = documents::signed("tcbInfo", &info.text(), &house.signing);
    changed(document, lie == Some(Lie::TcbInfoSignature))
}

fn tell_identity(lie: Option<Lie>, house: &Authorities, tee: Tee, at: UnixTime) -> Vec<u8> {
    let tee = match lie {
        Some(Lie::IdentityId) => tee.other(),
        _ => tee,
    };
    let mut identity = QeIdentity::new(tee, issue_window(at));
    match lie {
        Some(Lie::IdentityDuplicateKey) => identity.issue.twice = true,
        Some(Lie::IdentityFormat) => identity.issue.version = 4,
        Some(Lie::IdentityOrder) => identity.levels.reverse(),
        Some(Lie::IdentityWindow) => identity.issue.window = Window::ended_yesterday(at),
        Some(Lie::PolicyEvaluationNumber) => identity.issue.number -= 1,
        Some(Lie::PolicyAdvisories) => identity.levels[0].advisories = &["INTEL-SA-00615"],
        _ => {}
    }
    let document = documents::signed("enclaveIdentity", &identity.text(), &house.signing);
    changed(document, lie == Some(Lie::IdentitySignature))
}

/// The document, with the worse statuses made good if it is to be forged.
fn changed(document: String, forged: bool) -> Vec<u8> {
    if forged {
        document
            .replace("\"OutOfDate\"", "\"UpToDate\"")
            .into_bytes()
    } else {
        document.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_772_323_200);

    #[test]
    fn every_form_has_the_length_that_the_fact_sheet_gives_it() {
        for (form, signed) in [
            (QuoteForm::Sgx3, 432),
            (QuoteForm::Sgx4, 432),
            (QuoteForm::Sgx5, 438),
            (QuoteForm::Tdx4, 632),
            (QuoteForm::Tdx5Td10, 638),
            (QuoteForm::Tdx5, 702),
            (QuoteForm::Tdx5Service, 939),
        ] {
            let quote = ToyIntel::shared()
                .tell(None, &QuoteSpec::new(form), NOW)
                .quote;
            let section: [u8; 4] = quote[signed..signed + 4].try_into().unwrap();
            let section = usize::try_from(u32::from_le_bytes(section)).unwrap();
            assert_eq!(quote.len(), signed + 4 + section, "{form:?}");
        }
    }

    #[test]
    fn a_lie_about_the_binding_keeps_what_was_expected() {
        let spec = QuoteSpec::new(QuoteForm::Tdx4);
        let told = ToyIntel::shared().tell(Some(Lie::ReportData), &spec, NOW);
        assert_eq!(told.expected_report_data, spec.report_data);
        assert_ne!(told.quote[568..632], spec.report_data);
    }
}
