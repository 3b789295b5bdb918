//! What findings say, in German.
//!
//! Findings carry English sentences with values in them; this table has the German ones. What is
//! not in it is shown as it was said, marked as such, and never left out.

use std::{collections::BTreeMap, sync::OnceLock};

/// English sentence with {} for values, and the German one.
struct Phrase {
    pieces: Vec<String>,
    german: String,
    /// Letters outside the values.
    fixed: usize,
}

/// Where the German sentences of each room stand.
const TABLES: [&str; 3] = [
    include_str!("../phrases.toml"),
    include_str!("../phrases-evidence.toml"),
    include_str!("../phrases-verify.toml"),
];
/// A phrase with fewer fixed letters only joins values, and none of them is free text.
const JOINT: usize = 12;
/// Sentences within sentences, and the longest text that is looked at: what an evidence's own text
/// can make the table work is bounded.
const DEPTH_MAX: usize = 5;
const TEXT_MAX: usize = 4096;

/// The whole table: sentences without values by themselves, the others in the order of the file.
struct Phrases {
    plain: BTreeMap<String, String>,
    filled: Vec<Phrase>,
}

fn phrases() -> &'static Phrases {
    static PHRASES: OnceLock<Phrases> = OnceLock::new();
    PHRASES.get_or_init(|| {
        // A test proves that the compiled-in table can be read.
        let tables = TABLES
            .into_iter()
            .map(|table| toml::from_str::<BTreeMap<String, String>>(table).unwrap_or_default());
        let mut plain = BTreeMap::new();
        let mut filled = Vec::new();
        for (english, german) in tables.flatten() {
            if english.contains("{}") {
                let pieces: Vec<String> = english.split("{}").map(str::to_owned).collect();
                let fixed = pieces.iter().map(String::len).sum();
                filled.push(Phrase {
                    pieces,
                    german,
                    fixed,
                });
            } else {
                plain.insert(english, german);
            }
        }
        // Two sentences that a semicolon joins are taken apart before anything inside of one; else
        // the more is fixed, the closer the fit.
        filled.sort_by_key(|phrase| std::cmp::Reverse((phrase.joins_sentences(), phrase.fixed)));
        Phrases { plain, filled }
    })
}

impl Phrase {
    /// Whether it begins with a value and has one more behind a semicolon.
    fn joins_sentences(&self) -> bool {
        let begins_with_a_value = self.pieces.first().is_some_and(String::is_empty);
        begins_with_a_value && self.pieces.iter().any(|piece| piece.ends_with("; "))
    }

    /// The values between the fixed pieces, if the text fits.
    fn values<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let (first, rest) = self.pieces.split_first()?;
        let mut left = text.strip_prefix(first.as_str())?;
        let mut values = Vec::new();
        for (index, piece) in rest.iter().enumerate() {
            let last = index.saturating_add(1) == rest.len();
            let at = if last && piece.is_empty() {
                left.len()
            } else if last {
                left.strip_suffix(piece.as_str())?.len()
            } else {
                left.find(piece.as_str())?
            };
            let (value, after) = left.split_at_checked(at)?;
            if value.is_empty() {
                return None;
            }
            values.push(value);
            left = after.strip_prefix(piece.as_str())?;
        }
        left.is_empty().then_some(values)
    }

    /// Whether the value with this number may be anything: what somebody wrote as a reason, behind
    /// a colon.
    fn is_free(&self, number: usize) -> bool {
        let before = self.pieces.get(number.saturating_sub(1));
        self.fixed >= JOINT && before.is_some_and(|piece| piece.ends_with(": "))
    }

    /// The German sentence with these values; `None` where one is a sentence that nobody translated.
    fn filled(&self, values: &[&str], depth: usize) -> Option<String> {
        let mut out = String::new();
        let mut values = values.iter();
        for (index, piece) in self.german.split("{}").enumerate() {
            if index > 0 {
                let value = values.next().copied().unwrap_or("");
                match within(value, depth) {
                    Some(german) => out.push_str(&german),
                    None if !self.is_free(index) && !is_value(value) => return None,
                    None => out.push_str(value),
                }
            }
            out.push_str(piece);
        }
        Some(out)
    }
}

/// The German sentence; `None` where the table has none.
#[must_use]
fn german(text: &str) -> Option<String> {
    within(text, DEPTH_MAX)
}

