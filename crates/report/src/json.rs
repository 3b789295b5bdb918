//! A verdict as `zeuge.verdict.v1` (DESIGN §5.1).
//!
//! The same verdict gives the same bytes: nothing here depends on time, order of maps or locale.

use serde_json::{Value, json};
use zeuge_appraise::{
    Cpu, Facts, Finding, Knowledge, Status, Verdict, Word,
    threats::{State, Who},
};
use zeuge_protocol::api;

use crate::{Language, assessed};

/// The verdict in its form for the wire and for `--format json`.
///
/// `file` is the name of what was judged, where there was a file. Threats are explained with the
/// built-in knowledge; see [`verdict_with`].
#[must_use]
pub fn verdict(verdict: &Verdict, file: Option<&str>) -> api::Verdict {
    verdict_with(verdict, file, Knowledge::built_in())
}

/// As [`verdict`], where threats were assessed with this knowledge.
#[must_use]
pub fn verdict_with(verdict: &Verdict, file: Option<&str>, knowledge: &Knowledge) -> api::Verdict {
    let (threats, adversaries) = assessment(verdict, knowledge);
    api::Verdict {
        threats,
        adversaries,
        ..verdict_alone(verdict, file, knowledge)
    }
}

/// The threats and adversaries of a verdict in their form for the wire. They depend on the
/// knowledge and on [`Verdict::assessable`] alone.
#[must_use]
pub fn assessment(
    verdict: &Verdict,
    knowledge: &Knowledge,
) -> (Vec<api::Threat>, Vec<api::Adversary>) {
    (threats(verdict, knowledge), adversaries(verdict, knowledge))
}

/// As [`verdict_with`], with both lists of the assessment empty.
#[must_use]
pub fn verdict_alone(verdict: &Verdict, file: Option<&str>, knowledge: &Knowledge) -> api::Verdict {
    let word = match verdict.word {
        Word::Affirming => api::VerdictWord::Affirming,
        Word::Contraindicated => api::VerdictWord::Contraindicated,
        Word::Malformed => api::VerdictWord::Malformed,
        Word::Unavailable => api::VerdictWord::Unavailable,
        Word::Untrusted => api::VerdictWord::Untrusted,
        Word::Warning => api::VerdictWord::Warning,
    };
    let mut out = api::Verdict::new(word, &verdict.at.to_string());
    out.file = file.map(str::to_owned);
    out.kind = Some(verdict.kind.word().to_owned());
    out.product.clone_from(&verdict.product);
    out.checks = verdict.findings.iter().map(check).collect();
    out.failed = verdict.failed().into_iter().map(str::to_owned).collect();
    out.claims = verdict.facts.as_ref().map_or_else(|| json!({}), claims);
    out.roots = verdict
        .roots
        .iter()
        .map(|root| api::Root {
            maker: root.maker.clone(),
            jurisdiction: root.jurisdiction.clone(),
            kind: root.kind.clone(),
            fingerprint: format!("sha256:{}", hex::encode(root.fingerprint)),
            forges: known(knowledge, root).map_or_else(String::new, |root| root.forges.en.clone()),
            below: known(knowledge, root).map_or_else(String::new, |root| root.below.en.clone()),
        })
        .collect();
    out.knowledge = (verdict.knowledge.version > 0).then(|| api::Knowledge {
        version: verdict.knowledge.version,
        digest: format!("sha256:{}", hex::encode(verdict.knowledge.digest)),
    });
    let sentences = verdict.not_proved.iter();
    out.not_proved = sentences
        .map(|item| crate::text::not_proved(*item, crate::Language::En).to_owned())
        .collect();
    out.not_proved
        .extend(verdict.notes.iter().map(|note| format!("Noted: {note}")));
    out
}

/// What is known of a root; nothing of a toy.
fn known<'k>(
    knowledge: &'k Knowledge,
    root: &zeuge_appraise::RootNamed,
) -> Option<&'k zeuge_appraise::threats::RootKnown> {
    if root.toy {
        None
    } else {
        knowledge.root(&root.maker, &root.kind)
    }
}

fn threats(verdict: &Verdict, knowledge: &Knowledge) -> Vec<api::Threat> {
    let each = verdict.threats.iter().map(|one| {
        // A row about something else says so, and no more.
        let concerns = one.state != State::NotApplicable;
        let confidence = if concerns { one.confidence.word() } else { "" };
        api::Threat {
            id: one.id.clone(),
            adversary: one.who.map_or("", Who::word).to_owned(),
            state: one.state.word().to_owned(),
            because: assessed::because(one, knowledge, Language::En),
            confidence: confidence.to_owned(),
            sources: if concerns {
                one.sources.clone()
            } else {
                Vec::new()
            },
        }
    });
    each.collect()
}

fn adversaries(verdict: &Verdict, knowledge: &Knowledge) -> Vec<api::Adversary> {
    let each = verdict.adversaries.iter().map(|one| api::Adversary {
        who: one.who.word().to_owned(),
        verdict: one.protection.word().to_owned(),
        because: assessed::reasons(one, verdict, knowledge, Language::En),
        improve: assessed::improvements(one, knowledge, Language::En),
    });
    each.collect()
}

