//! The owner's words about machines with a TPM: `[tpm]` of a policy, `[[tpm]]` of reference
//! values, `[[tpm]]` of the registry.
//!
//! Reads and checks the words; whether a machine is like them is decided next door. A value that
//! pins nothing is refused, and hex is never padded.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeuge_evidence::tpm::{HashAlgorithm, PcrSelection, PcrSet};
use zeuge_verify::tpm::AttestationKey;

use crate::document::Hex;

/// The part of a policy for TPMs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmPolicy {
    /// Banks and PCRs that must have been quoted, such as `sha256:0,1,7`.
    #[serde(default)]
    pub pcrs: Vec<String>,
    /// Makers (or holders of roots) that are accepted, as the roots name them; empty: any.
    #[serde(default)]
    pub makers: Vec<String>,
    /// The boot log must be there and explain the quoted PCRs of the boot.
    #[serde(default)]
    pub require_event_log: bool,
    /// Secure Boot must have been on.
    #[serde(default)]
    pub require_secure_boot: bool,
    /// Lowest generation by component that shim's revocation level must enforce.
    #[serde(default)]
    pub minimum_sbat: BTreeMap<String, u32>,
    /// Only these contents of shim's own key lists (digests in hex) are accepted.
    #[serde(default)]
    pub known_mok_lists: Option<Vec<String>>,
    /// What the IMA list may hold.
    #[serde(default)]
    pub ima: Option<ImaPolicy>,
    /// DANGEROUS: accept a TPM whose makers' revocation lists are not fresh or not at hand.
    #[serde(default)]
    pub dangerous_without_crl: Option<String>,
    /// DANGEROUS: accept quotes of a SHA-1 bank.
    #[serde(default)]
    pub dangerous_allow_sha1_bank: Option<String>,
    /// DANGEROUS: accept an AK that nothing proves to live in a TPM.
    #[serde(default)]
    pub dangerous_allow_unproven_ak: Option<String>,
}

/// What Linux may have run and read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImaPolicy {
    /// Digests of files, such as `sha256:…`.
    #[serde(default)]
    pub digests: Vec<String>,
    /// Public keys or certificates in PEM whose signature on a file is enough.
    #[serde(default)]
    pub signers: Vec<String>,
    /// Files that are not looked at: their exact paths.
    #[serde(default)]
    pub ignored_paths: Vec<String>,
}

impl TpmPolicy {
    /// The selections that must have been quoted.
    #[must_use]
    pub fn selections(&self) -> Vec<PcrSelection> {
        self.pcrs
            .iter()
            .filter_map(|text| selection(text))
            .collect()
    }

    /// The keys whose signatures on files count.
    #[must_use]
    pub fn ima_signers(&self) -> Vec<AttestationKey> {
        let signers = self.ima.iter().flat_map(|ima| &ima.signers);
        signers.filter_map(|pem| key(pem)).collect()
    }

    /// What is wrong with this part of the document, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(text) = self.pcrs.iter().find(|text| selection(text).is_none()) {
            return Some(format!("\"{text}\" names no PCRs; write sha256:0,1,7"));
        }
        if let Some(text) = self
            .known_mok_lists
            .iter()
            .flatten()
            .find(|text| !is_digest(text))
        {
            return Some(format!("\"{text}\" in known_mok_lists is no digest in hex"));
        }
        let ima = self.ima.as_ref()?;
        let bad = |text: &&String| {
            text.split_once(':').is_none_or(|(bank, digest)| {
                let size = HashAlgorithm::by_name(bank).and_then(HashAlgorithm::size);
                hex::decode(digest).ok().map(|bytes| bytes.len()) != size || size.is_none()
            })
        };
        if let Some(text) = ima.digests.iter().find(bad) {
            return Some(format!(
                "\"{text}\" in ima.digests is not of the form sha256:hex"
            ));
        }
        if ima.signers.iter().any(|pem| key(pem).is_none()) {
            return Some(
                "an entry of ima.signers is no public key or certificate in PEM".to_owned(),
            );
        }
        None
    }
}

/// `sha256:0,1,7` as a selection.
#[must_use]
pub fn selection(text: &str) -> Option<PcrSelection> {
    let (bank, list) = text.split_once(':')?;
    let pcrs: Option<Vec<u32>> = list
        .split(',')
        .map(|index| index.trim().parse().ok().filter(|index| *index < 24))
        .collect();
    Some(PcrSelection {
        bank: HashAlgorithm::by_name(bank.trim())?,
        pcrs: PcrSet::of(&pcrs?),
    })
}

fn key(pem: &str) -> Option<AttestationKey> {
    if let Ok(der) = zeuge_evidence::tpm::certificate_in(pem.as_bytes()) {
        let certificate = zeuge_evidence::x509::Certificate::parse(&der).ok()?;
        return AttestationKey::of_certificate(&certificate).ok();
    }
    AttestationKey::read(pem.as_bytes()).ok()
}

fn is_digest(text: &str) -> bool {
    hex::decode(text).is_ok_and(|bytes| matches!(bytes.len(), 20 | 32 | 48 | 64))
}

