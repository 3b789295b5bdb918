//! A verdict as text: the general sentence first, the detail under it, in English or German.
//!
//! Never one green light: whoever has to be trusted and what was not proved follow every word.

use std::fmt::Write as _;

use zeuge_appraise::{
    Finding, Knowledge, NotProved, Status, Verdict, Word,
    threats::{Protection, State},
};

use crate::{Table, assessed, said};

/// The language of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Language {
    pub(crate) const fn pick_text<'t>(self, en: &'t str, de: &'t str) -> &'t str {
        match self {
            Self::En => en,
            Self::De => de,
        }
    }

    pub(crate) const fn pick(self, en: &'static str, de: &'static str) -> &'static str {
        match self {
            Self::En => en,
            Self::De => de,
        }
    }
}

/// The text for a terminal, without colour; ends with a line feed.
#[must_use]
pub fn render(verdict: &Verdict, file: Option<&str>, language: Language) -> String {
    render_with(verdict, file, Knowledge::built_in(), language)
}

/// As [`render`], where threats were assessed with this knowledge.
#[must_use]
pub fn render_with(
    verdict: &Verdict,
    file: Option<&str>,
    knowledge: &Knowledge,
    language: Language,
) -> String {
    let mut out = String::new();
    let title = format!(
        "{}: {}",
        word(verdict.word, language),
        sentence(verdict.word, language)
    );
    let name = file.map(|file| format!("{file}: ")).unwrap_or_default();
    line(&mut out, 0, &format!("{name}{title}"));
    what(&mut out, verdict, language);
    for (status, heading) in [
        (Status::Fail, language.pick("Failed", "Nicht bestanden")),
        (Status::Warn, language.pick("Warnings", "Warnungen")),
        (
            Status::Unchecked,
            language.pick("Not checked", "Nicht geprüft"),
        ),
    ] {
        group(&mut out, verdict, status, heading, language);
    }
    passed(&mut out, verdict, language);
    adversaries(&mut out, verdict, knowledge, language);
    threats(&mut out, verdict, knowledge, language);
    trust(&mut out, verdict, knowledge, language);
    out
}

/// Against whom it protects: a word each, the reasons for everything that is not plain.
fn adversaries(out: &mut String, verdict: &Verdict, knowledge: &Knowledge, language: Language) {
    if verdict.facts.is_none() || verdict.adversaries.is_empty() {
        return;
    }
    line(out, 0, "");
    line(
        out,
        0,
        language.pick(
            "Against whom this machine protects",
            "Vor wem diese Maschine schützt",
        ),
    );
    for one in &verdict.adversaries {
        let name = assessed::who(one.who, knowledge, language);
        let word = assessed::protection(one.protection, language).to_uppercase();
        line(out, 2, &format!("{word}: {name}"));
        if one.protection == Protection::Protected {
            continue;
        }
        let reasons = assessed::reasons(one, verdict, knowledge, language);
        for reason in reasons.iter().take(TEXT_REASONS_MAX) {
            line(out, 4, reason);
        }
        let more = reasons.len().saturating_sub(TEXT_REASONS_MAX);
        if more > 0 {
            line(
                out,
                4,
                &match language {
                    Language::En => format!("and {more} further reasons (zeuge report)"),
                    Language::De => format!("und {more} weitere Gründe (zeuge report)"),
                },
            );
        }
    }
}