fn check(finding: &Finding) -> api::Check {
    let because = match (finding.because.is_empty(), finding.found.is_empty()) {
        (true, _) => None,
        (false, true) => Some(finding.because.clone()),
        (false, false) => Some(format!(
            "{}: found {}, wanted {}",
            finding.because, finding.found, finding.wanted
        )),
    };
    api::Check {
        id: finding.id.to_owned(),
        status: match finding.status {
            Status::Pass => api::CheckStatus::Pass,
            Status::Unchecked => api::CheckStatus::Unchecked,
            Status::Warn => api::CheckStatus::Warn,
            Status::Fail => api::CheckStatus::Fail,
        },
        because,
    }
}

/// The proven facts by platform, byte strings in hex.
#[must_use]
pub fn claims(facts: &Facts) -> Value {
    match facts {
        Facts::Azure(facts) => azure(facts),
        Facts::Composite(facts) => {
            let mut out = cpu(&facts.cpu);
            out["tpm"] = crate::json_tpm::claims(&facts.tpm);
            out
        }
        Facts::Nitro(facts) => json!({ "nitro": nitro(facts) }),
        Facts::Quote(facts) => quote(facts),
        Facts::Snp(facts) => json!({ "snp": snp(facts) }),
        Facts::Tpm(facts) => json!({ "tpm": crate::json_tpm::claims(facts) }),
        _ => json!({}),
    }
}

fn cpu(cpu: &Cpu) -> Value {
    match cpu {
        Cpu::Quote(facts) => quote(facts),
        Cpu::Snp(facts) => json!({ "snp": snp(facts) }),
    }
}

fn nitro(facts: &zeuge_appraise::NitroFacts) -> Value {
    let pcrs: serde_json::Map<String, Value> = facts
        .pcrs
        .iter()
        .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
        .collect();
    json!({
        "module_id": facts.module_id,
        "source": match facts.source {
            zeuge_appraise::nitro::Source::Enclave => "enclave",
            zeuge_appraise::nitro::Source::Tpm => "tpm",
        },
        "timestamp": facts.timestamp,
        "digest": "SHA384",
        "pcrs": pcrs,
        "nonce": facts.nonce.as_ref().map(hex::encode),
        "user_data": facts.user_data.as_ref().map(hex::encode),
        "public_key": facts.public_key.as_ref().map(hex::encode),
        "certificate": format!("sha256:{}", hex::encode(facts.leaf_fingerprint)),
        "certificate_until": facts.leaf_not_after.to_string(),
    })
}

fn azure(facts: &zeuge_appraise::AzureFacts) -> Value {
    let mut out = cpu(&facts.cpu);
    if let Some(quoted) = &facts.tpm {
        out["tpm"] = crate::json_tpm::claims(quoted);
    }
    let vm = &facts.vm;
    out["azure"] = json!({
        "binding_profile": "hcl",
        "hcl_version": facts.hcl_version,
        "ak_key": facts.ak_key.map(hex::encode),
        "ak_is_primary": facts.ak_is_primary,
        "same_machine": facts.tpm.is_some().then_some("proven"),
        "user_data": facts.user_data.map(hex::encode),
        "vm": {
            "current_time": vm.current_time,
            "root_cert_thumbprint": vm.root_cert_thumbprint,
            "console_enabled": vm.console_enabled,
            "interactive_console_enabled": vm.interactive_console_enabled,
            "secure_boot": vm.secure_boot,
            "tpm_enabled": vm.tpm_enabled,
            "tpm_persisted": vm.tpm_persisted,
            "filtered_vpci_devices_allowed": vm.filtered_vpci_devices_allowed,
            "unique_id": vm.unique_id,
            "hardware_sealing_policy": vm.hardware_sealing_policy,
        },
    });
    out
}

