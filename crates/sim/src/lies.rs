//! Every lie that the toy AMD can tell, each named after the one check that must catch it.
//!
//! A lie breaks one rule and keeps all others: the chains are whole, the dates right, the
//! signatures good, but for the one thing. How a lie is made stands in `amd/tell.rs`.

/// The room whose duty it is to catch a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Room {
    /// The bytes are not what they claim to be: `zeuge-evidence`.
    Evidence,
    /// A chain, signature, date or binding does not hold: `zeuge-verify`.
    Verify,
    /// All is proven, but not wanted: `zeuge-appraise`.
    Appraise,
}

/// Makes the enum of a maker's lies: one row per lie, by the room that must catch it.
macro_rules! lies {
    ($(#[$about:meta])* $enum:ident:
     $($room:ident { $($name:ident = $check:literal: $what:literal;)+ })+) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[doc = $what] $name,)+)+
        }

        impl $enum {
            /// All of them, by room and in the order of the check ids.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)+)+];

            /// The id of the check that must catch this lie, and no other may.
            #[must_use]
            pub const fn check(self) -> &'static str {
                match self { $($(Self::$name => $check,)+)+ }
            }

            /// What is wrong, in one sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $($(Self::$name => $what,)+)+ }
            }

            /// The room that must catch it.
            #[must_use]
            pub const fn room(self) -> $crate::Room {
                match self { $($(Self::$name)|+ => $crate::Room::$room,)+ }
            }

            /// The lie that this check must catch, if one is told about it.
            #[must_use]
            pub fn about(check: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|lie| lie.check() == check)
            }
        }
    };
}
pub(crate) use lies;