/// How many threats stand how; their sentences are in the report.
fn threats(out: &mut String, verdict: &Verdict, knowledge: &Knowledge, language: Language) {
    if verdict.threats.is_empty() {
        return;
    }
    line(out, 0, "");
    let heading = language.pick("Known attacks", "Bekannte Angriffe");
    let by = match language {
        Language::En => format!(
            "knowledge version {}, state of {}",
            verdict.knowledge.version,
            knowledge.state_of()
        ),
        Language::De => format!(
            "Wissen Version {}, Stand {}",
            verdict.knowledge.version,
            knowledge.state_of()
        ),
    };
    line(out, 0, &format!("{heading} ({by})"));
    for state in [
        State::Forgeable,
        State::Exposed,
        State::NoThreshold,
        State::Unprovable,
        State::Invisible,
        State::Proven,
    ] {
        let of_state = verdict.threats.iter().filter(|one| one.state == state);
        let ids: Vec<&str> = of_state.map(|one| one.id.as_str()).collect();
        if !ids.is_empty() {
            let meaning = assessed::state(state, language);
            line(
                out,
                2,
                &format!("{} ({meaning}): {}", state.word(), ids.join(" ")),
            );
        }
    }
}

/// Reasons per adversary on a terminal.
const TEXT_REASONS_MAX: usize = 2;

/// A write to a string cannot fail.
fn line(out: &mut String, indent: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "");
}

pub(crate) const fn word(word: Word, language: Language) -> &'static str {
    match word {
        Word::Affirming => language.pick("AFFIRMING", "BESTÄTIGT"),
        Word::Contraindicated => language.pick("CONTRAINDICATED", "ABGELEHNT"),
        Word::Malformed => language.pick("MALFORMED", "FEHLERHAFT"),
        Word::Unavailable => language.pick("UNAVAILABLE", "NICHT PRÜFBAR"),
        Word::Untrusted => language.pick("UNTRUSTED", "NICHT VERTRAUENSWÜRDIG"),
        Word::Warning => language.pick("WARNING", "MIT WARNUNGEN"),
    }
}

pub(crate) const fn sentence(word: Word, language: Language) -> &'static str {
    match word {
        Word::Affirming => language.pick(
            "the evidence is genuine, and the machine is as wanted",
            "der Nachweis ist echt, und die Maschine ist wie gewünscht",
        ),
        Word::Contraindicated => language.pick(
            "the evidence is genuine, but the machine is not as wanted",
            "der Nachweis ist echt, aber die Maschine ist nicht wie gewünscht",
        ),
        Word::Malformed => language.pick(
            "these bytes are not evidence of a known form",
            "diese Bytes sind kein Nachweis in bekannter Form",
        ),
        Word::Unavailable => language.pick(
            "something that the check cannot do without is missing",
            "etwas, ohne das nicht geprüft werden kann, fehlt",
        ),
        Word::Untrusted => language.pick(
            "nothing proves that this evidence is genuine, fresh and meant for you",
            "nichts beweist, dass dieser Nachweis echt, frisch und für Sie bestimmt ist",
        ),
        Word::Warning => language.pick(
            "the evidence is genuine; read the warnings before you rely on it",
            "der Nachweis ist echt; lesen Sie die Warnungen, bevor Sie sich darauf verlassen",
        ),
    }
}

fn what(out: &mut String, verdict: &Verdict, language: Language) {
    let product = said(verdict.product.as_deref().unwrap_or("-"), language);
    let kind = verdict.kind.word();
    let (label, at) = (
        language.pick("evidence", "Nachweis"),
        language.pick("at", "am"),
    );
    line(
        out,
        2,
        &format!("{label}: {kind} {product}, {at} {}", verdict.at),
    );
    if let Some(claims) = verdict.facts.as_ref().map(crate::claims) {
        for (_, fields) in claims.as_object().into_iter().flatten() {
            for name in [
                "measurement",
                "mrtd",
                "mrenclave",
                "chip_id",
                "tcb",
                "tcb_status",
                "ak_name",
                "trust",
                "secure_boot",
                "firmware",
            ] {
                match fields.get(name) {
                    Some(serde_json::Value::String(text)) => {
                        line(out, 2, &format!("{name}: {text}"));
                    }
                    Some(value) => line(out, 2, &format!("{name}: {value}")),
                    None => {}
                }
            }
        }
    }
}

