//! Knowledge of threats is data that owners may replace: every rule about what it may say, at its edge, in a
//! document of one threat.
#![expect(clippy::too_many_lines, reason = "tables: a case is a line")]

use zeuge_appraise::Knowledge;

const WHO: [&str; 9] = [
    "remote",
    "co-tenant",
    "provider-employee",
    "physical-brief",
    "physical-laboratory",
    "provider-organisation",
    "cpu-maker",
    "witness-operator",
    "owner-mistake",
];

const FLOOR: &str = "[[floor]]\nset = \"f\"\nline = \"l\"\ncomponent = \"snp\"\nminimum = 1\n\
                     confidence = \"primary\"\nstanding = \"active\"\nsources = [\"S\"]\n\
                     checked = \"2026-01-31\"\n";
const LINE: &str = "[[line]]\nid = \"l\"\nproduct = \"Milan\"\nfamily = 25\nmodels = [1, 1]\n\
                    steppings = [1, 1]\nname = \"a line\"\n";

fn words(name: &str) -> String {
    format!("{name}.en = \"A word.\"\n{name}.de = \"Ein Wort.\"\n")
}

/// A document of one threat, one line of silicon, one figure and all adversaries.
fn document() -> String {
    let people = WHO.map(|who| {
        let (name, general) = (words("name"), words("general"));
        format!(
            "[[adversary]]\nwho = \"{who}\"\n{name}{general}can = [\"remote\"]\n\
             invisible = \"conditional\"\napproaches = []\n"
        )
    });
    let (general, mitigation) = (words("general"), words("mitigation"));
    format!(
        "schema = \"zeuge.threat-knowledge.v1\"\nversion = 1\nstate_of = \"2026-01-31\"\n\
         root = []\nlimit = []\napproach = []\nhistory = []\nprice = []\nregime = []\nkind = []\n\
         [sources]\nS = {{ title = \"a source\" }}\n{}{LINE}{FLOOR}\
         [[threat]]\nid = \"T\"\ngroup = \"owner\"\nname = \"a threat\"\nyear = \"2026\"\n\
         positions = [\"owner\"]\nbreaks = [\"keys\"]\naffected = \"all\"\n\
         confidence = \"primary\"\nsources = [\"S\"]\nnotes = []\nnotes_de = []\n\
         {general}{mitigation}applies = {{ always = true }}\nrule = []\notherwise = \"EXPOSED\"\n",
        people.concat()
    )
}

/// Why the document is refused with this in place of that, once; empty when it is read.
fn with(from: &str, to: &str) -> String {
    let text = document();
    // The last place: the threat stands behind all else.
    let at = text.rfind(from).unwrap_or_else(|| panic!("{from}"));
    let changed = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
    because(&changed)
}

fn because(text: &str) -> String {
    let read = Knowledge::parse(text);
    read.err().map(|error| error.because).unwrap_or_default()
}

#[test]
fn a_whole_document_is_read() {
    assert_eq!(because(&document()), "");
}

#[test]
fn version_day_lines_and_figures_are_checked() {
    for (from, to, wanted) in [
        ("version = 1", "version = 0", "version begins with 1"),
        ("version = 1", "version = 2", ""),
        (
            "state_of = \"2026-01-31\"",
            "state_of = \"2026-02-30\"",
            "\"2026-02-30\" is no day; write it like 2026-01-31",
        ),
        ("models = [1, 1]", "models = [2, 1]", "the line l is empty"),
        ("models = [1, 1]", "models = [1, 2]", ""),
        (
            "steppings = [1, 1]",
            "steppings = [1, 0]",
            "the line l is empty",
        ),
        (
            "sources = [\"S\"]\nchecked",
            "sources = []\nchecked",
            "the figure f of l: a source is wanted",
        ),
        (
            "sources = [\"S\"]\nchecked",
            "sources = [\"S\", \"X\"]\nchecked",
            "the figure f of l: the source X is not there",
        ),
        (
            "checked = \"2026-01-31\"",
            "checked = \"today\"",
            "the figure f of l: \"today\" is no day; write it like 2026-01-31",
        ),
        (
            "component = \"snp\"",
            "component = \"bios\"",
            "the figure f of l: there is no component bios",
        ),
        (
            "line = \"l\"",
            "line = \"m\"",
            "the figure f of m: there is no such line of silicon",
        ),
    ] {
        assert_eq!(with(from, to), wanted, "{to}");
    }
}