lies! {
    /// One lie per check. Each lies in one thing and tells the truth in all others.
    Lie:
    Evidence {
        // spec: sev-snp.policy.bit-17
        MustBeOne = "snp.guest-policy.must-be-one": "Bit 17 of GUEST_POLICY is zero.";
        Json = "snp.json": "The evidence is JSON in which MEASUREMENT has 47 bytes.";
        Protobuf = "snp.protobuf": "The evidence is a protobuf whose certificate claims more bytes than there are.";
        // spec: sev-snp.report.length
        ReportLength = "snp.report.length": "The report lacks its last byte.";
        // spec: sev-snp.report.reserved
        ReportReserved = "snp.report.reserved": "A reserved byte of the report is not zero.";
        // spec: sev-snp.signature.width
        SignatureFormat = "snp.report.signature-format": "The upper bytes of R are not zero.";
        // spec: sev-snp.report.version
        ReportVersion = "snp.report.version": "The report has version 6, which nobody has specified.";
        // spec: sev-snp.table.entries
        Table = "snp.table": "The last entry of the certificate table reaches beyond the file.";
        Certificate = "x509.certificate": "The leaf in the certificate table is not a certificate.";
        RevocationList = "x509.crl": "The revocation list in the certificate table is not a list.";
    }
    Verify {
        // spec: sev-snp.chain.pinned
        ArkPinned = "amd.ark.pinned": "The whole chain hangs from another root with the same names.";
        // spec: sev-snp.chain.root-validity
        ArkValidity = "amd.ark.validity": "The evidence is from the day after the root's last.";
        // spec: sev-snp.chain.intermediate-authority
        AskAuthority = "amd.ask.authority": "The root signed the intermediate, but not as an authority.";
        // spec: sev-snp.chain.intermediate-at-hand
        AskAvailable = "amd.ask.available": "The intermediate is not at hand.";
        // spec: sev-snp.chain.intermediate-issuer
        AskIssuer = "amd.ask.issuer": "The intermediate names the root of another product as its issuer.";
        // spec: sev-snp.chain.intermediate-signature
        AskSignature = "amd.ask.signature": "The root's signature on the intermediate has a flipped bit.";
        // spec: sev-snp.chain.intermediate-validity
        AskValidity = "amd.ask.validity": "The intermediate ran out yesterday.";
        // spec: sev-snp.crl.revoked
        CrlRevoked = "amd.crl.revoked": "The root's list names the intermediate.";
        // spec: sev-snp.crl.signature
        CrlSignature = "amd.crl.signature": "The root's signature on the revocation list has a flipped bit.";
        // spec: sev-snp.launch.report-data
        ReportData = "binding.report-data": "REPORT_DATA answers another challenge.";
        // spec: sev-snp.vmpl.host
        HostRequested = "snp.host-requested": "The host asked for the report: VMPL is 0xFFFFFFFF.";
        // spec: sev-snp.key-info.masked
        KeyInfoMasked = "snp.key-info.masked": "MASK_CHIP_KEY is set and the signature is zero.";
        // spec: sev-snp.key-info.reserved
        KeyInfoReserved = "snp.key-info.reserved": "Bit 5 of KEY_INFO is set.";
        // spec: sev-snp.key-info.signing-key
        KeyInfoSigningKey = "snp.key-info.signing-key": "SIGNING_KEY is 7: nobody signed.";
        // spec: sev-snp.product.cpuid
        ProductUnknown = "snp.product": "The processor is of a family and model that AMD has not published a root for.";
        // spec: sev-snp.signature.bytes
        Signature = "snp.signature": "HOST_DATA was changed after the chip had signed.";
        // spec: sev-snp.signature.algorithm
        SignatureAlgorithm = "snp.signature-algorithm": "SIGNATURE_ALGO is 2.";
        // spec: sev-snp.tcb.order
        TcbOrder = "snp.tcb.order": "COMMITTED_TCB is below REPORTED_TCB.";
        // spec: sev-snp.chain.pss
        VcekAlgorithm = "snp.vcek.algorithm": "The leaf is well signed, but with SHA-256 and a salt of 32 bytes.";
        // spec: sev-snp.chain.leaf-at-hand
        VcekAvailable = "snp.vcek.available": "The leaf is not at hand.";
        // spec: sev-snp.leaf.chip
        VcekChipId = "snp.vcek.chip-id": "The neighbour's chip signed, with its own good certificate.";
        // spec: sev-snp.leaf.extensions
        VcekExtensions = "snp.vcek.extensions": "The leaf does not say for which microcode its key is.";
        // spec: sev-snp.chain.leaf-issuer
        VcekIssuer = "snp.vcek.issuer": "The leaf names the intermediate of another product as its issuer.";
        // spec: sev-snp.chain.leaf-key
        VcekKey = "snp.vcek.key": "The leaf certifies a key on P-256.";
        // spec: sev-snp.key-info.kind
        VcekKind = "snp.vcek.kind": "SIGNING_KEY names the other kind of key than the one that signed.";
        // spec: sev-snp.chain.leaf-signature
        VcekSignature = "snp.vcek.signature": "The intermediate's signature on the leaf has a flipped bit.";
        // spec: sev-snp.leaf.tcb
        VcekTcb = "snp.vcek.tcb": "The key of an older TCB of the same chip signed, with its own good certificate.";
        // spec: sev-snp.chain.leaf-validity
        VcekValidity = "snp.vcek.validity": "The leaf ran out yesterday.";
        // spec: sev-snp.vlek.provider
        VlekCspId = "snp.vlek.csp-id": "The VLEK does not name its cloud provider.";
        // spec: sev-snp.vlek.no-hwid
        VlekHwid = "snp.vlek.hwid": "The VLEK names a chip.";
        // spec: sev-snp.vmpl.range
        VmplRange = "snp.vmpl.range": "VMPL is 4.";
    }
    Appraise {
        // spec: sev-snp.crl.fresh
        CrlFresh = "amd.crl.fresh": "The revocation list ran out yesterday.";
        // spec: sev-snp.policy.debug, dcap.policy.td-debug
        PolicyDebug = "policy.debug": "GUEST_POLICY allows the host to debug the guest.";
        // spec: sev-snp.launch.measurement
        PolicyMeasurement = "policy.measurement": "The machine was started from other firmware.";
        // spec: sev-snp.policy.migrate-ma
        PolicyMigration = "policy.migration": "GUEST_POLICY allows a migration agent.";
        // spec: sev-snp.tcb.floor
        PolicyTcb = "policy.tcb": "The firmware is old, and honestly says so.";
        // spec: sev-snp.vmpl.declared
        PolicyVmpl = "policy.vmpl": "The report was asked for from VMPL 2.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lies_are_for_the_same_check() {
        for lie in Lie::ALL {
            assert_eq!(Lie::about(lie.check()), Some(*lie));
        }
    }
}
