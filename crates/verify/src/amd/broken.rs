//! The rules of AMD that verification can find broken, one variant each, with found and wanted.
//!
//! Says nothing about what a machine should be; that is appraisal.

use std::fmt;

use zeuge_evidence::UnixTime;

/// The window of a certificate and the instant that lies outside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First instant of validity.
    pub not_before: UnixTime,
    /// Last instant of validity.
    pub not_after: UnixTime,
    /// The instant of verification.
    pub at: UnixTime,
}

impl fmt::Display for Window {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} to {}", self.not_before, self.not_after)
    }
}

/// A rule of AMD SEV-SNP or of AMD's certificates that does not hold.
///
/// Byte strings are lower-case hex, names are common names, instants are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `amd.ark.pinned`: the chain ends in another root than the pinned one of this product.
    ArkNotPinned {
        /// SHA-256 of the root that signed, in hex.
        found: String,
        /// SHA-256 of the pinned root, in hex.
        wanted: String,
    },
    /// `amd.ark.validity`: the root is not in force at the instant.
    ArkOutOfWindow(Window),
    /// `amd.ask.authority`: the intermediate may not certify keys.
    AskNotAuthority {
        /// What was found.
        found: String,
        /// What AMD's intermediates carry.
        wanted: &'static str,
    },
    /// `amd.ask.issuer`: the intermediate names another issuer than the root.
    AskIssuerDiffers {
        /// The issuer that the intermediate names.
        found: String,
        /// The subject of the root.
        wanted: String,
    },
    /// `amd.ask.signature`: the root did not sign the intermediate, or not with AMD's scheme.
    AskSignatureBad {
        /// The intermediate, by name and source.
        found: String,
        /// The root that should have signed.
        wanted: String,
    },
    /// `amd.ask.validity`: the intermediate is not in force at the instant.
    AskOutOfWindow(Window),
    /// `amd.crl.revoked`: a list that the root signed names the intermediate.
    AskRevoked {
        /// Its serial number in hex.
        serial: String,
        /// When it was revoked.
        since: UnixTime,
        /// The list, by source.
        list: String,
    },
    /// `amd.crl.signature`: the root did not sign the only list at hand.
    CrlSignatureBad {
        /// The list, by source.
        found: String,
        /// The root that should have signed.
        wanted: String,
    },
    /// `snp.host-requested`: the host asked for the report, not the guest.
    HostRequested,
    /// `snp.key-info.masked`: the firmware was told not to sign (MASK_CHIP_KEY).
    ChipKeyMasked,
    /// `snp.key-info.reserved`: reserved bits of KEY_INFO are set.
    KeyInfoReserved {
        /// KEY_INFO as received.
        found: u32,
    },
    /// `snp.key-info.signing-key`: SIGNING_KEY is neither VCEK nor VLEK.
    SigningKeyUnknown {
        /// The three bits: 2 to 6 reserved, 7 unsigned.
        found: u8,
    },
    /// `snp.product`: no product of AMD's has this CPUID, or none that we hold a root of.
    ProductUnknown {
        /// Family, model and stepping, or the issuer's name.
        found: String,
    },
    /// `snp.signature`: the certified key did not sign these bytes.
    ReportSignatureBad {
        /// SHA-256 of the certificate of that key, in hex.
        leaf: String,
    },
    /// `snp.signature-algorithm`: SIGNATURE_ALGO is not 1.
    SignatureAlgorithmUnknown {
        /// SIGNATURE_ALGO as received.
        found: u32,
    },
    /// `snp.tcb.order`: a version number exceeds one that it can never exceed.
    TcbOrder {
        /// The field that is too high, and its bytes.
        found: String,
        /// The field that bounds it, and its bytes.
        wanted: String,
    },
    /// `snp.vcek.algorithm`: the leaf is signed with another scheme than AMD's.
    LeafAlgorithmDiffers {
        /// The AlgorithmIdentifiers beside and inside the signed part, in hex.
        found: String,
    },
    /// `snp.vcek.chip-id`: the report speaks for another chip than the certificate.
    ChipIdDiffers {
        /// CHIP_ID of the report in hex.
        report: String,
        /// hwID of the certificate in hex.
        certificate: String,
    },
    /// `snp.vcek.chip-id`: the report hides its chip, so no VCEK can be bound to it.
    ChipIdMasked,
    /// `snp.vcek.extensions`: an extension is absent, badly encoded, or not AMD's.
    LeafExtension {
        /// The extension, by AMD's name.
        field: &'static str,
        /// What was found.
        found: String,
        /// What AMD's certificates carry.
        wanted: &'static str,
    },
    /// `snp.vcek.issuer`: the leaf names another issuer than the intermediate of this product.
    LeafIssuerDiffers {
        /// The issuer that the leaf names.
        found: String,
        /// The issuer that this product needs.
        wanted: String,
    },
    /// `snp.vcek.key`: the certified key is not on P-384.
    LeafKeyKind {
        /// The algorithm of the key.
        found: String,
    },
    /// `snp.vcek.kind`: SIGNING_KEY names the other kind of certificate.
    LeafKindDiffers {
        /// The kind of the certificate.
        found: String,
        /// The kind that SIGNING_KEY names.
        wanted: &'static str,
    },
    /// `snp.vcek.signature`: the intermediate did not sign the leaf.
    LeafSignatureBad {
        /// The leaf, by source.
        found: String,
        /// The intermediate that should have signed.
        wanted: String,
    },
    /// `snp.vcek.tcb`: the leaf certifies a key of another TCB than REPORTED_TCB.
    LeafTcbDiffers {
        /// The TCB of the certificate.
        certificate: String,
        /// REPORTED_TCB of the report.
        report: String,
    },
    /// `snp.vcek.validity`: the leaf is not in force at the instant.
    LeafOutOfWindow(Window),
    /// `snp.vlek.csp-id`: a VLEK that names no provider.
    CspIdAbsent,
    /// `snp.vlek.hwid`: a VLEK that names a chip.
    VlekHwidPresent {
        /// The chip, in hex.
        found: String,
    },
    /// `snp.vmpl.range`: VMPL is above 3.
    VmplOutOfRange {
        /// VMPL as received.
        found: u32,
    },
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::ArkNotPinned { .. } => "amd.ark.pinned",
            Self::ArkOutOfWindow(_) => "amd.ark.validity",
            Self::AskNotAuthority { .. } => "amd.ask.authority",
            Self::AskIssuerDiffers { .. } => "amd.ask.issuer",
            Self::AskSignatureBad { .. } => "amd.ask.signature",
            Self::AskOutOfWindow(_) => "amd.ask.validity",
            Self::AskRevoked { .. } => "amd.crl.revoked",
            Self::CrlSignatureBad { .. } => "amd.crl.signature",
            Self::HostRequested => "snp.host-requested",
            Self::ChipKeyMasked => "snp.key-info.masked",
            Self::KeyInfoReserved { .. } => "snp.key-info.reserved",
            Self::SigningKeyUnknown { .. } => "snp.key-info.signing-key",
            Self::ProductUnknown { .. } => "snp.product",
            Self::ReportSignatureBad { .. } => "snp.signature",
            Self::SignatureAlgorithmUnknown { .. } => "snp.signature-algorithm",
            Self::TcbOrder { .. } => "snp.tcb.order",
            Self::LeafAlgorithmDiffers { .. } => "snp.vcek.algorithm",
            Self::ChipIdDiffers { .. } | Self::ChipIdMasked => "snp.vcek.chip-id",
            Self::LeafExtension { .. } => "snp.vcek.extensions",
            Self::LeafIssuerDiffers { .. } => "snp.vcek.issuer",
            Self::LeafKeyKind { .. } => "snp.vcek.key",
            Self::LeafKindDiffers { .. } => "snp.vcek.kind",
            Self::LeafSignatureBad { .. } => "snp.vcek.signature",
            Self::LeafTcbDiffers { .. } => "snp.vcek.tcb",
            Self::LeafOutOfWindow(_) => "snp.vcek.validity",
            Self::CspIdAbsent => "snp.vlek.csp-id",
            Self::VlekHwidPresent { .. } => "snp.vlek.hwid",
            Self::VmplOutOfRange { .. } => "snp.vmpl.range",
        }
    }

    /// What was found and what was wanted, for people.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        let pair = |found: &str, wanted: &str| Some((found.to_owned(), wanted.to_owned()));
        match self {
            Self::ArkNotPinned { found, wanted }
            | Self::AskIssuerDiffers { found, wanted }
            | Self::AskSignatureBad { found, wanted }
            | Self::CrlSignatureBad { found, wanted }
            | Self::LeafIssuerDiffers { found, wanted }
            | Self::LeafSignatureBad { found, wanted }
            | Self::TcbOrder { found, wanted } => pair(found, wanted),
            Self::AskNotAuthority { found, wanted }
            | Self::LeafExtension { found, wanted, .. }
            | Self::LeafKindDiffers { found, wanted } => pair(found, wanted),
            Self::ArkOutOfWindow(window)
            | Self::AskOutOfWindow(window)
            | Self::LeafOutOfWindow(window) => Some((window.to_string(), window.at.to_string())),
            Self::AskRevoked { serial, list, .. } => pair(
                serial,
                &format!("a serial number that {list} does not list"),
            ),
            Self::HostRequested => pair("VMPL 0xffffffff", "VMPL 0 to 3"),
            Self::ChipKeyMasked => pair("MASK_CHIP_KEY 1", "MASK_CHIP_KEY 0"),
            Self::KeyInfoReserved { found } => pair(&format!("{found:#010x}"), "bits 31:5 zero"),
            Self::SigningKeyUnknown { found } => pair(&found.to_string(), "0 (VCEK) or 1 (VLEK)"),
            Self::ProductUnknown { found } => pair(found, "Milan, Genoa or Turin"),
            Self::ReportSignatureBad { leaf } => pair(
                "a signature that this key did not make",
                &format!("a signature by the key of sha256:{leaf}"),
            ),
            Self::SignatureAlgorithmUnknown { found } => pair(&found.to_string(), "1"),
            Self::LeafAlgorithmDiffers { found } => {
                pair(found, "RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48")
            }
            Self::ChipIdDiffers {
                report,
                certificate,
            } => pair(report, certificate),
            Self::ChipIdMasked => pair("CHIP_ID all zero", "the chip's id"),
            Self::LeafKeyKind { found } => pair(found, "an uncompressed point on P-384"),
            Self::LeafTcbDiffers {
                certificate,
                report,
            } => pair(certificate, report),
            Self::CspIdAbsent => pair("no cspID", "the provider's name"),
            Self::VlekHwidPresent { found } => pair(found, "no hwID"),
            Self::VmplOutOfRange { found } => pair(&found.to_string(), "0 to 3"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.sentence())?;
        match self {
            Self::LeafExtension { field, .. } => write!(out, " ({field})")?,
            Self::AskRevoked { since, .. } => write!(out, " (since {since})")?,
            _ => {}
        }
        match self.difference() {
            Some((found, wanted)) => write!(out, ": found {found}, wanted {wanted}"),
            None => Ok(()),
        }
    }
}

