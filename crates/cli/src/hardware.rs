//! `zeuge hardware`: chips with their certified keys, in a registry file that the owner signs.
//!
//! Adds only what a verified report proves; never signs, never sends.

use serde_json::json;
use toml::{Table, Value};
use zeuge_appraise::{
    Facts, HardwareRegistry, Policy, QuoteFacts, ReferenceValues, SnpFacts, Word, hardware::SCHEMA,
};
use zeuge_log::hash::sha256;
use zeuge_verify::{Anchors, Binding};

use crate::{
    Outcome,
    args::{
        self, Format,
        tools::{Enroll, Hardware},
    },
    input,
    judge::{self, Setting},
    output, verify,
};

/// Runs the command.
pub(crate) fn run(command: &Hardware) -> Outcome {
    match command {
        Hardware::Enroll(arguments) => enroll(arguments),
        Hardware::EnrollTpm(arguments) => crate::enrol_tpm::run(arguments),
        Hardware::Approve(arguments) => crate::waiting::approve(arguments),
        Hardware::List(arguments) => match (&arguments.file, &arguments.tenant) {
            (Some(file), _) => list(file, arguments.format),
            (None, Some(tenant)) => crate::waiting::list(tenant, arguments),
            (None, None) => Err("either --file or --pending with --tenant".to_owned()),
        },
        Hardware::Retire { name, file } => {
            let named = |because: String| format!("{}: {because}", file.display());
            let mut table = registry(&input::text(file)?).map_err(named)?;
            let mut retired = 0_usize;
            for kind in ["chip", "intel", "tpm"] {
                let Some(list) = table.get_mut(kind).and_then(Value::as_array_mut) else {
                    continue;
                };
                let before = list.len();
                list.retain(|held| held.get("name").and_then(Value::as_str) != Some(name));
                retired = retired.saturating_add(before.saturating_sub(list.len()));
            }
            if retired == 0 {
                return Err(named(format!("there is no chip or TPM \"{name}\"")));
            }
            write(file, &table)
        }
        Hardware::Conflicts(_) => Err("hardware conflicts is not supported yet".to_owned()),
    }
}

fn list(file: &std::path::Path, format: Format) -> Outcome {
    let registry = HardwareRegistry::parse(&input::text(file)?)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let mut text = String::new();
    for chip in &registry.chip {
        let id = hex::encode(chip.chip_id.0);
        let keys = chip.keys.iter().map(|key| {
            json!({"tcb": hex::encode(key.tcb.0),
                           "public_key": hex::encode(key.public_key.0)})
        });
        let keys: Vec<_> = keys.collect();
        if format == Format::Text {
            text.push_str(&format!("{}  {id}  {} key(s)\n", chip.name, keys.len()));
        } else {
            let line = json!({"name": chip.name, "chip_id": id, "keys": keys});
            text.push_str(&format!("{line}\n"));
        }
    }
    for tpm in &registry.tpm {
        let ak = tpm.ak_name.clone().unwrap_or_default();
        let ek = tpm.ek_certificate.map(|ek| hex::encode(ek.0));
        if format == Format::Text {
            text.push_str(&format!("{}  TPM, AK {ak}\n", tpm.name));
        } else {
            let line = json!({"name": tpm.name, "ak_name": ak, "ek_certificate": ek});
            text.push_str(&format!("{line}\n"));
        }
    }
    for platform in &registry.intel {
        let id = hex::encode(platform.ppid.0);
        let keys = platform.keys.iter().map(|key| {
            json!({"cpu_svn": hex::encode(key.cpu_svn.0), "pce_svn": key.pce_svn,
                           "public_key": hex::encode(key.public_key.0)})
        });
        let keys: Vec<_> = keys.collect();
        if format == Format::Text {
            text.push_str(&format!("{}  {id}  {} key(s)\n", platform.name, keys.len()));
        } else {
            let line = json!({"name": platform.name, "ppid": id, "keys": keys});
            text.push_str(&format!("{line}\n"));
        }
    }
    crate::say(&text)?;
    Ok(0)
}

fn registry(text: &str) -> Result<Table, String> {
    HardwareRegistry::parse(text).map_err(|error| format!("{}: {error}", error.check()))?;
    toml::from_str(text).map_err(|error| error.to_string())
}

fn write(file: &std::path::Path, table: &Table) -> Outcome {
    let text = toml::to_string(table).map_err(|error| error.to_string())?;
    registry(&text)?;
    output::replace(file, text.as_bytes())?;
    crate::say(&format!(
        "{}: written; it counts once it is signed (zeuge owner sign) and brought (zeuge apply)\n",
        file.display()
    ))?;
    Ok(0)
}

