//! The fixed words of the report, in both languages.

use crate::Language;

/// A word or sentence in two languages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    en: &'static str,
    de: &'static str,
}

impl Word {
    const fn new(en: &'static str, de: &'static str) -> Self {
        Self { en, de }
    }

    pub(super) const fn get(self, language: Language) -> &'static str {
        language.pick(self.en, self.de)
    }
}

pub(super) const TITLE: Word = Word::new("Trust report", "Vertrauensbericht");
pub(super) const SKIP: Word = Word::new("Skip to the report", "Zum Bericht springen");
pub(super) const FOR_ANYONE: Word = Word::new("In short", "Kurz gefasst");
pub(super) const AGAINST: Word = Word::new(
    "Against whom this machine protects",
    "Vor wem diese Maschine schützt",
);
pub(super) const WHO: Word = Word::new("Who", "Wer");
pub(super) const WORD: Word = Word::new("Protected?", "Geschützt?");
pub(super) const MAIN_REASON: Word = Word::new("The main reason", "Der wichtigste Grund");
pub(super) const WHAT_NOW: Word = Word::new("What would help most", "Was am meisten helfen würde");
pub(super) const TRUST: Word = Word::new(
    "Whom you still have to trust",
    "Wem Sie weiterhin vertrauen müssen",
);
pub(super) const NO_ROOT: Word = Word::new(
    "No maker's root stands behind this verdict.",
    "Hinter diesem Urteil steht keine Wurzel eines Herstellers.",
);
pub(super) const CHAIN: Word = Word::new("Who vouches for whom", "Wer für wen bürgt");
pub(super) const CAN_DO: Word = Word::new("Who can do what", "Wer was kann");
pub(super) const READ: Word = Word::new("read", "lesen");
pub(super) const CHANGE: Word = Word::new("change", "ändern");
pub(super) const FORGE: Word = Word::new("forge evidence", "Nachweise fälschen");
pub(super) const LEGEND: Word = Word::new(
    "● shown or possible by known attacks · ◐ nobody can tell · ○ shown to be fixed, or nothing known",
    "● durch bekannte Angriffe gezeigt oder möglich · ◐ niemand kann es sagen · ○ nachweislich behoben oder nichts bekannt",
);
pub(super) const CHECKS: Word = Word::new("What was checked", "Was geprüft wurde");
pub(super) const CHECK: Word = Word::new("Check", "Prüfpunkt");
pub(super) const OUTCOME: Word = Word::new("Outcome", "Ergebnis");
pub(super) const MEANING: Word = Word::new("What it means", "Was es bedeutet");
pub(super) const HELD: Word = Word::new("Held", "Bestanden");
pub(super) const ADVERSARIES: Word = Word::new("The adversaries, one by one", "Die Gegner einzeln");
pub(super) const WOULD_IMPROVE: Word =
    Word::new("What would improve it", "Was es verbessern würde");
pub(super) const THREATS: Word = Word::new("Known attacks", "Bekannte Angriffe");
pub(super) const ATTACK: Word = Word::new("Attack", "Angriff");
pub(super) const STANDS: Word = Word::new("Here", "Hier");
pub(super) const REMEDY: Word = Word::new("Remedy", "Abhilfe");
pub(super) const NOT_CONCERNED: Word = Word::new(
    "Do not concern this evidence",
    "Betreffen diesen Nachweis nicht",
);
pub(super) const ROOTS: Word = Word::new("Roots and issuers", "Wurzeln und Aussteller");
pub(super) const FORGES: Word = Word::new("Its holder can forge", "Ihr Inhaber kann fälschen");
pub(super) const BELOW: Word = Word::new("Who can issue below it", "Wer darunter ausstellen kann");
pub(super) const NOT_PROVED: Word = Word::new("What this does not prove", "Was das nicht beweist");
pub(super) const LIMITS: Word =
    Word::new("What no evidence can show", "Was kein Nachweis zeigen kann");
pub(super) const HISTORY: Word = Word::new(
    "Keys of these makers that leaked or could be taken",
    "Schlüssel dieser Hersteller, die nach außen gelangten oder entnommen werden konnten",
);
pub(super) const FACTS: Word = Word::new("What the evidence says", "Was der Nachweis sagt");
pub(super) const FIELD: Word = Word::new("Field", "Feld");
pub(super) const VALUE: Word = Word::new("Value", "Wert");
pub(super) const NOTED: Word = Word::new("Noted", "Bemerkt");
pub(super) const INPUTS: Word = Word::new(
    "What this verdict depends on",
    "Wovon dieses Urteil abhängt",
);
pub(super) const WITNESSED: Word = Word::new("What the witness said", "Was der Zeuge sagte");
pub(super) const ANNEX: Word =
    Word::new("Annex: what auditors ask", "Anhang: wonach Prüfer fragen");
pub(super) const NO_CLAIM: Word = Word::new(
    "This annex says what a report can contribute and what it leaves open. It claims no compliance \
     with anything.",
    "Dieser Anhang sagt, was ein Bericht beitragen kann und was er offen lässt. Er behauptet keine \
     Konformität.",
);
pub(super) const ASKS: Word = Word::new("Asked", "Gefragt");
pub(super) const GIVES: Word = Word::new("Contributed", "Beigetragen");
pub(super) const OPEN: Word = Word::new("Left open", "Offen");
pub(super) const SOURCES: Word = Word::new("Sources", "Quellen");
pub(super) const UNSIGNED: Word = Word::new(
    "This report is not signed.",
    "Dieser Bericht ist nicht unterschrieben.",
);
pub(super) const SIGNED: Word = Word::new(
    "Signed; the signature lies in a file of its own. Signer",
    "Unterschrieben; die Unterschrift liegt in einer eigenen Datei. Unterzeichner",
);
pub(super) const EXPIRES: Word = Word::new(
    "This report speaks of one instant. It is out of date as soon as newer knowledge would change \
     it.",
    "Dieser Bericht spricht von einem Zeitpunkt. Er ist veraltet, sobald neueres Wissen ihn ändern \
     würde.",
);
pub(super) const MACHINE: Word = Word::new("This machine", "Diese Maschine");
pub(super) const EVIDENCE: Word = Word::new("Evidence", "Nachweis");
pub(super) const CHIP_KEY: Word = Word::new("Key of the chip", "Schlüssel des Chips");
pub(super) const PROVIDER_KEY: Word = Word::new("Key of the provider", "Schlüssel des Anbieters");
pub(super) const TPM_KEY: Word = Word::new("Key of the TPM", "Schlüssel des TPM");
pub(super) const FIRMWARE_KEY: Word = Word::new(
    "Key of the firmware's builder",
    "Schlüssel des Firmware-Herstellers",
);
pub(super) const AT: Word = Word::new("as of", "Stand");
pub(super) const KNOWLEDGE: Word = Word::new("threat knowledge", "Bedrohungswissen");
pub(super) const ROOT_OF: Word = Word::new("Root", "Wurzel");