fn group(out: &mut String, verdict: &Verdict, status: Status, heading: &str, language: Language) {
    let of_status = |finding: &&Finding| finding.status == status;
    let mut findings = verdict.findings.iter().filter(of_status).peekable();
    if findings.peek().is_some() {
        line(out, 0, "");
        line(out, 0, heading);
    }
    for finding in findings {
        let Some(entry) = Table::get().explain(finding.id) else {
            let because = said(&finding.because, language);
            line(out, 2, &format!("{}: {because}", finding.id));
            continue;
        };
        line(out, 2, finding.id);
        line(out, 4, entry.general(language));
        if !finding.because.is_empty() {
            line(
                out,
                4,
                &format!(
                    "{}: {}",
                    language.pick("Here", "Hier"),
                    said(&finding.because, language)
                ),
            );
        }
        if status == Status::Fail {
            let (found, wanted) = (&finding.found, &finding.wanted);
            let detail = entry.detail(language, &said(found, language), &said(wanted, language));
            if !detail.is_empty() {
                line(out, 4, &detail);
            }
        }
        line(out, 4, &format!("[{}]", entry.spec));
    }
}

fn passed(out: &mut String, verdict: &Verdict, language: Language) {
    let held: Vec<_> = verdict
        .findings
        .iter()
        .filter(|finding| finding.status == Status::Pass)
        .map(|finding| finding.id)
        .collect();
    if !held.is_empty() {
        line(out, 0, "");
        line(out, 0, language.pick("Held", "Bestanden"));
        line(out, 2, &held.join(" "));
    }
}

fn trust(out: &mut String, verdict: &Verdict, knowledge: &Knowledge, language: Language) {
    if !verdict.roots.is_empty() {
        line(out, 0, "");
        let heading = "Whom you still have to trust";
        line(
            out,
            0,
            language.pick(heading, "Wem Sie weiterhin vertrauen müssen"),
        );
    }
    for root in &verdict.roots {
        let toy = if root.toy {
            language.pick(
                " (A TOY: NOT SILICON)",
                " (SPIELZEUG: KEIN ECHTES SILIZIUM)",
            )
        } else {
            ""
        };
        line(
            out,
            2,
            &format!(
                "{} ({}), {}, sha256:{}{toy}",
                root.maker,
                root.jurisdiction,
                root.kind,
                hex::encode(root.fingerprint)
            ),
        );
        if let Some(known) = knowledge
            .root(&root.maker, &root.kind)
            .filter(|_| !root.toy)
        {
            let (forges, below) = (
                language.pick("can forge", "kann fälschen"),
                language.pick("below it", "darunter"),
            );
            line(
                out,
                4,
                &format!("{forges}: {}", assessed::text(&known.forges, language)),
            );
            line(
                out,
                4,
                &format!("{below}: {}", assessed::text(&known.below, language)),
            );
        }
    }
    list(
        out,
        language.pick("What this does not prove", "Was das nicht beweist"),
        verdict
            .not_proved
            .iter()
            .map(|item| not_proved(*item, language)),
    );
    let notes: Vec<String> = verdict
        .notes
        .iter()
        .map(|note| said(note, language))
        .collect();
    list(
        out,
        language.pick("Noted", "Bemerkt"),
        notes.iter().map(String::as_str),
    );
}

fn list<'a>(out: &mut String, heading: &str, sentences: impl Iterator<Item = &'a str>) {
    for (index, sentence) in sentences.enumerate() {
        if index == 0 {
            line(out, 0, "");
            line(out, 0, heading);
        }
        line(out, 2, &format!("- {sentence}"));
    }
}

const fn paravisor(language: Language) -> &'static str {
    language.pick(
        "What the provider's paravisor does: it runs at the highest privilege inside your \
             machine, can read and change all of its memory, and holds the key and every register \
             of the virtual TPM. Its measurement is proven; who wrote it and what it may be told \
             to do is not.",
        "Was der Paravisor des Anbieters tut: Er läuft mit den höchsten Rechten innerhalb Ihrer \
             Maschine, kann ihren ganzen Speicher lesen und ändern und hält Schlüssel und alle \
             Register des virtuellen TPM. Sein Messwert ist bewiesen; was seine Verfasser ihn tun \
             lassen, ist es nicht.",
    )
}