fn within(text: &str, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    if text.len() > TEXT_MAX {
        return None;
    }
    let all = phrases();
    if let Some(german) = all.plain.get(text) {
        return Some(german.clone());
    }
    let fits = all.filled.iter().find_map(|phrase| {
        let values = phrase.values(text)?;
        phrase.filled(&values, depth)
    });
    fits.or_else(|| list(text, depth))
}

/// A list, whose members are each a value or have a German form; with spaces alone between them,
/// none may be a word of some sentence.
fn list(text: &str, depth: usize) -> Option<String> {
    let joints = ["; ", ", ", " "];
    let joint = joints.into_iter().find(|joint| text.contains(joint))?;
    let members = text.split(joint).map(|member| {
        let stays = is_value(member) && !(joint == " " && is_word(member));
        within(member, depth).or_else(|| stays.then(|| member.to_owned()))
    });
    Some(members.collect::<Option<Vec<_>>>()?.join(joint))
}

/// A sentence of a finding in this language; where German has none, as it was said, in quotes.
#[must_use]
pub fn said(text: &str, language: crate::Language) -> String {
    match language {
        crate::Language::En => text.to_owned(),
        crate::Language::De => german(text).unwrap_or_else(|| {
            if is_value(text) {
                text.to_owned()
            } else {
                format!("im Original: „{text}“")
            }
        }),
    }
}

/// Numbers, digests and names that are the same in every language.
fn is_value(text: &str) -> bool {
    !text.contains(' ') || text.starts_with('"') || text.chars().any(|letter| letter == '=')
}

