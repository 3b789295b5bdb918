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
        MustBeOne = "snp.guest-policy.must-be-one": "Bit 17 of GUEST_POLICY is zero.";
        Json = "snp.json": "The evidence is JSON in which MEASUREMENT has 47 bytes.";
        Protobuf = "snp.protobuf": "The evidence is a protobuf whose certificate claims more bytes than there are.";
        ReportLength = "snp.report.length": "The report lacks its last byte.";
        ReportReserved = "snp.report.reserved": "A reserved byte of the report is not zero.";
        SignatureFormat = "snp.report.signature-format": "The upper bytes of R are not zero.";
        ReportVersion = "snp.report.version": "The report has version 6, which nobody has specified.";
        Table = "snp.table": "The last entry of the certificate table reaches beyond the file.";
        Certificate = "x509.certificate": "The leaf in the certificate table is not a certificate.";
        RevocationList = "x509.crl": "The revocation list in the certificate table is not a list.";
    }
    Verify {
        ArkPinned = "amd.ark.pinned": "The whole chain hangs from another root with the same names.";
        ArkValidity = "amd.ark.validity": "The evidence is from the day after the root's last.";
        AskAuthority = "amd.ask.authority": "The root signed the intermediate, but not as an authority.";
        AskAvailable = "amd.ask.available": "The intermediate is not at hand.";
        AskIssuer = "amd.ask.issuer": "The intermediate names the root of another product as its issuer.";
        AskSignature = "amd.ask.signature": "The root's signature on the intermediate has a flipped bit.";
        AskValidity = "amd.ask.validity": "The intermediate ran out yesterday.";
        CrlRevoked = "amd.crl.revoked": "The root's list names the intermediate.";
        CrlSignature = "amd.crl.signature": "The root's signature on the revocation list has a flipped bit.";
        ReportData = "binding.report-data": "REPORT_DATA answers another challenge.";
        HostRequested = "snp.host-requested": "The host asked for the report: VMPL is 0xFFFFFFFF.";
        KeyInfoMasked = "snp.key-info.masked": "MASK_CHIP_KEY is set and the signature is zero.";
        KeyInfoReserved = "snp.key-info.reserved": "Bit 5 of KEY_INFO is set.";
        KeyInfoSigningKey = "snp.key-info.signing-key": "SIGNING_KEY is 7: nobody signed.";
        ProductUnknown = "snp.product": "The processor is of a family and model that AMD has not published a root for.";
        Signature = "snp.signature": "HOST_DATA was changed after the chip had signed.";
        SignatureAlgorithm = "snp.signature-algorithm": "SIGNATURE_ALGO is 2.";
        TcbOrder = "snp.tcb.order": "COMMITTED_TCB is below REPORTED_TCB.";
        VcekAlgorithm = "snp.vcek.algorithm": "The leaf is well signed, but with SHA-256 and a salt of 32 bytes.";
        VcekAvailable = "snp.vcek.available": "The leaf is not at hand.";
        VcekChipId = "snp.vcek.chip-id": "The neighbour's chip signed, with its own good certificate.";
        VcekExtensions = "snp.vcek.extensions": "The leaf does not say for which microcode its key is.";
        VcekIssuer = "snp.vcek.issuer": "The leaf names the intermediate of another product as its issuer.";
        VcekKey = "snp.vcek.key": "The leaf certifies a key on P-256.";
        VcekKind = "snp.vcek.kind": "SIGNING_KEY names the other kind of key than the one that signed.";
        VcekSignature = "snp.vcek.signature": "The intermediate's signature on the leaf has a flipped bit.";
        VcekTcb = "snp.vcek.tcb": "The key of an older TCB of the same chip signed, with its own good certificate.";
        VcekValidity = "snp.vcek.validity": "The leaf ran out yesterday.";
        VlekCspId = "snp.vlek.csp-id": "The VLEK does not name its cloud provider.";
        VlekHwid = "snp.vlek.hwid": "The VLEK names a chip.";
        VmplRange = "snp.vmpl.range": "VMPL is 4.";
    }
    Appraise {
        CrlFresh = "amd.crl.fresh": "The revocation list ran out yesterday.";
        PolicyDebug = "policy.debug": "GUEST_POLICY allows the host to debug the guest.";
        PolicyMeasurement = "policy.measurement": "The machine was started from other firmware.";
        PolicyMigration = "policy.migration": "GUEST_POLICY allows a migration agent.";
        PolicyTcb = "policy.tcb": "The firmware is old, and honestly says so.";
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
