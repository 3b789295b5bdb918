//! The boot against the owner's words: Secure Boot, SBAT, MOK, and the nearest reference value,
//! term by term and event by event.

use zeuge_evidence::{
    eventlog::facts::{BootFacts, Measured, Proof},
    tpm::HashAlgorithm,
};
use zeuge_verify::tpm::TpmFacts;

use super::wishes::{TpmReference, is_like};
use crate::{Finding, Findings, Wanted};

/// The facts of the boot whose register the log explains.
fn proven(facts: &TpmFacts, register: u32) -> Option<&BootFacts> {
    facts
        .boot
        .as_ref()
        .filter(|_| facts.explained.contains(register))
}

pub(super) fn secure_boot(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let policy = &wanted.policy.tpm;
    findings.check("policy.secure-boot", || {
        if !policy.require_secure_boot {
            return None;
        }
        let found = proven(facts, 7).and_then(|boot| boot.secure_boot);
        Some(match found {
            Some(true) => Finding::pass("policy.secure-boot"),
            Some(false) => Finding::fail("policy.secure-boot", "Secure Boot was off")
                .difference("off", "on"),
            None => Finding::fail(
                "policy.secure-boot",
                "nothing proves that Secure Boot was on: it needs the boot log and a quote of PCR 7",
            )
            .difference("unknown", "on"),
        })
    });
    findings.check("policy.sbat", || {
        if policy.minimum_sbat.is_empty() {
            return None;
        }
        let level = proven(facts, 7).and_then(|boot| boot.sbat_level.as_deref());
        let missing = policy.minimum_sbat.iter().find(|(component, least)| {
            generation(level.unwrap_or_default(), component).is_none_or(|found| found < **least)
        });
        Some(match missing {
            None => Finding::pass("policy.sbat"),
            Some((component, least)) => {
                let found = generation(level.unwrap_or_default(), component);
                let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                Finding::fail(
                    "policy.sbat",
                    format!("shim would still start revoked versions of {component}"),
                )
                .difference(found, format!("at least {least}"))
            }
        })
    });
    findings.check("policy.mok", || {
        let known = policy.known_mok_lists.as_ref()?;
        let Some(boot) = proven(facts, 14) else {
            let because = "nothing proves which keys shim took from the machine's owner: it needs \
                           the boot log and a quote of PCR 14";
            return Some(Finding::fail("policy.mok", because));
        };
        let unknown = boot.mok_lists.iter().find(|list| {
            list.register == 14 && list.name != "MokListTrusted" && !is_among(&list.digest, known)
        });
        Some(match unknown {
            None => Finding::pass("policy.mok"),
            Some(list) => Finding::fail(
                "policy.mok",
                format!(
                    "event {}: shim has keys of an unknown {}",
                    list.event, list.name
                ),
            )
            .difference(hex::encode(&list.digest), "a known list"),
        })
    });
}

/// The generation of a component in shim's revocation level (`component,generation` by line).
fn generation(level: &str, component: &str) -> Option<u32> {
    level.lines().find_map(|line| {
        let mut fields = line.split(',');
        let named = fields.next() == Some(component);
        fields.next().filter(|_| named)?.trim().parse().ok()
    })
}

fn is_among(digest: &[u8], known: &[String]) -> bool {
    let found = hex::encode(digest);
    known.iter().any(|known| known.eq_ignore_ascii_case(&found))
}

/// Whether everything that this reference value says holds.
pub(crate) fn is_workload(value: &TpmReference, facts: &TpmFacts) -> bool {
    differences(value, facts, Names(&[])).is_empty()
}

pub(super) fn workload(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let values = &wanted.reference_values.tpm;
    let nearest = values
        .iter()
        .map(|value| differences(value, facts, Names(values)))
        .min_by_key(Vec::len);
    findings.check("policy.measurement", || {
        Some(match (&nearest, wanted.hardware_only) {
            (Some(_), _) => Finding::pass("policy.measurement"),
            (None, Some(reason)) => Finding::unchecked("policy.measurement", reason),
            (None, None) => Finding::fail(
                "policy.measurement",
                "no reference values of TPMs were given, so this boot is unknown; give \
                 --reference-values or, to look at the TPM alone, --hardware-only",
            )
            .difference(super::printed(facts), "a known boot"),
        })
    });
    for finding in nearest.unwrap_or_default() {
        let (id, waived) = (finding.id, wanted.hardware_only);
        findings.check(id, || {
            Some(match waived {
                Some(reason) => Finding::unchecked(id, reason),
                None => finding,
            })
        });
    }
}

/// The owner's names of things, from all reference values: what was found instead of one workload
/// may be known from another.
#[derive(Clone, Copy)]
struct Names<'a>(&'a [TpmReference]);

