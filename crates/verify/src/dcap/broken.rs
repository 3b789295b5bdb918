//! The rules of Intel that verification can find broken, one variant each, with found and wanted.
//!
//! Says nothing about what a machine should be; that is appraisal.

use std::fmt;

use zeuge_evidence::{UnixTime, x509::Certificate};

/// What was found and what was wanted: hex, names or instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was found.
    pub found: String,
    /// What the rule wants.
    pub wanted: String,
}

impl Difference {
    /// A pair.
    pub(crate) fn new(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            wanted: wanted.into(),
        }
    }

    /// Two byte strings, in hex.
    pub(crate) fn hex(found: &[u8], wanted: &[u8]) -> Self {
        Self::new(hex::encode(found), hex::encode(wanted))
    }

    /// An instant outside a certificate's window.
    pub(crate) fn window(at: UnixTime, certificate: &Certificate<'_>) -> Self {
        let (from, to) = (certificate.not_before, certificate.not_after);
        Self::new(at.to_string(), format!("{from} to {to}"))
    }
}

/// A rule of Intel SGX or TDX, or of Intel's certificates and documents, that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `dcap.crl.signature`: the only list at hand is not signed by its issuer.
    CrlSignatureBad(Difference),
    /// `dcap.intermediate.authority`: the issuer of the PCK may not certify keys.
    IntermediateNotAuthority(Difference),
    /// `dcap.intermediate.issuer`: the issuer of the PCK names another issuer than the root.
    IntermediateIssuerDiffers(Difference),
    /// `dcap.intermediate.revoked`: a list that the root signed names the issuer of the PCK.
    IntermediateRevoked(Difference),
    /// `dcap.intermediate.signature`: the root did not sign the issuer of the PCK.
    IntermediateSignatureBad(Difference),
    /// `dcap.intermediate.validity`: the issuer of the PCK is not in force at the instant.
    IntermediateOutOfWindow(Difference),
    /// `dcap.pck.authority`: the PCK certificate claims that it may certify other keys.
    PckIsAuthority(Difference),
    /// `dcap.pck.components`: the PCK certificate's CPUSVN and its component SVNs differ.
    PckComponentsDiffer(Difference),
    /// `dcap.pck.extension`: the PCK certificate's SGX extension is absent or badly encoded.
    PckExtensionBad(Difference),
    /// `dcap.pck.key`: the PCK is not a P-256 key.
    PckKeyKind(Difference),
    /// `dcap.pck.name`: the leaf is not named as Intel names PCK certificates.
    PckNameDiffers(Difference),
    /// `dcap.pck.revoked`: a list that its issuer signed names the PCK certificate.
    PckRevoked(Difference),
    /// `dcap.pck.signature`: the issuer did not sign the PCK certificate.
    PckSignatureBad(Difference),
    /// `dcap.pck.validity`: the PCK certificate is not in force at the instant.
    PckOutOfWindow(Difference),
    /// `dcap.qe-identity.duplicate-key`: a signed QE Identity says a name twice.
    IdentityDuplicateKey(Difference),
    /// `dcap.qe-identity.format`: a signed QE Identity is not of the known form.
    IdentityFormat(Difference),
    /// `dcap.qe-identity.order`: levels of a signed QE Identity are not in falling order.
    IdentityOrder(Difference),
    /// `dcap.qe-identity.signature`: no TCB signing key signed the QE Identity.
    IdentitySignatureBad(Difference),
    /// `dcap.qe.attributes`: the quoting enclave's attributes are not Intel's.
    QeAttributesDiffer(Difference),
    /// `dcap.qe.binding`: the quoting enclave vouched for another attestation key.
    QeBindingDiffers(Difference),
    /// `dcap.qe.misc-select`: the quoting enclave's MISCSELECT is not Intel's.
    QeMiscSelectDiffers(Difference),
    /// `dcap.qe.product`: the quoting enclave's product number is not Intel's.
    QeProductDiffers(Difference),
    /// `dcap.qe.report-signature`: the PCK did not sign the QE report.
    QeReportSignatureBad(Difference),
    /// `dcap.qe.signer`: the quoting enclave was not signed by Intel's key.
    QeSignerDiffers(Difference),
    /// `dcap.quote.signature`: the attestation key did not sign the quote.
    QuoteSignatureBad(Difference),
    /// `dcap.root.pinned`: the evidence brings another root than the pinned one.
    RootNotPinned(Difference),
    /// `dcap.root.validity`: the pinned root is not in force at the instant.
    RootOutOfWindow(Difference),
    /// `dcap.tcb-info.duplicate-key`: a signed TCB Info says a name twice.
    TcbInfoDuplicateKey(Difference),
    /// `dcap.tcb-info.format`: a signed TCB Info is not of the known form.
    TcbInfoFormat(Difference),
    /// `dcap.tcb-info.module-order`: a module's levels are not in falling order.
    TcbInfoModuleOrder(Difference),
    /// `dcap.tcb-info.order`: levels of a signed TCB Info are not in falling order.
    TcbInfoOrder(Difference),
    /// `dcap.tcb-info.signature`: no TCB signing key signed the TCB Info.
    TcbInfoSignatureBad(Difference),
    /// `dcap.tcb-signer.revoked`: a list that the root signed names the TCB signing certificate.
    TcbSignerRevoked(Difference),
    /// `dcap.tcb-signer.signature`: the root did not sign the TCB signing certificate.
    TcbSignerSignatureBad(Difference),
    /// `tdx.module.attributes`: the TDX module's attributes are not those of its identity.
    ModuleAttributesDiffer(Difference),
    /// `tdx.module.identity`: Intel's document knows no TDX module of this major version.
    ModuleUnknown(Difference),
    /// `tdx.module.loaded`: Intel's document knows no TDX module of the version loaded now.
    LoadedModuleUnknown(Difference),
    /// `tdx.module.signer`: the TDX module was signed by another key than its identity says.
    ModuleSignerDiffers(Difference),
}