fn quote(facts: &zeuge_appraise::QuoteFacts) -> Value {
    let standing = json!({
        "tcb_status": facts.standing.status.as_str(),
        "advisories": facts.standing.advisories,
        "tcb_date": facts.standing.tcb_date.map(|date| date.to_string()),
        "fmspc": hex::encode(facts.platform.fmspc),
        "pce_id": hex::encode(facts.platform.pce_id),
        "evaluation_number": facts.evaluation_number,
        "collateral_until": facts.collateral_until.to_string(),
        "quote_version": facts.version,
        "firmware_endorsement": firmware(&facts.firmware),
    });
    let (kind, mut fields) = match &facts.claims {
        zeuge_appraise::Body::Tdx(report) => (
            "tdx",
            json!({
                "mrtd": hex::encode(report.mr_td),
                "rtmr": report.rtmr.iter().map(hex::encode).collect::<Vec<_>>(),
                "report_data": hex::encode(report.report_data),
                "mrseam": hex::encode(report.mr_seam),
                "mrconfigid": hex::encode(report.mr_config_id),
                "mrowner": hex::encode(report.mr_owner),
                "mrownerconfig": hex::encode(report.mr_owner_config),
                "tee_tcb_svn": hex::encode(report.tee_tcb_svn),
                "td_attributes": format!("{:016x}", report.td_attributes.0),
                "xfam": format!("{:016x}", report.xfam.0),
            }),
        ),
        zeuge_appraise::Body::Sgx(report) => (
            "sgx",
            json!({
                "mrenclave": hex::encode(report.mr_enclave),
                "mrsigner": hex::encode(report.mr_signer),
                "report_data": hex::encode(report.report_data),
                "isv_prod_id": report.isv_prod_id,
                "isv_svn": report.isv_svn,
                "cpu_svn": hex::encode(report.cpu_svn),
                "debug": report.attributes.debug(),
            }),
        ),
    };
    if let (zeuge_appraise::Body::Tdx(report), Value::Object(fields)) = (&facts.claims, &mut fields)
        && let Some(newer) = &report.td15
    {
        let loaded = hex::encode(newer.tee_tcb_svn2);
        fields.insert("tee_tcb_svn2".to_owned(), json!(loaded));
        let service = hex::encode(newer.mr_service_td);
        fields.insert("mrservicetd".to_owned(), json!(service));
    }
    if let (Some(boot), Value::Object(fields)) = (&facts.boot, &mut fields) {
        fields.insert("event_log".to_owned(), boot_log(boot));
    }
    if let (Value::Object(fields), Value::Object(standing)) = (&mut fields, standing) {
        fields.extend(standing);
    }
    json!({ kind: fields })
}

/// What the boot log of a trust domain says; only records whose register it explains.
fn boot_log(boot: &zeuge_appraise::BootLog) -> Value {
    let explained = boot.explained.iter().enumerate();
    let explained: Vec<_> = explained
        .filter_map(|(rtmr, explained)| explained.then_some(rtmr))
        .collect();
    let events = boot.events.iter().map(|event| {
        json!({
            "index": event.index,
            "rtmr": event.rtmr,
            "kind": event.kind.to_string(),
            "digest": hex::encode(&event.digest),
            "label": event.label,
        })
    });
    json!({ "explained": explained, "events": events.collect::<Vec<_>>() })
}

/// What the builder of the measured firmware says about it; nothing where that was not proven.
fn firmware(firmware: &zeuge_appraise::google::Firmware) -> Value {
    let zeuge_appraise::google::Firmware::Endorsed(facts) = firmware else {
        return Value::Null;
    };
    json!({
        "by": facts.root.maker,
        "svn": facts.svn,
        "timestamp": facts.timestamp.to_string(),
        "shapes": facts.shapes,
        "digest": hex::encode(&facts.digest),
        "certificate": format!("sha256:{}", hex::encode(facts.signer)),
        "certificate_until": facts.signer_not_after.to_string(),
    })
}

fn snp(facts: &zeuge_appraise::SnpFacts) -> Value {
    let claims = &facts.claims;
    let layout = facts.product.layout();
    let tcb = |bytes: zeuge_appraise::TcbBytes| -> Value {
        bytes
            .parts(layout)
            .components()
            .map(|(name, version)| (name.to_owned(), json!(version)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let guest = claims.policy;
    let info = claims.platform_info;
    json!({
        "version": claims.version,
        "measurement": hex::encode(claims.measurement),
        "report_data": hex::encode(claims.report_data),
        "host_data": hex::encode(claims.host_data),
        "tcb": tcb(claims.reported_tcb),
        "current_tcb": tcb(claims.current_tcb),
        "committed_tcb": tcb(claims.committed_tcb),
        "launch_tcb": tcb(claims.launch_tcb),
        "chip_id": hex::encode(claims.chip_id),
        "vmpl": claims.vmpl,
        "guest_svn": claims.guest_svn,
        "family_id": hex::encode(claims.family_id),
        "image_id": hex::encode(claims.image_id),
        "id_key_digest": hex::encode(claims.id_key_digest),
        "author_key_digest": hex::encode(claims.author_key_digest),
        "report_id": hex::encode(claims.report_id),
        "signing_key": claims.key_info.signing_key().to_string(),
        "firmware": claims.current_version.to_string(),
        "firmware_endorsement": firmware(&facts.firmware),
        "guest_policy": {
            "abi_major": guest.abi_major(),
            "abi_minor": guest.abi_minor(),
            "smt": guest.smt(),
            "migrate_ma": guest.migrate_ma(),
            "debug": guest.debug(),
            "single_socket": guest.single_socket(),
            "cxl_allow": guest.cxl_allow(),
            "mem_aes_256_xts": guest.mem_aes_256_xts(),
            "rapl_dis": guest.rapl_dis(),
            "ciphertext_hiding_dram": guest.ciphertext_hiding_dram(),
            "page_swap_disable": guest.page_swap_disable(),
        },
        "platform_info": {
            "smt_en": info.smt_en(),
            "tsme_en": info.tsme_en(),
            "ecc_en": info.ecc_en(),
            "rapl_dis": info.rapl_dis(),
            "ciphertext_hiding_dram_en": info.ciphertext_hiding_dram_en(),
            "alias_check_complete": info.alias_check_complete(),
            "tio_en": info.tio_en(),
        },
    })
}