const fn provider_alone(language: Language) -> &'static str {
    language.pick(
            "That anybody but AWS stands behind this: AWS's hypervisor says what runs, AWS's key \
             signs it, AWS publishes no revocation lists for that chain, and no maker of processors \
             says anything. It protects from whoever is in your instance, not from AWS.",
            "Dass irgendjemand außer AWS dafür einsteht: Der Hypervisor von AWS sagt, was läuft, ein \
             Schlüssel von AWS unterschreibt es, Sperrlisten dieser Kette veröffentlicht AWS nicht, \
             und kein Prozessorhersteller sagt etwas. Es schützt vor dem, der in Ihrer Instanz ist, \
             nicht vor AWS.",
        )
}

/// The sentence for something that is not proved.
pub(crate) const fn not_proved(item: NotProved, language: Language) -> &'static str {
    match item {
        NotProved::MakerKeys => language.pick(
            "That the maker has not lost or handed out its keys: whoever holds them can sign for \
             chips that do not exist.",
            "Dass der Hersteller seine Schlüssel weder verloren noch herausgegeben hat: Wer sie \
             hat, kann für Chips unterschreiben, die es nicht gibt.",
        ),
        NotProved::Hands => language.pick(
            "That nobody has hands on the hardware: an interposer on the memory bus leaves no \
             trace in this evidence.",
            "Dass niemand Hand an die Hardware legt: Ein Zwischenstück am Speicherbus hinterlässt \
             in diesem Nachweis keine Spur.",
        ),
        NotProved::AfterLaunch => language.pick(
            "What happened after launch: an SEV-SNP report has no run-time register, so the root \
             user of the guest can obtain valid reports for the guest's whole life.",
            "Was nach dem Start geschah: Ein SEV-SNP-Bericht hat kein Laufzeitregister, also kann \
             der Administrator im Gast während dessen ganzer Lebenszeit gültige Berichte bekommen.",
        ),
        NotProved::OwnMachine => language.pick(
            "That this is a machine of yours: no registry of enrolled machines was asked.",
            "Dass dies eine Ihrer Maschinen ist: Kein Verzeichnis eingetragener Maschinen wurde \
             gefragt.",
        ),
        NotProved::WhichChip => language.pick(
            "Which chip this is: a VLEK speaks for every chip that its provider loads it into.",
            "Welcher Chip dies ist: Ein VLEK spricht für jeden Chip, in den sein Anbieter ihn lädt.",
        ),
        NotProved::Freshness => language.pick(
            "That the evidence is fresh, or belongs to any key.",
            "Dass der Nachweis frisch ist oder zu irgendeinem Schlüssel gehört.",
        ),
        NotProved::Memory => language.pick(
            "That nobody reads or changes the machine's memory: a TPM says what was started, and \
             nothing about the host below.",
            "Dass niemand den Speicher der Maschine liest oder verändert: Ein TPM sagt, was \
             gestartet wurde, und nichts über den Wirt darunter.",
        ),
        NotProved::Paravisor => paravisor(language),
        NotProved::ProviderAlone => provider_alone(language),
        NotProved::Programs => language.pick(
            "Which programs ran after the boot: no list of the kernel's (IMA) came along.",
            "Welche Programme nach dem Start liefen: Eine Liste des Kerns (IMA) kam nicht mit.",
        ),
        NotProved::Registers => language.pick(
            "What the run-time registers stand for: without the boot log their values are compared \
             as they are.",
            "Wofür die Laufzeitregister stehen: Ohne das Startprotokoll werden ihre Werte so \
             verglichen, wie sie sind.",
        ),
    }
}