#[test]
fn a_threat_says_who_what_where_it_was_read_and_in_both_languages() {
    let long = |count: usize| format!("general.en = \"{}\"", "x".repeat(count));
    let id = |count: usize| format!("id = \"{}\"", "x".repeat(count));
    let english = "general.en = \"A word.\"";
    for (from, to, wanted) in [
        (
            "name = \"a threat\"",
            "name = \" \"",
            "T: name: one line of 1 to 200 bytes is wanted",
        ),
        (
            "name = \"a threat\"",
            "name = \"a\\nthreat\"",
            "T: name: one line of 1 to 200 bytes is wanted",
        ),
        (
            english,
            "general.en = \" \"",
            "T: general.en: 1 to 2000 bytes are wanted",
        ),
        (
            english,
            "general.en = \"a\\nb\"",
            "T: general.en: one line is wanted",
        ),
        (english, &long(2000), ""),
        (
            english,
            &long(2001),
            "T: general.en: 1 to 2000 bytes are wanted",
        ),
        (
            "mitigation.de = \"Ein Wort.\"",
            "mitigation.de = \"\"",
            "T: mitigation.de: 1 to 2000 bytes are wanted",
        ),
        ("sources = [\"S\"]", "sources = []", "T: a source is wanted"),
        (
            "sources = [\"S\"]",
            "sources = [\"X\"]",
            "T: the source X is not there",
        ),
        (
            "notes = []",
            "notes = [\"a\"]",
            "T: every note stands in both languages",
        ),
        (
            "positions = [\"owner\"]",
            "positions = []",
            "T: somebody who can do it and something that breaks are wanted",
        ),
        (
            "breaks = [\"keys\"]",
            "breaks = []",
            "T: somebody who can do it and something that breaks are wanted",
        ),
        (
            "otherwise = \"EXPOSED\"",
            "otherwise = \"PROVEN\"",
            "T: nothing is PROVEN where no rule holds",
        ),
        ("id = \"T\"", &id(200), ""),
    ] {
        assert_eq!(with(from, to), wanted, "{to}");
    }
    let refused = with("id = \"T\"", &id(201));
    assert!(
        refused.ends_with(": id: one line of 1 to 200 bytes is wanted"),
        "{refused}"
    );
    let twice = format!(
        "{}{}",
        document(),
        &document()[document().find("[[threat]]").unwrap()..]
    );
    assert_eq!(because(&twice), "the threat T stands twice");
}

#[test]
fn rules_stand_with_the_worst_first_and_memory_proves_nothing() {
    let rules = |list: &[(&str, &str)]| {
        let rules: Vec<String> = list
            .iter()
            .map(|(state, more)| {
                format!("{{ state = \"{state}\", when = {{ always = true }}{more} }}")
            })
            .collect();
        with("rule = []", &format!("rule = [{}]", rules.join(", ")))
    };
    let order = "T: rules stand in the order of precedence, the worst first";
    let memory = "T: what is known from memory alone is never PROVEN";
    assert_eq!(
        rules(&[("EXPOSED", ""), ("UNPROVABLE", ""), ("PROVEN", "")]),
        ""
    );
    assert_eq!(rules(&[("EXPOSED", ""), ("EXPOSED", "")]), "");
    assert_eq!(rules(&[("PROVEN", ""), ("EXPOSED", "")]), order);
    assert_eq!(rules(&[("PROVEN", ", confidence = \"memory\"")]), memory);
    assert_eq!(rules(&[("PROVEN", ", confidence = \"secondary\"")]), "");
    assert_eq!(rules(&[("EXPOSED", ", confidence = \"memory\"")]), "");
    assert_eq!(rules(&[("PROVEN", ", sources = [\"S\"]")]), "");
    assert_eq!(
        rules(&[("PROVEN", ", sources = [\"X\"]")]),
        "T: the source X is not there"
    );
    let memory_throughout = document()
        .replace(
            "affected = \"all\"\nconfidence = \"primary\"",
            "affected = \"all\"\nconfidence = \"memory\"",
        )
        .replace(
            "rule = []",
            "rule = [{ state = \"PROVEN\", when = { always = true } }]",
        );
    assert_eq!(because(&memory_throughout), memory);
}

