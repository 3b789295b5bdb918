//! The rules of Intel that verification can find broken, one variant each, with found and wanted.
//!
//! Says nothing about what a machine should be; that is appraisal.

pub use crate::broken::Difference;

crate::broken::rules! {
    Dcap, "A rule of Intel SGX or TDX, or of Intel's certificates and documents, that does not hold.":
    /// `dcap.crl.signature`: the only list at hand is not signed by its issuer.
    CrlSignatureBad = "dcap.crl.signature": "the revocation list is not its issuer's";
    /// `dcap.evaluation-numbers.duplicate-key`: a signed list of evaluation numbers says a name twice.
    NumbersDuplicateKey = "dcap.evaluation-numbers.duplicate-key": "the list of evaluation numbers says a name twice";
    /// `dcap.evaluation-numbers.format`: a signed list of evaluation numbers is not of the known form.
    NumbersFormat = "dcap.evaluation-numbers.format": "the list of evaluation numbers is of an unknown form";
    /// `dcap.evaluation-numbers.signature`: no TCB signing key signed the list of evaluation numbers.
    NumbersSignatureBad = "dcap.evaluation-numbers.signature": "no TCB signing key signed the list of evaluation numbers";
    /// `dcap.intermediate.authority`: the issuer of the PCK may not certify keys.
    IntermediateNotAuthority = "dcap.intermediate.authority": "the issuer of the PCK certificate may not certify keys";
    /// `dcap.intermediate.issuer`: the issuer of the PCK names another issuer than the root.
    IntermediateIssuerDiffers = "dcap.intermediate.issuer": "the issuer of the PCK certificate is not under the root";
    /// `dcap.intermediate.revoked`: a list that the root signed names the issuer of the PCK.
    IntermediateRevoked = "dcap.intermediate.revoked": "the issuer of the PCK certificate is revoked";
    /// `dcap.intermediate.signature`: the root did not sign the issuer of the PCK.
    IntermediateSignatureBad = "dcap.intermediate.signature": "the root did not sign the issuer of the PCK certificate";
    /// `dcap.intermediate.validity`: the issuer of the PCK is not in force at the instant.
    IntermediateOutOfWindow = "dcap.intermediate.validity": "the issuer of the PCK certificate is not in force";
    /// `dcap.pck.authority`: the PCK certificate claims that it may certify other keys.
    PckIsAuthority = "dcap.pck.authority": "the PCK certificate claims to be an authority";
    /// `dcap.pck.components`: the PCK certificate's CPUSVN and its component SVNs differ.
    PckComponentsDiffer = "dcap.pck.components": "the PCK certificate's CPUSVN and components differ";
    /// `dcap.pck.extension`: the PCK certificate's SGX extension is absent or badly encoded.
    PckExtensionBad = "dcap.pck.extension": "the PCK certificate's SGX extension cannot be used";
    /// `dcap.pck.key`: the PCK is not a P-256 key.
    PckKeyKind = "dcap.pck.key": "the PCK is of another kind";
    /// `dcap.pck.name`: the leaf is not named as Intel names PCK certificates.
    PckNameDiffers = "dcap.pck.name": "the leaf is not named as a PCK certificate";
    /// `dcap.pck.revoked`: a list that its issuer signed names the PCK certificate.
    PckRevoked = "dcap.pck.revoked": "the PCK certificate is revoked";
    /// `dcap.pck.signature`: the issuer did not sign the PCK certificate.
    PckSignatureBad = "dcap.pck.signature": "the issuer did not sign the PCK certificate";
    /// `dcap.pck.validity`: the PCK certificate is not in force at the instant.
    PckOutOfWindow = "dcap.pck.validity": "the PCK certificate is not in force";
    /// `dcap.qe-identity.duplicate-key`: a signed QE Identity says a name twice.
    IdentityDuplicateKey = "dcap.qe-identity.duplicate-key": "the QE Identity says a name twice";
    /// `dcap.qe-identity.format`: a signed QE Identity is not of the known form.
    IdentityFormat = "dcap.qe-identity.format": "the QE Identity is of an unknown form";
    /// `dcap.qe-identity.order`: levels of a signed QE Identity are not in falling order.
    IdentityOrder = "dcap.qe-identity.order": "the QE Identity's levels are not in falling order";
    /// `dcap.qe-identity.signature`: no TCB signing key signed the QE Identity.
    IdentitySignatureBad = "dcap.qe-identity.signature": "no TCB signing key signed the QE Identity";
    /// `dcap.qe.attributes`: the quoting enclave's attributes are not Intel's.
    QeAttributesDiffer = "dcap.qe.attributes": "the quoting enclave's attributes differ";
    /// `dcap.qe.binding`: the quoting enclave vouched for another attestation key.
    QeBindingDiffers = "dcap.qe.binding": "the quoting enclave vouched for another attestation key";
    /// `dcap.qe.misc-select`: the quoting enclave's MISCSELECT is not Intel's.
    QeMiscSelectDiffers = "dcap.qe.misc-select": "the quoting enclave's MISCSELECT differs";
    /// `dcap.qe.product`: the quoting enclave's product number is not Intel's.
    QeProductDiffers = "dcap.qe.product": "the quoting enclave is another product";
    /// `dcap.qe.report-signature`: the PCK did not sign the QE report.
    QeReportSignatureBad = "dcap.qe.report-signature": "the PCK did not sign the QE report";
    /// `dcap.qe.signer`: the quoting enclave was not signed by Intel's key.
    QeSignerDiffers = "dcap.qe.signer": "the quoting enclave is signed by another key";
    /// `dcap.quote.signature`: the attestation key did not sign the quote.
    QuoteSignatureBad = "dcap.quote.signature": "the attestation key did not sign the quote";
    /// `dcap.root.pinned`: the evidence brings another root than the pinned one.
    RootNotPinned = "dcap.root.pinned": "the evidence brings another root than the pinned one";
    /// `dcap.root.validity`: the pinned root is not in force at the instant.
    RootOutOfWindow = "dcap.root.validity": "the root is not in force";
    /// `dcap.tcb-info.duplicate-key`: a signed TCB Info says a name twice.
    TcbInfoDuplicateKey = "dcap.tcb-info.duplicate-key": "the TCB Info says a name twice";
    /// `dcap.tcb-info.format`: a signed TCB Info is not of the known form.
    TcbInfoFormat = "dcap.tcb-info.format": "the TCB Info is of an unknown form";
    /// `dcap.tcb-info.module-order`: a module's levels are not in falling order.
    TcbInfoModuleOrder = "dcap.tcb-info.module-order": "a TDX module's levels are not in falling order";
    /// `dcap.tcb-info.order`: levels of a signed TCB Info are not in falling order.
    TcbInfoOrder = "dcap.tcb-info.order": "the TCB Info's levels are not in falling order";
    /// `dcap.tcb-info.signature`: no TCB signing key signed the TCB Info.
    TcbInfoSignatureBad = "dcap.tcb-info.signature": "no TCB signing key signed the TCB Info";
    /// `dcap.tcb-signer.revoked`: a list that the root signed names the TCB signing certificate.
    TcbSignerRevoked = "dcap.tcb-signer.revoked": "the TCB signing certificate is revoked";
    /// `dcap.tcb-signer.signature`: the root did not sign the TCB signing certificate.
    TcbSignerSignatureBad = "dcap.tcb-signer.signature": "the root did not sign the TCB signing certificate";
    /// `tdx.eventlog.replay`: the boot log does not add up to a signed register.
    EventLogReplay = "tdx.eventlog.replay": "the boot log does not add up to the signed registers";
    /// `tdx.module.attributes`: the TDX module's attributes are not those of its identity.
    ModuleAttributesDiffer = "tdx.module.attributes": "the TDX module's attributes differ";
    /// `tdx.module.identity`: Intel's document knows no TDX module of this major version.
    ModuleUnknown = "tdx.module.identity": "no identity of this TDX module is known";
    /// `tdx.module.loaded`: Intel's document knows no TDX module of the version loaded now.
    LoadedModuleUnknown = "tdx.module.loaded": "no identity of the TDX module that is loaded now is known";
    /// `tdx.module.signer`: the TDX module was signed by another key than its identity says.
    ModuleSignerDiffers = "tdx.module.signer": "the TDX module is signed by another key";
}