impl Broken {
    /// The id, the sentence's beginning, and the finding of each variant.
    #[expect(clippy::too_many_lines, reason = "a table with one row per rule")]
    const fn parts(&self) -> (&'static str, &'static str, &Difference) {
        match self {
            Self::CrlSignatureBad(d) => (
                "dcap.crl.signature",
                "the revocation list is not its issuer's",
                d,
            ),
            Self::IntermediateNotAuthority(d) => (
                "dcap.intermediate.authority",
                "the issuer of the PCK certificate may not certify keys",
                d,
            ),
            Self::IntermediateIssuerDiffers(d) => (
                "dcap.intermediate.issuer",
                "the issuer of the PCK certificate is not under the root",
                d,
            ),
            Self::IntermediateRevoked(d) => (
                "dcap.intermediate.revoked",
                "the issuer of the PCK certificate is revoked",
                d,
            ),
            Self::IntermediateSignatureBad(d) => (
                "dcap.intermediate.signature",
                "the root did not sign the issuer of the PCK certificate",
                d,
            ),
            Self::IntermediateOutOfWindow(d) => (
                "dcap.intermediate.validity",
                "the issuer of the PCK certificate is not in force",
                d,
            ),
            Self::PckIsAuthority(d) => (
                "dcap.pck.authority",
                "the PCK certificate claims to be an authority",
                d,
            ),
            Self::PckComponentsDiffer(d) => (
                "dcap.pck.components",
                "the PCK certificate's CPUSVN and components differ",
                d,
            ),
            Self::PckExtensionBad(d) => (
                "dcap.pck.extension",
                "the PCK certificate's SGX extension cannot be used",
                d,
            ),
            Self::PckKeyKind(d) => ("dcap.pck.key", "the PCK is of another kind", d),
            Self::PckNameDiffers(d) => (
                "dcap.pck.name",
                "the leaf is not named as a PCK certificate",
                d,
            ),
            Self::PckRevoked(d) => ("dcap.pck.revoked", "the PCK certificate is revoked", d),
            Self::PckSignatureBad(d) => (
                "dcap.pck.signature",
                "the issuer did not sign the PCK certificate",
                d,
            ),
            Self::PckOutOfWindow(d) => (
                "dcap.pck.validity",
                "the PCK certificate is not in force",
                d,
            ),
            Self::IdentityDuplicateKey(d) => (
                "dcap.qe-identity.duplicate-key",
                "the QE Identity says a name twice",
                d,
            ),
            Self::IdentityFormat(d) => (
                "dcap.qe-identity.format",
                "the QE Identity is of an unknown form",
                d,
            ),
            Self::IdentityOrder(d) => (
                "dcap.qe-identity.order",
                "the QE Identity's levels are not in falling order",
                d,
            ),
            Self::IdentitySignatureBad(d) => (
                "dcap.qe-identity.signature",
                "no TCB signing key signed the QE Identity",
                d,
            ),
            Self::QeAttributesDiffer(d) => (
                "dcap.qe.attributes",
                "the quoting enclave's attributes differ",
                d,
            ),
            Self::QeBindingDiffers(d) => (
                "dcap.qe.binding",
                "the quoting enclave vouched for another attestation key",
                d,
            ),
            Self::QeMiscSelectDiffers(d) => (
                "dcap.qe.misc-select",
                "the quoting enclave's MISCSELECT differs",
                d,
            ),
            Self::QeProductDiffers(d) => (
                "dcap.qe.product",
                "the quoting enclave is another product",
                d,
            ),
            Self::QeReportSignatureBad(d) => (
                "dcap.qe.report-signature",
                "the PCK did not sign the QE report",
                d,
            ),
            Self::QeSignerDiffers(d) => (
                "dcap.qe.signer",
                "the quoting enclave is signed by another key",
                d,
            ),
            Self::QuoteSignatureBad(d) => (
                "dcap.quote.signature",
                "the attestation key did not sign the quote",
                d,
            ),
            Self::RootNotPinned(d) => (
                "dcap.root.pinned",
                "the evidence brings another root than the pinned one",
                d,
            ),
            Self::RootOutOfWindow(d) => ("dcap.root.validity", "the root is not in force", d),
            Self::TcbInfoDuplicateKey(d) => (
                "dcap.tcb-info.duplicate-key",
                "the TCB Info says a name twice",
                d,
            ),
            Self::TcbInfoFormat(d) => (
                "dcap.tcb-info.format",
                "the TCB Info is of an unknown form",
                d,
            ),
            Self::TcbInfoModuleOrder(d) => (
                "dcap.tcb-info.module-order",
                "a TDX module's levels are not in falling order",
                d,
            ),
            Self::TcbInfoOrder(d) => (
                "dcap.tcb-info.order",
                "the TCB Info's levels are not in falling order",
                d,
            ),
            Self::TcbInfoSignatureBad(d) => (
                "dcap.tcb-info.signature",
                "no TCB signing key signed the TCB Info",
                d,
            ),
            Self::TcbSignerRevoked(d) => (
                "dcap.tcb-signer.revoked",
                "the TCB signing certificate is revoked",
                d,
            ),
            Self::TcbSignerSignatureBad(d) => (
                "dcap.tcb-signer.signature",
                "the root did not sign the TCB signing certificate",
                d,
            ),
            Self::ModuleAttributesDiffer(d) => (
                "tdx.module.attributes",
                "the TDX module's attributes differ",
                d,
            ),
            Self::ModuleUnknown(d) => (
                "tdx.module.identity",
                "no identity of this TDX module is known",
                d,
            ),
            Self::LoadedModuleUnknown(d) => (
                "tdx.module.loaded",
                "no identity of the TDX module that is loaded now is known",
                d,
            ),
            Self::ModuleSignerDiffers(d) => (
                "tdx.module.signer",
                "the TDX module is signed by another key",
                d,
            ),
        }
    }

    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        self.parts().0
    }

    /// What was found and what was wanted.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        let difference = self.parts().2;
        Some((difference.found.clone(), difference.wanted.clone()))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, sentence, Difference { found, wanted }) = self.parts();
        write!(out, "{sentence}: found {found}, wanted {wanted}")
    }
}