#[test]
fn a_condition_asks_only_what_can_be_answered() {
    let nested = |depth: usize| {
        format!(
            "{}{{ always = true }}{}",
            "{ not = ".repeat(depth),
            " }".repeat(depth)
        )
    };
    let wide = |parts: usize| {
        format!(
            "{{ all = [{}] }}",
            vec!["{ always = true }"; parts].join(", ")
        )
    };
    let size = |parts: usize, depth: usize| {
        format!("a condition has {parts} parts and is {depth} deep; at most 128 and 8")
    };
    let bit = |field: &str, number: u8| {
        format!("{{ bit = {{ field = \"{field}\", number = {number}, is = true }} }}")
    };
    let fixed = |ids: &str, day: &str| {
        format!("{{ advisory-fixed = {{ ids = [{ids}], out_by = \"{day}\" }} }}")
    };
    let check = |was: &str| format!("{{ check = {{ id = \"a.b\", was = \"{was}\" }} }}");
    for (condition, wanted) in [
        (nested(7), String::new()),
        (nested(8), size(9, 9)),
        (wide(127), String::new()),
        (wide(128), size(129, 2)),
        (
            "{ all = [] }".to_owned(),
            "a condition of no parts holds by nothing".to_owned(),
        ),
        (
            "{ any = [] }".to_owned(),
            "a condition of no parts holds by nothing".to_owned(),
        ),
        (
            "{ not = { any = [{ always = true }, { all = [] }] } }".to_owned(),
            "a condition of no parts holds by nothing".to_owned(),
        ),
        (
            "{ evidence = [\"snp\", \"tdx\", \"sgx\", \"tpm\", \"azure\", \"nitro\"] }".to_owned(),
            String::new(),
        ),
        (
            "{ evidence = [\"snp\", \"gpu\"] }".to_owned(),
            "the kind of evidence \"gpu\" is not known".to_owned(),
        ),
        (
            "{ evidence = [] }".to_owned(),
            "a kind of evidence is wanted".to_owned(),
        ),
        (
            "{ product = [\"Genoa\", \"Milan\", \"Turin\"] }".to_owned(),
            String::new(),
        ),
        (
            "{ product = [\"Rome\"] }".to_owned(),
            "the product \"Rome\" is not known".to_owned(),
        ),
        ("{ line = [\"l\"] }".to_owned(), String::new()),
        (
            "{ line = [\"m\"] }".to_owned(),
            "the line of silicon \"m\" is not known".to_owned(),
        ),
        ("{ floors = \"f\" }".to_owned(), String::new()),
        (
            "{ floors = \"g\" }".to_owned(),
            "there are no figures of g".to_owned(),
        ),
        ("{ signer = \"vlek\" }".to_owned(), String::new()),
        (
            "{ signer = \"ark\" }".to_owned(),
            "the signer \"ark\" is not known".to_owned(),
        ),
        ("{ sgx-type = [\"standard\"] }".to_owned(), String::new()),
        (
            "{ sgx-type = [\"large\"] }".to_owned(),
            "the SGX type \"large\" is not known".to_owned(),
        ),
        (bit("KEY_INFO", 63), String::new()),
        (bit("TD_ATTRIBUTES", 0), String::new()),
        (bit("POLICY", 64), "there is no bit 64".to_owned()),
        (
            bit("FLAGS", 1),
            "the field \"FLAGS\" is not known".to_owned(),
        ),
        ("{ mitigation = 63 }".to_owned(), String::new()),
        (
            "{ mitigation = 64 }".to_owned(),
            "there are mitigations 0 to 63".to_owned(),
        ),
        (fixed("\"A\"", "2026-01-31"), String::new()),
        (fixed("", "2026-01-31"), "an advisory is wanted".to_owned()),
        (
            fixed("\"A\"", "soon"),
            "\"soon\" is no day; write it like 2026-01-31".to_owned(),
        ),
        (check("unchecked"), String::new()),
        (
            check("good"),
            "the outcome of a check \"good\" is not known".to_owned(),
        ),
    ] {
        let wanted = match wanted.as_str() {
            "" => wanted,
            _ => format!("T: {wanted}"),
        };
        let found = with(
            "applies = { always = true }",
            &format!("applies = {condition}"),
        );
        assert_eq!(found, wanted, "{condition}");
        // A rule's condition is read as strictly.
        let rule = format!("rule = [{{ state = \"EXPOSED\", when = {condition} }}]");
        assert_eq!(with("rule = []", &rule), wanted, "{condition}");
    }
}