/// One machine's boot as it should be. Every term that is written must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmReference {
    /// The name that verdicts and release rules use.
    pub name: String,
    /// Values by bank and PCR of which one must be quoted.
    #[serde(default)]
    pub pcrs: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The records of a PCR in order: every PCR that is named here must have been extended by
    /// exactly these.
    #[serde(default)]
    pub events: Vec<ReferenceEvent>,
    /// Authenticode digests: every EFI application of PCR 4 (shim, loader, kernel) must be among
    /// them.
    #[serde(default)]
    pub images: Vec<String>,
    /// Digests: every initrd that Linux' EFI stub loaded must be among them.
    #[serde(default)]
    pub initrds: Vec<String>,
    /// Digests: every file that GRUB read (kernel and initrd among them) must be among them.
    #[serde(default)]
    pub files: Vec<String>,
    /// Digests by name of the sections of a unified kernel image; all must have been measured.
    #[serde(default)]
    pub sections: BTreeMap<String, Vec<String>>,
    /// Kernel command lines of which each measured one must be one.
    #[serde(default)]
    pub command_lines: Vec<String>,
    /// The same as patterns, in which `*` stands for any characters.
    #[serde(default)]
    pub command_line_patterns: Vec<String>,
    /// What the owner calls things by their digests ("shim 15.7"), for explanations alone: a name
    /// is never compared, and those of every value are looked up.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
}

/// One record as it should be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceEvent {
    /// The PCR.
    pub pcr: u32,
    /// Its digest, in hex.
    pub digest: String,
    /// What the owner calls it, for explanations.
    #[serde(default)]
    pub name: String,
}

impl TpmReference {
    /// What is wrong with this value, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let name = &self.name;
        let pins = !(self.pcrs.values().all(BTreeMap::is_empty)
            && self.events.is_empty()
            && self.images.is_empty()
            && self.initrds.is_empty()
            && self.files.is_empty()
            && self.sections.is_empty()
            && self.command_lines.is_empty()
            && self.command_line_patterns.is_empty());
        if !pins {
            return Some(format!("\"{name}\" pins nothing of the boot"));
        }
        for (bank, values) in &self.pcrs {
            let Some(size) = HashAlgorithm::by_name(bank).and_then(HashAlgorithm::size) else {
                return Some(format!("\"{name}\" names the unknown bank \"{bank}\""));
            };
            for (index, values) in values {
                let known = index.parse::<u32>().is_ok_and(|index| index < 24);
                let long = |text: &String| hex::decode(text).is_ok_and(|v| v.len() == size);
                if !known || values.is_empty() || !values.iter().all(long) {
                    return Some(format!(
                        "PCR {index} of \"{name}\" needs values of its bank"
                    ));
                }
            }
        }
        let digests = self
            .images
            .iter()
            .chain(&self.initrds)
            .chain(&self.files)
            .chain(self.sections.values().flatten())
            .chain(self.events.iter().map(|event| &event.digest))
            .chain(self.names.keys());
        let bad = digests.into_iter().find(|text| !is_digest(text))?;
        Some(format!("\"{bad}\" of \"{name}\" is no digest in hex"))
    }
}

/// One enrolled TPM (`[[tpm]]` of the registry).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledTpm {
    /// The owner's name for the machine.
    pub name: String,
    /// The TPM name of its AK: algorithm and digest, in hex.
    #[serde(default)]
    pub ak_name: Option<String>,
    /// SHA-256 of the AK's public key, for evidence that carries no `TPMT_PUBLIC`. The owner then
    /// vouches for the key's attributes.
    #[serde(default)]
    pub ak_key: Option<Hex<32>>,
    /// SHA-256 of the EK certificate that the owner approved.
    #[serde(default)]
    pub ek_certificate: Option<Hex<32>>,
}

impl EnrolledTpm {
    /// The keys that this entry vouches for.
    #[must_use]
    pub fn aks(&self) -> Vec<zeuge_verify::tpm::EnrolledAk> {
        use zeuge_verify::tpm::EnrolledAk;
        let name = self
            .ak_name
            .as_ref()
            .and_then(|name| hex::decode(name).ok());
        let key = self.ak_key.map(|key| EnrolledAk::Key(key.0));
        name.map(EnrolledAk::Name).into_iter().chain(key).collect()
    }

    /// What is wrong with this entry, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let name = &self.name;
        if self.ak_name.is_none() && self.ak_key.is_none() {
            return Some(format!("the TPM \"{name}\" names no AK"));
        }
        let text = self.ak_name.as_ref()?;
        let good = hex::decode(text).is_ok_and(|bytes| {
            matches!(bytes.as_slice(), [0, 0x0b, rest @ ..] if rest.len() == 32)
                || matches!(bytes.as_slice(), [0, 0x0c, rest @ ..] if rest.len() == 48)
                || matches!(bytes.as_slice(), [0, 0x0d, rest @ ..] if rest.len() == 64)
        });
        (!good).then(|| format!("ak_name of \"{name}\" is no name of a TPM key in hex"))
    }
}

/// Whether `text` is like `pattern`, in which `*` stands for any characters, also for none.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (text, pattern, like) in [
            ("root=/dev/sda1 quiet", "root=/dev/sd* quiet", true),
            ("root=/dev/sda1 quiet", "root=* quiet *", false),
            ("root=a quiet", "root=*", true),
            ("root=a init=/bin/sh", "root=a", false),
            ("aXbXc", "a*b*c", true),
            ("ab", "a*b*b", false),
            ("", "*", true),
            ("a.c", "a?c", false),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }

    #[test]
    fn a_selection_names_its_bank_and_pcrs_below_24() {
        assert_eq!(selection("sha256:0, 7").unwrap().to_string(), "sha256:0,7");
        assert_eq!(selection("sha256:24"), None);
        assert_eq!(selection("0,7"), None);
        assert_eq!(selection("sha256:"), None);
    }
}