impl Broken {
    const fn sentence(&self) -> &'static str {
        match self {
            Self::ArkNotPinned { .. } => "the chain ends in another root than the pinned one",
            Self::ArkOutOfWindow(_) => "AMD's root is not in force at this instant",
            Self::AskNotAuthority { .. } => "the intermediate may not certify keys",
            Self::AskIssuerDiffers { .. } => "the intermediate names another issuer than the root",
            Self::AskSignatureBad { .. } => "the root did not sign the intermediate",
            Self::AskOutOfWindow(_) => "the intermediate is not in force at this instant",
            Self::AskRevoked { .. } => "AMD has revoked the intermediate",
            Self::CrlSignatureBad { .. } => "the root did not sign the revocation list",
            Self::HostRequested => "the host asked for this report, not the guest",
            Self::ChipKeyMasked => "the firmware was told not to sign",
            Self::KeyInfoReserved { .. } => "reserved bits of KEY_INFO are set",
            Self::SigningKeyUnknown { .. } => "SIGNING_KEY names no key of AMD's",
            Self::ProductUnknown { .. } => "this processor is of no product that we know",
            Self::ReportSignatureBad { .. } => "the certified key did not sign this report",
            Self::SignatureAlgorithmUnknown { .. } => "SIGNATURE_ALGO is unknown",
            Self::TcbOrder { .. } => "the report's TCB versions contradict each other",
            Self::LeafAlgorithmDiffers { .. } => "the leaf is not signed with AMD's scheme",
            Self::ChipIdDiffers { .. } => "the report speaks for another chip than the certificate",
            Self::ChipIdMasked => "the report hides its chip, so no VCEK can be bound to it",
            Self::LeafExtension { .. } => "an extension of the leaf is not as AMD writes it",
            Self::LeafIssuerDiffers { .. } => "the leaf names another issuer than this product has",
            Self::LeafKeyKind { .. } => "the certified key is not on P-384",
            Self::LeafKindDiffers { .. } => {
                "the certificate is of another kind than the signing key"
            }
            Self::LeafSignatureBad { .. } => "the intermediate did not sign the leaf",
            Self::LeafTcbDiffers { .. } => "the leaf certifies a key of another TCB",
            Self::LeafOutOfWindow(_) => "the leaf is not in force at this instant",
            Self::CspIdAbsent => "the VLEK names no provider",
            Self::VlekHwidPresent { .. } => "the VLEK names a chip",
            Self::VmplOutOfRange { .. } => "VMPL is out of range",
        }
    }
}