#[test]
fn every_adversary_stands_once_and_is_never_safe_from_what_nobody_sees() {
    for who in WHO {
        let entry = format!("who = \"{who}\"");
        let other = if who == "remote" {
            "co-tenant"
        } else {
            "remote"
        };
        let refused = with(&entry, &format!("who = \"{other}\""));
        let first = if other == "remote" { "remote" } else { who };
        assert_eq!(refused, format!("the adversary {first} must stand once"));
    }
    let last = "owner-mistake";
    assert_eq!(
        with("invisible = \"conditional\"", "invisible = \"protected\""),
        format!("{last}: what nobody can see protects nobody")
    );
    assert_eq!(
        with("approaches = []", "approaches = [\"B1\"]"),
        "the approach B1 is not there"
    );
}

#[test]
fn roots_limits_approaches_history_prices_regimes_and_kinds_are_whole() {
    let many = |names: &[&str]| names.iter().map(|name| words(name)).collect::<String>();
    let end = "confidence = \"primary\"\nsources = [\"S\"]\n";
    let kind = |policy: &str, threats: &str| {
        format!(
            "[[kind]]\nid = \"k\"\n{}providers = [\"own\"]\nagainst = [\"remote\"]\n\
             threats = [{threats}]\npolicy = '''{policy}'''\n",
            many(&["name", "general"])
        )
    };
    let good = "schema = \"zeuge.policy.v1\"";
    let entries = [
        format!(
            "[[root]]\nmaker = \"m\"\nkind = \"cpu\"\n{}",
            many(&["forges", "below"])
        ),
        format!("[[limit]]\nid = \"L\"\n{}", many(&["general"])),
        format!(
            "[[approach]]\nid = \"B\"\n{}{end}",
            many(&["name", "general"])
        ),
        format!(
            "[[history]]\nwhen = \"2026\"\nof = \"m\"\n{}{end}",
            many(&["general"])
        ),
        format!(
            "[[price]]\n{}{end}kinds = [\"snp\"]\n",
            many(&["topic", "figure"])
        ),
        format!(
            "[[regime]]\nid = \"r\"\n{}{end}",
            many(&["name", "asks", "gives", "open"])
        ),
        kind(good, "\"T\""),
    ];
    let read = |entry: &str| {
        let (name, _) = entry[2..].split_once("]]").expect("a list");
        let open = document().replace(&format!("\n{name} = []\n"), "\n");
        because(&format!("{open}{entry}"))
    };
    for entry in &entries {
        assert_eq!(read(entry), "", "{entry}");
        let parts: Vec<&str> = entry
            .lines()
            .filter(|line| line.contains("Wort."))
            .collect();
        for part in parts {
            let empty = entry.replace(part, &part.replace("Ein Wort.", " "));
            let refused = read(&empty);
            assert!(
                refused.ends_with(".de: 1 to 2000 bytes are wanted"),
                "{empty}: {refused}"
            );
        }
        if entry.contains("sources") {
            let nowhere = entry.replace("sources = [\"S\"]", "sources = [\"X\"]");
            assert_eq!(read(&nowhere), "the source X is not there", "{entry}");
        }
    }
    assert_eq!(
        read(&kind(good, "\"T\", \"U\"")),
        "k: the threat U is not there"
    );
    assert!(read(&kind("schema = \"x\"", "\"T\"")).starts_with("k: "));
}