impl<'a> Names<'a> {
    fn name(self, digest: &str) -> Option<&'a str> {
        let same = |known: &str| known.eq_ignore_ascii_case(digest);
        self.0.iter().find_map(|value| {
            let named = value.names.iter().find(|(known, _)| same(known));
            let event = || {
                let mut events = value.events.iter();
                events.find(|event| same(&event.digest) && !event.name.is_empty())
            };
            let named = named.map(|(_, name)| name);
            let name = named.or_else(|| event().map(|event| &event.name));
            name.map(String::as_str)
        })
    }

    /// The digest with its name, or with this label where the owner has none for it.
    fn or(self, label: &str, digest: &str) -> String {
        let name = self.name(digest).unwrap_or(label);
        format!("{name} {digest}").trim().to_owned()
    }

    fn all(self, digests: &[String]) -> String {
        let named: Vec<String> = digests.iter().map(|digest| self.or("", digest)).collect();
        named.join(" or ")
    }
}

/// What differs from a reference value, one finding per term.
fn differences(value: &TpmReference, facts: &TpmFacts, names: Names<'_>) -> Vec<Finding> {
    [
        pcr(value, facts),
        events(value, facts, names),
        digests(facts, &IMAGES, &value.images, names),
        digests(facts, &INITRDS, &value.initrds, names),
        digests(facts, &FILES, &value.files, names),
        sections(value, facts, names),
        command_line(value, facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first pinned PCR of another value; where the log explains it, with its last record.
fn pcr(value: &TpmReference, facts: &TpmFacts) -> Option<Finding> {
    for (name, values) in &value.pcrs {
        let bank = HashAlgorithm::by_name(name)?;
        for (index, known) in values {
            let index: u32 = index.parse().ok()?;
            let found = facts.pcrs.get(&bank).and_then(|bank| bank.get(&index));
            if found.is_some_and(|found| is_among(found, known)) {
                continue;
            }
            let last = facts.events.iter().rfind(|event| event.pcr == index);
            let last = last.map_or_else(String::new, |event| {
                format!("; its last record is event {} {}", event.index, event.label)
            });
            let found = found.map_or_else(|| "not quoted".to_owned(), hex::encode);
            return Some(
                Finding::fail(
                    "policy.pcr",
                    format!("PCR {index} differs from \"{}\"{last}", value.name),
                )
                .difference(found, known.join(" or ")),
            );
        }
    }
    None
}

/// The first record that is not the expected one, PCR by PCR.
fn events(value: &TpmReference, facts: &TpmFacts, names: Names<'_>) -> Option<Finding> {
    let mut pcrs: Vec<u32> = value.events.iter().map(|event| event.pcr).collect();
    pcrs.sort_unstable();
    pcrs.dedup();
    for pcr in pcrs {
        if !facts.explained.contains(pcr) {
            let because = format!("the boot log does not explain PCR {pcr}, or it was not quoted");
            return Some(Finding::fail("policy.boot-event", because));
        }
        let mut found = facts.events.iter().filter(|event| event.pcr == pcr);
        let mut wanted = value.events.iter().filter(|event| event.pcr == pcr);
        loop {
            let (found, wanted) = (found.next(), wanted.next());
            let same = match (found, wanted) {
                (None, None) => break,
                (Some(found), Some(wanted)) => {
                    hex::encode(&found.digest).eq_ignore_ascii_case(&wanted.digest)
                }
                _ => false,
            };
            if same {
                continue;
            }
            let at = found.map_or_else(
                || "at its end".to_owned(),
                |event| format!("at event {}", event.index),
            );
            let found = found.map_or_else(
                || "nothing more".to_owned(),
                |event| names.or(&event.label, &hex::encode(&event.digest)),
            );
            let wanted = wanted.map_or_else(
                || "nothing more".to_owned(),
                |event| names.or(&event.name, &event.digest),
            );
            let because = format!("PCR {pcr} differs {at} from \"{}\"", value.name);
            return Some(Finding::fail("policy.boot-event", because).difference(found, wanted));
        }
    }
    None
}

/// A kind of measured things and where they stand.
struct Things {
    id: &'static str,
    what: &'static str,
    register: u32,
    of: fn(&BootFacts) -> &[Measured],
}

const IMAGES: Things = Things {
    id: "policy.boot-image",
    what: "EFI application",
    register: 4,
    of: |boot| &boot.images,
};
const INITRDS: Things = Things {
    id: "policy.initrd",
    what: "initrd",
    register: 9,
    of: |boot| &boot.initrds,
};
const FILES: Things = Things {
    id: "policy.boot-file",
    what: "file of the boot loader",
    register: 9,
    of: |boot| &boot.grub_files,
};

/// Each measured thing must be a known one, and there must be one.
fn digests(
    facts: &TpmFacts,
    things: &Things,
    known: &[String],
    names: Names<'_>,
) -> Option<Finding> {
    if known.is_empty() {
        return None;
    }
    let boot = proven(facts, things.register);
    let mut found = boot
        .into_iter()
        .flat_map(|boot| (things.of)(boot))
        .filter(|one| one.register == things.register)
        .peekable();
    if found.peek().is_none() {
        let because = format!("the boot log proves no {} at all", things.what);
        return Some(Finding::fail(things.id, because).difference("none", names.all(known)));
    }
    let other = found.find(|one| !is_among(&one.digest, known))?;
    let because = format!(
        "PCR {} differs at event {}: {} {} is not a known {}",
        other.register, other.event, things.what, other.name, things.what
    );
    Some(
        Finding::fail(things.id, because)
            .difference(names.or("", &hex::encode(&other.digest)), names.all(known)),
    )
}

/// Each pinned section of a unified kernel image must have been measured, right behind its name.
fn sections(value: &TpmReference, facts: &TpmFacts, names: Names<'_>) -> Option<Finding> {
    let boot = proven(facts, 11);
    for (name, known) in &value.sections {
        let all = boot
            .map(|boot| boot.stub_sections.as_slice())
            .unwrap_or_default();
        let named = all
            .iter()
            .position(|one| one.name == *name && one.proof == Proof::Whole);
        let content = named
            .and_then(|at| all.get(at.checked_add(1)?))
            .filter(|one| one.proof == Proof::Label);
        if content.is_some_and(|content| is_among(&content.digest, known)) {
            continue;
        }
        let (at, found) = content.map_or_else(
            || ("in PCR 11".to_owned(), "none".to_owned()),
            |one| {
                let digest = hex::encode(&one.digest);
                (format!("at event {}", one.event), names.or("", &digest))
            },
        );
        let because = format!("the section {name} of the kernel image differs {at}");
        return Some(
            Finding::fail("policy.stub-section", because).difference(found, names.all(known)),
        );
    }
    None
}

/// Every measured command line must be a known one or like a pattern, and there must be one.
fn command_line(value: &TpmReference, facts: &TpmFacts) -> Option<Finding> {
    let (lines, patterns) = (&value.command_lines, &value.command_line_patterns);
    if lines.is_empty() && patterns.is_empty() {
        return None;
    }
    let wanted = [lines.as_slice(), patterns.as_slice()]
        .concat()
        .join(" or ");
    let fail = |because: String, found: &str| {
        Some(Finding::fail("policy.command-line", because).difference(found, wanted.as_str()))
    };
    let Some(boot) = &facts.boot else {
        return fail("no boot log came along".to_owned(), "none");
    };
    let known = |text: &str| {
        lines.iter().any(|line| line == text)
            || patterns.iter().any(|pattern| is_like(text, pattern))
    };
    let mut proven = 0_usize;
    for line in &boot.command_lines {
        if !facts.explained.contains(line.register) {
            continue;
        }
        if line.proof == Proof::Label || !known(&line.text) {
            let because = format!(
                "PCR {} differs at event {}: another command line",
                line.register, line.event
            );
            return fail(because, &line.text);
        }
        proven = proven.saturating_add(1);
    }
    // The EFI stub's record holds a digest only, of the line in UTF-16 with its end.
    let stubs: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let units = line.encode_utf16().chain([0]);
            let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
            boot.bank.digest(&[&bytes]).map(hex::encode)
        })
        .collect();
    for options in &boot.load_options {
        if !facts.explained.contains(options.register) {
            continue;
        }
        // A line that is known by a pattern only cannot be told from its digest: where the loader
        // logged the same line in words, that one was compared.
        let by_words = proven > 0 && lines.is_empty();
        if !by_words && !is_among(&options.digest, &stubs) {
            let because = format!(
                "PCR {} differs at event {}: the kernel got another command line",
                options.register, options.event
            );
            return fail(because, &hex::encode(&options.digest));
        }
        proven = proven.saturating_add(1);
    }
    if proven == 0 {
        return fail("the boot log proves no command line".to_owned(), "none");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_that_of_the_whole_component_name() {
        let level = "sbat,1,2023012900\nshim,2\ngrub,3\ngrub.debian,4\n";
        assert_eq!(generation(level, "grub"), Some(3));
        assert_eq!(generation(level, "grub.debian"), Some(4));
        assert_eq!(generation(level, "gru"), None);
        assert_eq!(generation("", "shim"), None);
    }
}
