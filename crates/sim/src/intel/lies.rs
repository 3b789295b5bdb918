//! Every lie that the toy Intel can tell, each named after the one check that must catch it.
//!
//! A lie breaks one rule and keeps all others: the chains are whole, the dates right, the
//! signatures good, but for the one thing. How a lie is made stands in `tell.rs`.

use crate::lies::lies;

lies! {
    /// One lie per check on quotes of SGX and TDX. Each lies in one thing and tells the truth in
    /// all others.
    IntelLie:
    Evidence {
        // spec: dcap.quote.certification-data
        CertificationData = "dcap.certification-data": "The certification data has type 8, which nobody has specified.";
        Json = "dcap.json": "The evidence is JSON that names two quotes.";
        Protobuf = "dcap.protobuf": "The evidence is a protobuf whose last field claims more bytes than there are.";
        // spec: dcap.quote.body
        QuoteBody = "dcap.quote.body": "The body's size is one byte more than its type has.";
        // spec: dcap.quote.key-type
        QuoteKeyType = "dcap.quote.key-type": "The attestation key is of type 3, which is reserved.";
        // spec: dcap.quote.length
        QuoteLength = "dcap.quote.length": "The quote lacks its last byte.";
        // spec: dcap.quote.tee-type
        QuoteTeeType = "dcap.quote.tee-type": "The TEE type is 0x82, which nobody has specified.";
        // spec: dcap.quote.vendor
        QuoteVendor = "dcap.quote.vendor": "The quoting enclave is of another vendor than Intel.";
        // spec: dcap.quote.version
        QuoteVersion = "dcap.quote.version": "The quote has version 6, which nobody has specified.";
    }
    Verify {
        ReportData = "binding.report-data": "REPORTDATA answers another challenge.";
        // spec: dcap.chain.crl-signature
        CrlSignature = "dcap.crl.signature": "The PCK CA's signature on its revocation list has a flipped bit.";
        // spec: dcap.chain.intermediate-authority
        IntermediateAuthority = "dcap.intermediate.authority": "The root signed the PCK CA, but not as an authority.";
        // spec: dcap.chain.intermediate-at-hand
        IntermediateAvailable = "dcap.intermediate.available": "The PCK CA's certificate is not at hand.";
        // spec: dcap.chain.intermediate-issuer
        IntermediateIssuer = "dcap.intermediate.issuer": "The PCK CA names another issuer than the root that signed it.";
        // spec: dcap.chain.intermediate-revoked
        IntermediateRevoked = "dcap.intermediate.revoked": "The root's list names the PCK CA.";
        // spec: dcap.chain.intermediate-signature
        IntermediateSignature = "dcap.intermediate.signature": "The root's signature on the PCK CA has a flipped bit.";
        // spec: dcap.chain.intermediate-validity
        IntermediateValidity = "dcap.intermediate.validity": "The PCK CA ran out yesterday.";
        // spec: dcap.pck.authority
        PckAuthority = "dcap.pck.authority": "The PCK certificate says that it may certify other keys.";
        // spec: dcap.pck.at-hand
        PckAvailable = "dcap.pck.available": "The quote names its platform only, and the PCK certificate is not at hand.";
        // spec: dcap.pck.components
        PckComponents = "dcap.pck.components": "CPUSVN and the component SVNs of the PCK certificate differ.";
        // spec: dcap.pck.extension
        PckExtension = "dcap.pck.extension": "The PCK certificate does not name its FMSPC.";
        // spec: dcap.pck.key
        PckKey = "dcap.pck.key": "The PCK certificate certifies a key on P-384.";
        // spec: dcap.pck.name
        PckName = "dcap.pck.name": "The leaf is named as another kind of certificate.";
        // spec: dcap.pck.revoked
        PckRevoked = "dcap.pck.revoked": "The PCK CA's list names the PCK certificate.";
        // spec: dcap.pck.signature
        PckSignature = "dcap.pck.signature": "The PCK CA's signature on the PCK certificate has a flipped bit.";
        // spec: dcap.pck.validity
        PckValidity = "dcap.pck.validity": "The PCK certificate ran out yesterday.";
        // spec: dcap.qe-identity.at-hand
        IdentityAvailable = "dcap.qe-identity.available": "The QE Identity is not at hand.";
        // spec: dcap.qe-identity.duplicate-key
        IdentityDuplicateKey = "dcap.qe-identity.duplicate-key": "The QE Identity says isvprodid twice.";
        // spec: dcap.qe-identity.format
        IdentityFormat = "dcap.qe-identity.format": "The QE Identity has version 4, which nobody has specified.";
        // spec: dcap.qe-identity.id
        IdentityId = "dcap.qe-identity.id": "The QE Identity is of the other kind of quoting enclave.";
        // spec: dcap.qe-identity.order
        IdentityOrder = "dcap.qe-identity.order": "The levels of the QE Identity rise.";
        // spec: dcap.qe-identity.signature
        IdentitySignature = "dcap.qe-identity.signature": "A status of the QE Identity was changed after it had been signed.";
        // spec: dcap.qe-identity.window
        IdentityWindow = "dcap.qe-identity.window": "The QE Identity ran out yesterday.";
        // spec: dcap.qe.attributes
        QeAttributes = "dcap.qe.attributes": "The quoting enclave is open to debuggers.";
        // spec: dcap.qe.binding
        QeBinding = "dcap.qe.binding": "The quoting enclave vouches for another attestation key.";
        // spec: dcap.qe.misc-select
        QeMiscSelect = "dcap.qe.misc-select": "The quoting enclave asks for exception information.";
        // spec: dcap.qe.product
        QeProduct = "dcap.qe.product": "The quoting enclave is another product of the same signer.";
        // spec: dcap.qe.report-signature
        QeReportSignature = "dcap.qe.report-signature": "The PCK's signature on the QE report has a flipped bit.";
        // spec: dcap.qe.signer
        QeSigner = "dcap.qe.signer": "The quoting enclave is signed by somebody else.";
        // spec: dcap.quote.signature
        QuoteSignature = "dcap.quote.signature": "The body was changed after the attestation key had signed.";
        // spec: dcap.chain.root
        RootPinned = "dcap.root.pinned": "Everything hangs from another root with the same name.";
        // spec: dcap.chain.root-validity
        RootValidity = "dcap.root.validity": "The evidence is from the day after the root's last.";
        // spec: dcap.tcb-info.at-hand
        TcbInfoAvailable = "dcap.tcb-info.available": "The TCB Info is not at hand.";
        // spec: dcap.tcb-info.duplicate-key
        TcbInfoDuplicateKey = "dcap.tcb-info.duplicate-key": "The TCB Info says tcbType twice.";
        // spec: dcap.tcb-info.fmspc
        TcbInfoFmspc = "dcap.tcb-info.fmspc": "The TCB Info is about another FMSPC.";
        // spec: dcap.tcb-info.format
        TcbInfoFormat = "dcap.tcb-info.format": "The TCB Info has version 4, which nobody has specified.";
        // spec: dcap.tcb-info.module-order
        TcbInfoModuleOrder = "dcap.tcb-info.module-order": "The levels of the TDX modules rise.";
        // spec: dcap.tcb-info.order
        TcbInfoOrder = "dcap.tcb-info.order": "The levels of the TCB Info rise.";
        // spec: dcap.tcb-info.pce-id
        TcbInfoPceId = "dcap.tcb-info.pce-id": "The TCB Info is about another PCEID.";
        // spec: dcap.tcb-info.signature
        TcbInfoSignature = "dcap.tcb-info.signature": "A status of the TCB Info was changed after it had been signed.";
        // spec: dcap.tcb-info.tee
        TcbInfoTee = "dcap.tcb-info.tee": "The TCB Info of this FMSPC is for the other kind of environment.";
        // spec: dcap.tcb-info.window
        TcbInfoWindow = "dcap.tcb-info.window": "The TCB Info ran out yesterday.";
        // spec: dcap.tcb-signer.at-hand
        SignerAvailable = "dcap.tcb-signer.available": "The TCB signing certificate is not at hand.";
        // spec: dcap.tcb-signer.revoked
        SignerRevoked = "dcap.tcb-signer.revoked": "The root's list names the TCB signing certificate.";
        // spec: dcap.tcb-signer.signature
        SignerSignature = "dcap.tcb-signer.signature": "The root's signature on the TCB signing certificate has a flipped bit.";
        // spec: dcap.tcb-signer.validity
        SignerValidity = "dcap.tcb-signer.validity": "The TCB signing certificate ran out yesterday.";
        // spec: dcap.tdx.event-log
        EventLogReplay = "tdx.eventlog.replay": "The boot log names another kernel than the one that was measured.";
        // spec: dcap.tdx.module-attributes
        ModuleAttributes = "tdx.module.attributes": "The TDX module has an attribute that its identity does not have.";
        // spec: dcap.tdx.module-identity
        ModuleIdentity = "tdx.module.identity": "The TDX module is of major version 9, which no document describes.";
        // spec: dcap.tdx.module-loaded
        ModuleLoaded = "tdx.module.loaded": "The TDX module loaded now is of major version 9, which no document describes.";
        // spec: dcap.tdx.module-signer
        ModuleSigner = "tdx.module.signer": "The TDX module is signed by somebody else than Intel.";
    }
    Appraise {
        CrlFresh = "dcap.crl.fresh": "The PCK CA's revocation list ran out yesterday.";
        PolicyAdvisories = "policy.advisories": "A published weakness applies to the quoting enclave, and the document says so.";
        PolicyDebug = "policy.debug": "The trust domain or enclave is open to debuggers.";
        PolicyEvaluationNumber = "policy.evaluation-number": "The documents are in force, but of an earlier state of knowledge.";
        PolicyMeasurement = "policy.measurement": "Something else was started.";
        PolicyMigration = "policy.migration": "A migration TD may take the trust domain elsewhere.";
        // spec: dcap.policy.service-td
        PolicyServiceTd = "policy.service-td": "A service TD that nobody named is bound to the trust domain.";
        // spec: dcap.policy.status
        PolicyTcbStatus = "policy.tcb-status": "The platform is out of date, and honestly says so.";
        PolicyTdAttributes = "policy.td-attributes": "SEPT_VE_DISABLE is not set.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lies_are_for_the_same_check() {
        for lie in IntelLie::ALL {
            assert_eq!(IntelLie::about(lie.check()), Some(*lie));
        }
    }
}
