//! What findings say, in German.
//!
//! Findings carry English sentences with values in them; this table has the German ones. What is
//! not in it is shown as it was said, marked as such, and never left out.

use std::{collections::BTreeMap, sync::OnceLock};

/// English sentence with {} for values, and the German one.
struct Phrase {
    pieces: Vec<String>,
    german: String,
}

/// The whole table: sentences without values by themselves, the others in the order of the file.
struct Phrases {
    plain: BTreeMap<String, String>,
    filled: Vec<Phrase>,
}

fn phrases() -> &'static Phrases {
    static PHRASES: OnceLock<Phrases> = OnceLock::new();
    PHRASES.get_or_init(|| {
        // A test proves that the compiled-in table can be read.
        let table: BTreeMap<String, String> =
            toml::from_str(include_str!("../phrases.toml")).unwrap_or_default();
        let mut plain = BTreeMap::new();
        let mut filled = Vec::new();
        for (english, german) in table {
            if english.contains("{}") {
                let pieces = english.split("{}").map(str::to_owned).collect();
                filled.push(Phrase { pieces, german });
            } else {
                plain.insert(english, german);
            }
        }
        // The more is fixed, the closer the fit.
        let fixed = |phrase: &Phrase| phrase.pieces.iter().map(String::len).sum::<usize>();
        filled.sort_by_key(|phrase| std::cmp::Reverse(fixed(phrase)));
        Phrases { plain, filled }
    })
}

impl Phrase {
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
}

/// The German sentence; `None` where the table has none.
#[must_use]
fn german(text: &str) -> Option<String> {
    let all = phrases();
    if let Some(german) = all.plain.get(text) {
        return Some(german.clone());
    }
    for phrase in &all.filled {
        let Some(values) = phrase.values(text) else {
            continue;
        };
        let mut out = String::new();
        let mut values = values.into_iter();
        for (index, piece) in phrase.german.split("{}").enumerate() {
            if index > 0 {
                let value = values.next().unwrap_or("");
                out.push_str(&german(value).unwrap_or_else(|| value.to_owned()));
            }
            out.push_str(piece);
        }
        return Some(out);
    }
    None
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
    !text.contains(' ') || text.chars().any(|letter| letter == '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_both_sides_have_the_same_places() {
        let table: BTreeMap<String, String> =
            toml::from_str(include_str!("../phrases.toml")).unwrap();
        assert!(table.len() > 100);
        for (english, german) in &table {
            let places = |text: &str| text.matches("{}").count();
            assert_eq!(places(english), places(german), "{english}");
            assert_ne!(english, german);
        }
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
        ];
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../appraise/src");
        for file in [
            "snp.rs",
            "dcap.rs",
            "composite.rs",
            "outlook.rs",
            "tpm.rs",
            "tpm/ima.rs",
        ] {
            let source = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
            for literal in literals(&source) {
                let filled = literal.replace("{}", "x1");
                let known = PIECES.contains(&literal.as_str()) || german(&filled).is_some();
                assert!(known, "{file}: {literal:?} is not in phrases.toml");
            }
        }
    }
}