/// What may be a word of any sentence.
fn is_word(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_both_sides_have_the_same_places() {
        let mut seen = std::collections::BTreeSet::new();
        for table in TABLES {
            let table: BTreeMap<String, String> = toml::from_str(table).unwrap();
            assert!(table.len() > 100);
            for (english, german) in &table {
                let places = |text: &str| text.matches("{}").count();
                assert_eq!(places(english), places(german), "{english}");
                assert!(seen.insert(english.clone()), "{english} stands twice");
            }
        }
    }

    #[test]
    fn what_is_needed_is_told_apart_from_where_it_comes_from() {
        let english = "the VCEK for chip 1af1 and REPORTED_TCB 0a00 is needed and not at hand; \
                       a VCEK comes from AMD's key service, a VLEK from the host's certificate table";
        let german = german(english).unwrap();
        let begin =
            "gebraucht wird und nicht vorliegt: der VCEK für Chip 1af1 und REPORTED_TCB 0a00; ";
        assert!(german.starts_with(begin), "{german}");
    }

    #[test]
    fn values_are_carried_over_and_translated_where_they_are_sentences() {
        assert_eq!(
            german("the revocation list ended at 2026-01-01T00:00:00Z").unwrap(),
            "die Sperrliste galt bis 2026-01-01T00:00:00Z"
        );
        assert_eq!(
            german(
                "no revocation list of AMD's is at hand; accepted by dangerous_without_crl: Probe"
            )
            .unwrap(),
            "keine Sperrliste von AMD liegt vor; von dangerous_without_crl angenommen: Probe"
        );
        assert_eq!(german("something that nobody wrote"), None);
        assert_eq!(said("abc123", crate::Language::De), "abc123");
    }

    /// String literals with a space, as they stand in a source file; values become `{}`.
    fn literals(source: &str) -> Vec<String> {
        let own = source.split("#[cfg(test)]").next().unwrap();
        let own: String = own
            .lines()
            .map(|line| {
                if line.trim_start().starts_with("//") {
                    ""
                } else {
                    line
                }
            })
            .collect::<Vec<_>>()
            .join("\n");
        let mut out = Vec::new();
        for (index, text) in own.split('"').enumerate() {
            if index % 2 == 0 || !text.contains(' ') {
                continue;
            }
            let mut plain = String::new();
            let mut rest = text;
            while let Some((before, after)) = rest.split_once('{') {
                plain.push_str(before);
                plain.push_str("{}");
                rest = after.split_once('}').map_or("", |(_, after)| after);
            }
            plain.push_str(rest);
            // A backslash at the end of a line takes the line's end and the indentation with it.
            let mut lines = plain.split("\\\n");
            let mut whole = lines.next().unwrap_or("").to_owned();
            whole.extend(lines.map(str::trim_start));
            out.push(whole);
        }
        out
    }

    #[test]
    fn every_sentence_of_these_files_of_appraisal_has_a_german_one() {
        // Pieces of sentences, and the ways to put two things together.
        const PIECES: &[&str] = &[
            " ",
            " or ",
            ", ",
            "; ",
            "{} {}",
            "{} with {}",
            "RTMR{} {}",
            "and {} more",
            "changed while it was measured",
            "{}: {} ({})",
            "the revocation list of {}",
            "at its end",
            "at event {}",
            "in PCR 11",
            "PCR {} differs {} from \\",
            // Of owners' documents, not of verdicts.
            "PCR {} of \\",
            "the section {} of the kernel image differs {}",
            "; its last record is event {} {}",
            // Of owners' documents, not of verdicts.
            " pins no register that tells its image",
            " names PCR {}; there are 0 to 31",
            " allows nothing, or what is no digest in hex",
        ];
        for file in [
            "snp.rs",
            "azure.rs",
            "nitro.rs",
            "dcap.rs",
            "composite.rs",
            "google.rs",
            "admission.rs",
            "outlook.rs",
            "tpm.rs",
            "tpm/ima.rs",
            "tpm/boot.rs",
            "tpm/closed.rs",
        ] {
            untranslated(&format!("appraise/src/{file}"), PIECES);
        }
    }

    /// Demands a German form of every literal in a file.
    fn untranslated(file: &str, pieces: &[&str]) {
        let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
        let Ok(source) = std::fs::read_to_string(&path) else {
            return;
        };
        for literal in literals(&source) {
            let filled = literal.replace("{}", "x1");
            let known = pieces.contains(&literal.as_str()) || german(&filled).is_some();
            assert!(
                known,
                "{file}: {literal:?} has no German form in phrases*.toml"
            );
        }
    }

    fn files(folder: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, out);
            } else if path.extension().is_some_and(|end| end == "rs") {
                out.push(path);
            }
        }
    }

    // What no verdict says: inspection (English alone), the forms of files, names of formats,
    // and pieces of sentences whose whole is in the table.
    const ELSEWHERE: &[&str] = &[
        "annotate",
        "tests",
        "anchors.rs",
        "kind.rs",
        "time.rs",
        "facts",
        "fields.rs",
        "sgx.rs",
        "tdx.rs",
        "credential.rs",
    ];
    const PIECES_BELOW: &[&str] = &[
        " ",
        ", ",
        "; ",
        " {}",
        " ({})",
        " (since {})",
        " (found {}, wanted {})",
        " (at byte {})",
        ": found {}, wanted {}",
        ": PCR {}",
        ", look at event {}",
        " and PCEID {}",
        "TRUSTED CERTIFICATE",
        "X509 CRL",
        "X509 CERTIFICATE",
        "PUBLIC KEY",
        "-----BEGIN ",
        "-----END ",
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----",
        "SGX PCK P",
        "a TCB Info of {} for FMSPC {}{} in force at {}",
        "Spec ID Event03",
        "Spec ID Event03\\0",
        "GCE NonHostInfo\\0",
        "EFI PART",
        // What the lists of broken rules are called.
        "A rule of Intel SGX or TDX, or of Intel's certificates and documents, that does not hold.",
        "A rule of AWS's attestation documents that does not hold.",
        "A rule of Google's firmware endorsements that does not hold.",
        "A link between challenge, virtual TPM, claims and report that does not hold.",
        // Of a toy's trust file, which no verdict names.
        "the trust file of a toy vendor",
        // Said by `zeuge inspect`, whose words are English.
        "QE SVN",
        "PCE SVN",
        "ECDSA on P-256",
        "2 (TDX 1.0)",
        "3 (TDX 1.5)",
        "4 (TDX 1.5 with service-TD fields)",
        "quote signature",
        "QE report signature",
        "P-256, X and Y; the QE report commits to it",
        "the QE report and its certification data follow",
        "ECDSA P-256, r and s, by the platform's PCK",
        "the platform's identifier",
        "leaf first, as the quote brings them",
        "the first 16 bytes are the QE id",
        "ECDSA P-256, r and s, by the attestation key over header and body",
        "Intel DCAP Quoting Library API, Quote Header",
        "Intel DCAP Quoting Library API, ECDSA Quote Signature Data",
    ];

    #[test]
    fn every_sentence_of_verification_and_of_broken_formats_has_a_german_one() {
        let rooms = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut all = Vec::new();
        for room in ["evidence", "verify"] {
            files(&rooms.join(room).join("src"), &mut all);
        }
        assert!(all.len() > 60);
        for path in all {
            let path = path.strip_prefix(&rooms).unwrap().to_str().unwrap();
            let leave = |word: &&&str| path.contains(**word);
            if ELSEWHERE.iter().find(leave).is_none() {
                untranslated(path, PIECES_BELOW);
            }
        }
    }
}
