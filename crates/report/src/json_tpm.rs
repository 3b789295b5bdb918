//! The proven facts of a TPM for `claims.tpm`: PCRs, clock, maker, and what the logs add.
//!
//! Says which of them the boot log explains; a name or path out of a log is a label and stands
//! beside the digest that was signed.

use serde_json::{Value, json};
use zeuge_appraise::{
    TpmFacts,
    tpm::{BootFacts, EkFacts, EnrolledAk, Filling, ImaFacts, Measured, Proof, Text, TrustBasis},
};

/// Files of an IMA list that are shown; the list itself is evidence, and long.
const FILES_MAX: usize = 256;

pub(crate) fn claims(facts: &TpmFacts) -> Value {
    let pcrs: serde_json::Map<String, Value> = facts
        .pcrs
        .iter()
        .map(|(bank, values)| {
            let values: serde_json::Map<String, Value> = values
                .iter()
                .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
                .collect();
            (bank.to_string(), Value::Object(values))
        })
        .collect();
    let clock = facts.clock;
    let mut out = json!({
        "pcrs": pcrs,
        "nonce": hex::encode(&facts.nonce),
        "clock": {
            "milliseconds": clock.clock,
            "reset_count": clock.reset_count,
            "restart_count": clock.restart_count,
            "safe": clock.safe,
        },
        "firmware_version": format!("{:016x}", facts.firmware_version),
        "ak_name": facts.ak_name.as_ref().map(hex::encode),
        "ak_key": hex::encode(facts.ak_key),
        "ak_attributes": facts.ak_attributes.map(|attributes| attributes.to_string()),
        "explained": facts.explained.iter().collect::<Vec<_>>(),
    });
    let trust = trust(&facts.trust);
    let boot = facts.boot.as_ref().map(|boot| self::boot(facts, boot));
    let ima = facts
        .ima
        .as_ref()
        .map(|list| json!({ "ima": self::ima(list) }));
    for more in [Some(trust), boot, ima].into_iter().flatten() {
        if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
            out.extend(more);
        }
    }
    out
}

fn trust(basis: &TrustBasis) -> Value {
    let of = |word: &str, ek: &EkFacts| {
        json!({
            "trust": word,
            "maker": ek.root.maker,
            "manufacturer": ek.identity.manufacturer_text(),
            "model": ek.identity.model,
            "version": ek.identity.version,
            "certificate": format!("sha256:{}", hex::encode(ek.certificate)),
        })
    };
    match basis {
        TrustBasis::Activated(ek) => of("activated", ek),
        TrustBasis::Certified(ek) => of("certified", ek),
        TrustBasis::CommittedByReport => json!({ "trust": "committed-by-report" }),
        TrustBasis::EnrolledByOwner(EnrolledAk::Name(_)) => json!({ "trust": "enrolled-name" }),
        TrustBasis::EnrolledByOwner(EnrolledAk::Key(_)) => json!({ "trust": "enrolled-key" }),
        TrustBasis::DangerousUnproven { .. } => json!({ "trust": "dangerous-unproven" }),
    }
}

fn boot(facts: &TpmFacts, boot: &BootFacts) -> Value {
    let is_explained = |register: u32| facts.explained.contains(register);
    let measured = |list: &[Measured]| -> Value {
        list.iter()
            .filter(|one| is_explained(one.register))
            .map(|one| {
                json!({
                    "event": one.event,
                    "pcr": one.register,
                    "name": one.name,
                    "digest": hex::encode(&one.digest),
                })
            })
            .collect()
    };
    let texts = |list: &[Text]| -> Value {
        list.iter()
            .filter(|one| is_explained(one.register))
            .map(|one| {
                json!({
                    "event": one.event,
                    "pcr": one.register,
                    "text": one.text,
                    "proven": one.proof != Proof::Label,
                })
            })
            .collect()
    };
    let secure_boot = boot.secure_boot.filter(|_| is_explained(7));
    let sbat = boot.sbat_level.as_ref().filter(|_| is_explained(7));
    let firmware = boot.firmware_version.as_ref();
    let firmware = firmware.filter(|text| is_explained(0) && text.proof == Proof::Whole);
    json!({
        "bank": boot.bank.to_string(),
        "secure_boot": secure_boot,
        "sbat_level": sbat,
        "firmware": firmware.map(|text| text.text.clone()),
        "images": measured(&boot.images),
        "initrds": measured(&boot.initrds),
        "files": measured(&boot.grub_files),
        "sections": measured(&boot.stub_sections),
        "mok_lists": measured(&boot.mok_lists),
        "command_lines": texts(&boot.command_lines),
    })
}

fn ima(list: &ImaFacts) -> Value {
    let files: Vec<Value> = list
        .attested
        .iter()
        .zip(&list.signers)
        .take(FILES_MAX)
        .map(|(entry, signer)| {
            json!({
                "path": entry.name,
                "digest": format!("{}:{}", entry.algorithm, hex::encode(&entry.digest)),
                "violation": entry.is_violation(),
                "signer": signer,
            })
        })
        .collect();
    json!({
        "bank": list.bank.to_string(),
        "attested": list.attested.len(),
        "unattested": list.unattested,
        "boot_aggregate": list.boot_aggregate,
        "padded_sha1": list.filling == Filling::PaddedSha1,
        "files": files,
    })
}
