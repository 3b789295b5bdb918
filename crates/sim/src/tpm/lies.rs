//! Every lie that the toy TPM maker can tell, each named after the one check that must catch it.
//!
//! A lie breaks one rule and keeps all others: the chains are whole, the registers add up, the
//! signatures are good, but for the one thing. How a lie is made stands in `tell.rs`.

use crate::lies::lies;

lies! {
    /// One lie per check on TPMs, their keys and their logs. Each lies in one thing and tells the
    /// truth in all others.
    TpmLie:
    Evidence {
        // spec: tpm.log.truncated
        Event = "eventlog.event": "The last record of the boot log ends after the log.";
        // spec: tpm.log.header
        Header = "eventlog.header": "The boot log's header announces the same hash twice.";
        // spec: tpm.ima.template
        ImaLine = "ima.line": "An entry of the IMA list has a template that nobody has specified.";
        // spec: tpm.log.signature-list
        SignatureList = "secureboot.signature-list": "The entries of the measured db do not fill their list.";
        // spec: tpm.attest.no-trailing
        Attest = "tpm.attest": "A byte follows the statement, and is signed with it.";
        Bundle = "tpm.bundle": "The statement is not base64.";
        // spec: tpm.ek.container
        EkFormat = "tpm.ek.format": "The file of the EK certificate holds something else.";
        // spec: tpm.public.type, tpm.public.fields
        Public = "tpm.public": "The AK is of a type that no TPM signs quotes with.";
        // spec: tpm.signature.schemes
        SignatureFormat = "tpm.signature-format": "The signature claims an anonymous scheme.";
    }
    Verify {
        // spec: tpm.activation.answer
        AkActivation = "tpm.ak.activation": "The answer to the credential is a guess.";
        // spec: tpm.ak.attributes
        AkAttributes = "tpm.ak.attributes": "The AK may sign what the TPM did not make.";
        AkAvailable = "tpm.ak.available": "The public part of the AK is not at hand.";
        AkCertificate = "tpm.ak.certificate": "The certificate is one of another AK of the same TPM.";
        AkChain = "tpm.ak.chain": "The certificate of the AK hangs from another root with the same names.";
        AkIssuer = "tpm.ak.issuer": "The issuer of the AK certificate is not at hand.";
        // spec: tpm.ak.length
        AkKey = "tpm.ak.key": "The AK is an RSA key of 1024 bits.";
        AkProof = "tpm.ak.proof": "Nobody vouches for the AK.";
        // spec: tpm.ak.trust
        AkTrust = "tpm.ak.trust": "Another AK than the activated one signed.";
        AkValidity = "tpm.ak.validity": "The certificate of the AK ran out yesterday.";
        EkAvailable = "tpm.ek.available": "The issuer of the EK certificate is not at hand.";
        // spec: tpm.ek.chain
        EkChain = "tpm.ek.chain": "The certificate of the EK hangs from another root with the same names.";
        // spec: tpm.ek.usage
        EkKey = "tpm.ek.key": "The certified key is one for signing.";
        // spec: tpm.ek.revocation
        EkRevoked = "tpm.ek.revoked": "The issuer's list names the EK certificate.";
        // spec: tpm.ek.validity
        EkValidity = "tpm.ek.validity": "The certificate of the EK ran out yesterday.";
        // spec: tpm.log.extend
        EventLogReplay = "tpm.eventlog.replay": "The boot log tells of another command line than the TPM was told.";
        // spec: tpm.ima.prefix
        ImaReplay = "tpm.ima.replay": "The IMA list tells of another program than the TPM was told.";
        QuoteAvailable = "tpm.quote.available": "The statement came without its signature.";
        // spec: tpm.quote.bank
        QuoteBank = "tpm.quote.bank": "The SHA-1 bank was quoted, as asked.";
        // spec: tpm.clock.order
        QuoteClock = "tpm.quote.clock": "The clock stands before that of the last quote.";
        // spec: tpm.attest.magic
        QuoteMagic = "tpm.quote.magic": "The statement does not begin with the mark of what a TPM made.";
        // spec: tpm.quote.nonce
        QuoteNonce = "tpm.quote.nonce": "The quote answers another challenge.";
        // spec: tpm.quote.digest
        QuotePcrDigest = "tpm.quote.pcr-digest": "One PCR value is not the one that was signed.";
        // spec: tpm.clock.counters
        QuoteReset = "tpm.quote.reset": "The machine was restarted since the last quote.";
        // spec: tpm.quote.selection
        QuoteSelection = "tpm.quote.selection": "PCR 16 was quoted beside those that were asked for.";
        // spec: tpm.signature.over-received
        QuoteSignature = "tpm.quote.signature": "The signature has a flipped bit.";
        // spec: tpm.attest.type
        QuoteType = "tpm.quote.type": "The statement is about the time, not about PCRs.";
    }
    Appraise {
        PolicyBootEvent = "policy.boot-event": "Another option ROM ran.";
        PolicyBootFile = "policy.boot-file": "GRUB read another kernel.";
        PolicyBootImage = "policy.boot-image": "Another shim was started.";
        PolicyCommandLine = "policy.command-line": "The kernel was told to start a shell.";
        PolicyEventLog = "policy.event-log": "The boot log was left out.";
        PolicyIma = "policy.ima": "A program ran that nobody knows.";
        PolicyInitrd = "policy.initrd": "The kernel got another initrd.";
        PolicyMok = "policy.mok": "Somebody gave shim a key of his own.";
        PolicyPcr = "policy.pcr": "The platform is configured otherwise.";
        PolicySelection = "policy.pcr-selection": "Fewer PCRs were asked for than the policy demands.";
        PolicySbat = "policy.sbat": "Shim enforces an old revocation level.";
        PolicySecureBoot = "policy.secure-boot": "Secure Boot was off.";
        // spec: tpm.log.stub
        PolicyStubSection = "policy.stub-section": "The kernel image has another section .osrel.";
        CrlFresh = "tpm.crl.fresh": "The issuer's revocation list ran out yesterday.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lies_are_for_the_same_check() {
        for lie in TpmLie::ALL {
            assert_eq!(TpmLie::about(lie.check()), Some(*lie));
        }
    }
}