fn enroll(arguments: &Enroll) -> Outcome {
    let anchors = match &arguments.dangerous_trust_sim {
        Some(path) => {
            crate::complain("DANGEROUS: the toy vendor of tests is trusted in this call");
            Anchors::dangerous_sim(&input::text(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Anchors::makers(),
    };
    let setting = Setting {
        endorsements: input::endorsements(&arguments.endorsements)?,
        anchors,
        binding: Binding::Unbound {
            because: "enrolment asks which chip this is, not when it spoke".to_owned(),
        },
        policy: Policy::default(),
        policy_ids: Vec::new(),
        reference_values: ReferenceValues::default(),
        hardware: None,
        seen: None,
        hardware_only: Some("enrolment looks at the hardware alone".to_owned()),
        tpm: crate::judge_tpm::TpmSetting::default(),
        at: verify::at(arguments.at.as_deref())?,
        makers: None,
    };
    let name = arguments.report.display().to_string();
    let verdict = judge::judge(&input::read(&arguments.report)?, args::Kind::Auto, &setting)?;
    let (kind, key) = match (&verdict.word, &verdict.facts) {
        (Word::Affirming | Word::Warning, Some(Facts::Snp(facts))) => snp(facts)?,
        (Word::Affirming | Word::Warning, Some(Facts::Quote(facts))) => quote(facts)?,
        _ => {
            let language = zeuge_report::Language::En;
            crate::complain(&zeuge_report::render(&verdict, Some(&name), language));
            return Ok(zeuge_report::verdict(&verdict, Some(&name))
                .verdict
                .exit_code());
        }
    };
    let held = match &arguments.file {
        Some(file) if file.exists() => registry(&input::text(file)?)
            .map_err(|because| format!("{}: {because}", file.display()))?,
        _ => Table::from_iter([("schema".to_owned(), Value::String(SCHEMA.to_owned()))]),
    };
    let table = add(held, &arguments.name, &kind, key)?;
    match &arguments.file {
        Some(file) if file.exists() => write(file, &table),
        Some(file) => {
            output::public(file, b"")?;
            write(file, &table)
        }
        None => {
            crate::say(&toml::to_string(&table).map_err(|error| error.to_string())?)?;
            Ok(0)
        }
    }
}

/// A list of the registry, and what tells its entries and their keys apart.
struct Entry {
    list: &'static str,
    id: &'static str,
    /// The value of `id`.
    chip: String,
    /// The versions of a key.
    versions: &'static [&'static str],
}

fn snp(facts: &SnpFacts) -> Result<(Entry, Table), String> {
    let chip_id = facts.claims.chip_id;
    if chip_id.iter().all(|byte| *byte == 0) {
        return Err("the report hides its chip; it cannot be enrolled".to_owned());
    }
    let entry = Entry {
        list: "chip",
        id: "chip_id",
        chip: hex::encode(chip_id),
        versions: &["tcb"],
    };
    let tcb = hex::encode(facts.claims.reported_tcb.0);
    Ok((entry, key([("tcb", tcb)], &facts.leaf_public_key)))
}

fn quote(facts: &QuoteFacts) -> Result<(Entry, Table), String> {
    let platform = &facts.platform;
    if platform.ppid == [0; 16] {
        return Err("the certificate hides its platform; it cannot be enrolled".to_owned());
    }
    let entry = Entry {
        list: "intel",
        id: "ppid",
        chip: hex::encode(platform.ppid),
        versions: &["cpu_svn", "pce_svn"],
    };
    let cpu_svn = hex::encode(platform.tcb.cpu_svn);
    let mut key = key([("cpu_svn", cpu_svn)], &facts.pck_public_key);
    let pce_svn = Value::Integer(i64::from(platform.tcb.pce_svn));
    key.insert("pce_svn".to_owned(), pce_svn);
    Ok((entry, key))
}

fn key<const N: usize>(versions: [(&str, String); N], public_key: &[u8]) -> Table {
    let public_key = ("public_key", hex::encode(sha256(&[public_key])));
    let all = versions.into_iter().chain([public_key]);
    all.map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect()
}

/// Adds a chip, or a key for new versions to one that is there. Another key for the same versions
/// is what the registry is to catch: it is refused.
fn add(mut table: Table, name: &str, entry: &Entry, key: Table) -> Result<Table, String> {
    let chips = table
        .entry(entry.list)
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .ok_or("the registry has no list of chips")?;
    let same = |chip: &&mut Value| chip.get(entry.id).and_then(Value::as_str) == Some(&entry.chip);
    let Some(chip) = chips.iter_mut().find(same) else {
        let mut chip = Table::new();
        chip.insert("name".to_owned(), Value::String(name.to_owned()));
        chip.insert(entry.id.to_owned(), Value::String(entry.chip.clone()));
        chip.insert("keys".to_owned(), Value::Array(vec![Value::Table(key)]));
        chips.push(Value::Table(chip));
        return Ok(table);
    };
    let keys = chip.get_mut("keys").and_then(Value::as_array_mut);
    let keys = keys.ok_or("the chip has no keys")?;
    let held = keys.iter().find(|held| {
        let mut versions = entry.versions.iter();
        versions.all(|version| held.get(*version) == key.get(*version))
    });
    match held {
        Some(held) if held.get("public_key") != key.get("public_key") => Err(
            "hardware.key: another key is enrolled for this chip and these versions; one chip has \
             one key for each, so find out who certified the second before anything else"
                .to_owned(),
        ),
        Some(_) => Err("this chip is enrolled already, with this key".to_owned()),
        None => {
            keys.push(Value::Table(key));
            Ok(table)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip() -> Entry {
        Entry {
            list: "chip",
            id: "chip_id",
            chip: "aa".to_owned(),
            versions: &["tcb"],
        }
    }

    fn key(tcb: &str, public_key: &str) -> Table {
        let text = |value: &str| Value::String(value.to_owned());
        Table::from_iter([
            ("tcb".to_owned(), text(tcb)),
            ("public_key".to_owned(), text(public_key)),
        ])
    }

    #[test]
    fn a_second_key_for_a_chip_and_its_versions_is_refused() {
        let table = add(Table::new(), "web", &chip(), key("01", "k1")).unwrap();
        let more = add(table.clone(), "web", &chip(), key("02", "k2")).unwrap();
        assert_eq!(more["chip"][0]["keys"].as_array().unwrap().len(), 2);
        let refusal = add(table.clone(), "web", &chip(), key("01", "k2")).unwrap_err();
        assert!(refusal.starts_with("hardware.key: "), "{refusal}");
        let again = add(table, "web", &chip(), key("01", "k1")).unwrap_err();
        assert!(again.contains("already"), "{again}");
    }
}
