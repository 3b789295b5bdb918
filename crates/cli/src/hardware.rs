//! `zeuge hardware`: chips with their certified keys, in a registry file that the owner signs.
//!
//! Adds only what a verified report proves; never signs, never sends.

use serde_json::json;
use toml::{Table, Value};
use zeuge_appraise::{Facts, HardwareRegistry, Policy, ReferenceValues, Word, hardware::SCHEMA};
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
        Hardware::List { file, format } => {
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
                if *format == Format::Text {
                    text.push_str(&format!("{}  {id}  {} key(s)\n", chip.name, keys.len()));
                } else {
                    let line = json!({"name": chip.name, "chip_id": id, "keys": keys});
                    text.push_str(&format!("{line}\n"));
                }
            }
            for tpm in &registry.tpm {
                let ak = tpm.ak_name.clone().unwrap_or_default();
                let ek = tpm.ek_certificate.map(|ek| hex::encode(ek.0));
                if *format == Format::Text {
                    text.push_str(&format!("{}  TPM, AK {ak}\n", tpm.name));
                } else {
                    let line = json!({"name": tpm.name, "ak_name": ak, "ek_certificate": ek});
                    text.push_str(&format!("{line}\n"));
                }
            }
            crate::say(&text)?;
            Ok(0)
        }
        Hardware::Retire { name, file } => {
            let named = |because: String| format!("{}: {because}", file.display());
            let mut table = registry(&input::text(file)?).map_err(named)?;
            let mut retired = 0_usize;
            for kind in ["chip", "tpm"] {
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
        hardware_only: Some("enrolment looks at the hardware alone".to_owned()),
        tpm: crate::judge_tpm::TpmSetting::default(),
        at: verify::at(arguments.at.as_deref())?,
        makers: None,
    };
    let name = arguments.report.display().to_string();
    let verdict = judge::judge(&input::read(&arguments.report)?, args::Kind::Snp, &setting)?;
    let facts = match (&verdict.word, &verdict.facts) {
        (Word::Affirming | Word::Warning, Some(Facts::Snp(facts))) => facts,
        _ => {
            let language = zeuge_report::Language::En;
            crate::complain(&zeuge_report::render(&verdict, Some(&name), language));
            return Ok(zeuge_report::verdict(&verdict, Some(&name))
                .verdict
                .exit_code());
        }
    };
    let chip_id = facts.claims.chip_id;
    if chip_id.iter().all(|byte| *byte == 0) {
        return Err(format!(
            "{name}: the report hides its chip; it cannot be enrolled"
        ));
    }
    let mut key = Table::new();
    let tcb = hex::encode(facts.claims.reported_tcb.0);
    let public_key = hex::encode(sha256(&[&facts.leaf_public_key]));
    key.insert("tcb".to_owned(), Value::String(tcb));
    key.insert("public_key".to_owned(), Value::String(public_key));
    let held = match &arguments.file {
        Some(file) if file.exists() => registry(&input::text(file)?)
            .map_err(|because| format!("{}: {because}", file.display()))?,
        _ => Table::from_iter([("schema".to_owned(), Value::String(SCHEMA.to_owned()))]),
    };
    let table = add(held, &arguments.name, &hex::encode(chip_id), key)?;
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

/// Adds a chip, or a key for new versions to one that is there. Another key for the same versions
/// is what the registry is to catch: it is refused.
fn add(mut table: Table, name: &str, chip_id: &str, key: Table) -> Result<Table, String> {
    let chips = table
        .entry("chip")
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .ok_or("chip is no list")?;
    let same = |chip: &&mut Value| chip.get("chip_id").and_then(Value::as_str) == Some(chip_id);
    let Some(chip) = chips.iter_mut().find(same) else {
        let mut chip = Table::new();
        chip.insert("name".to_owned(), Value::String(name.to_owned()));
        chip.insert("chip_id".to_owned(), Value::String(chip_id.to_owned()));
        chip.insert("keys".to_owned(), Value::Array(vec![Value::Table(key)]));
        chips.push(Value::Table(chip));
        return Ok(table);
    };
    let keys = chip.get_mut("keys").and_then(Value::as_array_mut);
    let keys = keys.ok_or("the chip has no keys")?;
    let held = keys.iter().find(|held| held.get("tcb") == key.get("tcb"));
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

    fn key(tcb: &str, public_key: &str) -> Table {
        let text = |value: &str| Value::String(value.to_owned());
        Table::from_iter([
            ("tcb".to_owned(), text(tcb)),
            ("public_key".to_owned(), text(public_key)),
        ])
    }

    #[test]
    fn a_second_key_for_a_chip_and_its_versions_is_refused() {
        let table = add(Table::new(), "web", "aa", key("01", "k1")).unwrap();
        let more = add(table.clone(), "web", "aa", key("02", "k2")).unwrap();
        assert_eq!(more["chip"][0]["keys"].as_array().unwrap().len(), 2);
        let refusal = add(table.clone(), "web", "aa", key("01", "k2")).unwrap_err();
        assert!(refusal.starts_with("hardware.key: "), "{refusal}");
        let again = add(table, "web", "aa", key("01", "k1")).unwrap_err();
        assert!(again.contains("already"), "{again}");
    }
}
