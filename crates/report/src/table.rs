//! The table of checks: one id, its severity, and its sentences in two languages.
//!
//! Compiled in; a test keeps it complete. Never falls back from one language to the other.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;

use crate::Language;

/// What a failure of this check makes of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Exit code 2.
    Malformed,
    /// Exit code 5.
    Refused,
    /// Exit code 4.
    Unavailable,
    /// Exit code 3.
    Untrusted,
    /// Exit code 10.
    Warning,
}

/// The same sentence in two languages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    en: String,
    de: String,
}

impl Sentences {
    fn get(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::De => &self.de,
        }
    }
}

/// How one check is explained.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// What a failure makes of a verdict.
    pub severity: Severity,
    /// The document and section that the rule comes from.
    pub spec: String,
    general: Sentences,
    detail: Sentences,
}

impl Explanation {
    /// One or two plain sentences for everybody.
    #[must_use]
    pub fn general(&self, language: Language) -> &str {
        self.general.get(language)
    }

    /// Field, found, wanted and remedy, for the person who has to act. Where the check did not
    /// compare two things, the sentences that would name them are left out, and nothing may be
    /// left.
    #[must_use]
    pub fn detail(&self, language: Language, found: &str, wanted: &str) -> String {
        let whole = self.detail.get(language);
        if found.is_empty() && wanted.is_empty() {
            let compares = |sentence: &&str| !sentence.contains('{');
            let kept: Vec<_> = whole.split(". ").filter(compares).collect();
            return kept.join(". ");
        }
        let (nothing, rule) = match language {
            Language::En => ("nothing", "what the rule says"),
            Language::De => ("nichts", "was die Regel sagt"),
        };
        let or = |text: &str, otherwise: &str| -> String {
            let text = if text.is_empty() { otherwise } else { text };
            text.to_owned()
        };
        whole
            .replace("{found}", &or(found, nothing))
            .replace("{wanted}", &or(wanted, rule))
    }
}

/// The table of checks.
#[derive(Debug)]
pub struct Table(BTreeMap<String, Explanation>);

impl Table {
    /// The compiled-in table.
    #[must_use]
    pub fn get() -> &'static Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| {
            // The test below proves that the compiled-in text can be read.
            Self(toml::from_str(include_str!("../checks.toml")).unwrap_or_default())
        })
    }

    /// The explanation of a check.
    #[must_use]
    pub fn explain(&self, id: &str) -> Option<&Explanation> {
        self.0.get(id)
    }

    /// Every id, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_table_can_be_read_and_every_sentence_stands() {
        let table: BTreeMap<String, Explanation> =
            toml::from_str(include_str!("../checks.toml")).unwrap();
        assert_eq!(table.len(), Table::get().ids().count());
        for (id, entry) in &table {
            for language in [Language::En, Language::De] {
                assert!(entry.general(language).len() > 20, "{id}: general");
                assert!(entry.detail.get(language).len() > 10, "{id}: detail");
            }
            assert_ne!(entry.general.en, entry.general.de, "{id}");
            assert!(!entry.spec.is_empty(), "{id}: spec");
        }
    }

    #[test]
    fn every_id_of_every_room_is_explained() {
        let table = Table::get();
        let rooms = zeuge_appraise::CHECKS.iter().chain(zeuge_protocol::CHECKS);
        for id in rooms.chain(zeuge_log::CHECKS).flat_map(|ids| ids.iter()) {
            assert!(table.explain(id).is_some(), "{id} has no sentences");
        }
    }

    #[test]
    fn found_and_wanted_stand_in_the_detail() {
        let entry = Table::get().explain("snp.report.length").unwrap();
        let detail = entry.detail(Language::En, "7 bytes", "1184 bytes");
        assert!(
            detail.contains("7 bytes") && detail.contains("1184 bytes"),
            "{detail}"
        );
    }

    #[test]
    fn a_check_that_compared_nothing_leaves_the_remedy_alone() {
        let entry = Table::get().explain("evidence.kind").unwrap();
        assert_eq!(
            entry.detail(Language::En, "", ""),
            "Name the kind with --kind, or look at the file with zeuge inspect."
        );
    }

    #[test]
    fn the_general_sentences_can_be_read_by_anybody() {
        // Words of the trade; those who know them read the detail.
        const JARGON: &[&str] = &[
            "TCB", "VCEK", "VLEK", "PSP", "RMP", "ABI", "SVN", "nonce", "Nonce", "VMPL", "CPUID",
            "CRL", "PCK", "CBOR", "X.509", "PCR", "HPKE", "JWT", "COSE", "ASN.1", "RTMR", "MRTD",
        ];
        for (id, entry) in &Table::get().0 {
            for language in [Language::En, Language::De] {
                let text = entry.general(language);
                let sentences: Vec<&str> = text.split(". ").collect();
                assert!((1..=2).contains(&sentences.len()), "{id}: {text}");
                for sentence in sentences {
                    let words = sentence.split_whitespace().count();
                    assert!(words <= 30, "{id}: {words} words: {sentence}");
                }
                for word in JARGON {
                    assert!(!text.contains(word), "{id}: {word}: {text}");
                }
            }
        }
    }

    #[test]
    fn both_languages_name_the_same_values() {
        for (id, entry) in &Table::get().0 {
            for place in ["{found}", "{wanted}"] {
                let count = |language| entry.detail.get(language).matches(place).count();
                assert_eq!(count(Language::En), count(Language::De), "{id}: {place}");
            }
        }
    }
}
