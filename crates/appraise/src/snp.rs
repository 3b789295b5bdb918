//! Is this SEV-SNP machine the one that was wanted?
//!
//! The claims are taken apart field by field without `..`: a field that AMD adds cannot pass
//! unnoticed. Never checks who said it; that is proven before.

use zeuge_evidence::snp::{Claims, Tcb};
use zeuge_verify::{
    Binding, Root,
    amd::Revocation,
    snp::{Signer, SnpFacts},
};

use crate::{
    BindingProfile, Facts, Finding, Findings, IdBlock, Kind, NotProved, RootNamed, SnpReference,
    Verdict, Wanted, floor, hardware,
};

/// The ids of this file.
pub const CHECKS: &[&str] = &[
    "amd.crl.fresh",
    "dangerous.sim-root",
    "policy.alias-check",
    "policy.binding",
    "policy.ciphertext-hiding",
    "policy.cxl",
    "policy.debug",
    "policy.host-data",
    "policy.measurement",
    "policy.migration",
    "policy.mitigations",
    "policy.product",
    "policy.product-name",
    "policy.provider",
    "policy.provisional-firmware",
    "policy.single-socket",
    "policy.smt",
    "policy.tcb",
    "policy.vmpl",
];

/// Judges proven facts; every check goes through [`Findings::check`].
pub(crate) fn judge(facts: &SnpFacts, wanted: &Wanted<'_>, findings: &mut Findings) -> Verdict {
    judge_as(facts, BindingProfile::Direct, wanted, findings)
}

/// As [`judge`], of evidence that is bound as `profile` says: only reference values of that
/// profile count.
pub(crate) fn judge_as(
    facts: &SnpFacts,
    profile: BindingProfile,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) -> Verdict {
    unbound(&facts.binding, findings);
    toy(&facts.root, findings);
    revocation(facts, wanted, findings);
    guest_policy(facts, wanted, findings);
    platform(facts, wanted, findings);
    versions(facts, wanted, findings);
    workload(facts, profile, wanted, findings);
    signer(facts, wanted, findings);
    crate::google::judge(&facts.firmware, wanted, findings);
    let all = Facts::from(facts.clone());
    if let Some(registry) = wanted.hardware {
        hardware::check(registry, &all, findings);
    }
    let list = std::mem::replace(findings, Findings::new(&[])).into_list();
    let mut verdict = Verdict::of(all, list, wanted.at);
    verdict.kind = Kind::Snp;
    verdict.product = Some(facts.product.name().to_owned());
    verdict.roots = vec![RootNamed::from(&facts.root)];
    verdict.roots.extend(holder(facts));
    verdict.roots.extend(crate::google::root(&facts.firmware));
    verdict.not_proved = not_proved(facts, wanted);
    verdict.notes = notes(facts);
    verdict
}

/// A binding that nobody demanded did not hold: it was not looked at.
pub(crate) fn unbound(binding: &Binding, findings: &mut Findings) {
    if let Binding::Unbound { because } = binding {
        findings.replace(Finding::unchecked("binding.report-data", because.clone()));
    }
    // The name under which a policy would say so, kept apart from the proof itself.
    findings.check("policy.binding", || match binding {
        Binding::ReportData(_) => None,
        Binding::Unbound { because } => Some(Finding::warn(
            "policy.binding",
            format!("nothing shows that this report is fresh or belongs to a key: {because}"),
        )),
    });
}

pub(crate) fn toy(root: &Root, findings: &mut Findings) {
    findings.check("dangerous.sim-root", || {
        root.toy.then(|| {
            Finding::warn(
                "dangerous.sim-root",
                "the silicon is a toy: no maker vouches for it",
            )
        })
    });
}

fn revocation(facts: &SnpFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    // spec: sev-snp.crl.fresh
    findings.check("amd.crl.fresh", || {
        let because = stale(&facts.revocation, wanted);
        Some(match (because, &wanted.policy.snp.dangerous_without_crl) {
            (None, _) => Finding::pass("amd.crl.fresh"),
            (Some(because), None) => Finding::fail("amd.crl.fresh", because)
                .difference("no fresh list", "a list of AMD's before its nextUpdate"),
            (Some(because), Some(reason)) => Finding::warn(
                "amd.crl.fresh",
                format!("{because}; accepted by dangerous_without_crl: {reason}"),
            ),
        })
    });
}

/// Why the list is not fresh; `None` when it is.
fn stale(revocation: &Revocation, wanted: &Wanted<'_>) -> Option<String> {
    let Revocation::Checked {
        this_update,
        next_update,
        ..
    } = revocation
    else {
        return Some("no revocation list of AMD's is at hand".to_owned());
    };
    let Some(next_update) = next_update else {
        return Some("the revocation list does not say when the next one is due".to_owned());
    };
    if wanted.at > *next_update {
        return Some(format!("the revocation list ended at {next_update}"));
    }
    let age = i64::from(wanted.policy.crl_age_days_max).saturating_mul(86_400);
    if wanted.at > this_update.plus(age) {
        return Some(format!(
            "the revocation list is from {this_update}, older than the policy allows"
        ));
    }
    None
}

/// A flag that must be off, unless a dangerous setting with a reason says otherwise.
pub(crate) fn must_be_off(
    findings: &mut Findings,
    id: &'static str,
    is_on: bool,
    because: &str,
    waiver: Option<&str>,
) {
    findings.check(id, || {
        Some(match (is_on, waiver) {
            (false, _) => Finding::pass(id),
            (true, None) => Finding::fail(id, because).difference("on", "off"),
            (true, Some(reason)) => Finding::warn(
                id,
                format!("{because}; accepted by a dangerous setting: {reason}"),
            ),
        })
    });
}

/// A wish of the owner's that only counts where it was written.
fn wish(findings: &mut Findings, id: &'static str, wished: bool, holds: bool, because: &str) {
    findings.check(id, || {
        wished.then(|| {
            if holds {
                Finding::pass(id)
            } else {
                Finding::fail(id, because)
            }
        })
    });
}

fn guest_policy(facts: &SnpFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let guest = facts.claims.policy;
    let owner = &wanted.policy.snp;
    must_be_off(
        // spec: sev-snp.policy.debug
        findings,
        "policy.debug",
        guest.debug(),
        "the host may read this guest's memory (DEBUG is set)",
        owner.dangerous_allow_debug.as_deref(),
    );
    must_be_off(
        // spec: sev-snp.policy.migrate-ma
        findings,
        "policy.migration",
        guest.migrate_ma(),
        "a migration agent may take this guest to another machine (MIGRATE_MA is set)",
        owner.dangerous_allow_migration.as_deref(),
    );
    let socket = guest.single_socket();
    wish(
        findings,
        "policy.single-socket",
        owner.require_single_socket,
        socket,
        "the guest may span sockets (SINGLE_SOCKET is not set)",
    );
    let cxl = guest.cxl_allow();
    wish(
        findings,
        "policy.cxl",
        owner.forbid_cxl,
        !cxl,
        "CXL memory is allowed (CXL_ALLOW)",
    );
}

fn platform(facts: &SnpFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let Claims {
        policy: guest,
        platform_info: info,
        mitigations,
        ..
    } = &facts.claims;
    let owner = &wanted.policy.snp;
    wish(
        findings,
        "policy.smt",
        owner.forbid_smt,
        !guest.smt() && !info.smt_en(),
        "sibling threads are allowed by the guest policy or on in the platform",
    );
    wish(
        findings,
        "policy.alias-check",
        owner.require_alias_check,
        info.alias_check_complete(),
        "the platform does not say that its memory was checked for aliases (BadRAM)",
    );
    wish(
        findings,
        "policy.ciphertext-hiding",
        owner.require_ciphertext_hiding,
        guest.ciphertext_hiding_dram() && info.ciphertext_hiding_dram_en(),
        "ciphertext hiding is not demanded by the guest or not on in the platform",
    );
    let required = owner.required_mitigations;
    let (launch, current) = mitigations.map_or((0, 0), |vector| (vector.launch, vector.current));
    findings.check("policy.mitigations", || {
        (required != 0).then(|| {
            if required & launch == required && required & current == required {
                Finding::pass("policy.mitigations")
            } else {
                Finding::fail(
                    "policy.mitigations",
                    "a demanded mitigation was not active at launch or is not active now",
                )
                .difference(
                    format!("launch {launch:#x}, current {current:#x}"),
                    format!("{required:#x} in both"),
                )
            }
        })
    });
    let name = facts.product.name();
    let refused = owner.refused_products.iter().any(|refused| refused == name);
    wish(
        findings,
        "policy.product",
        !owner.refused_products.is_empty(),
        !refused,
        "the owner refuses this product whatever it proves",
    );
}

fn versions(facts: &SnpFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let layout = facts.product.layout();
    let reported = facts.claims.reported_tcb.parts(layout);
    // spec: sev-snp.tcb.floor
    findings.check("policy.tcb", || Some(tcb(facts, wanted, reported)));
    let Claims {
        current_tcb,
        committed_tcb,
        current_version,
        committed_version,
        ..
    } = &facts.claims;
    wish(
        findings,
        "policy.provisional-firmware",
        wanted.policy.snp.forbid_provisional_firmware,
        current_tcb == committed_tcb && current_version == committed_version,
        "the firmware that runs is not committed: the host can roll it back at any time",
    );
}

fn tcb(facts: &SnpFacts, wanted: &Wanted<'_>, reported: Tcb) -> Finding {
    let (floor, bulletin) = floor::built_in(facts.product, facts.claims.cpuid);
    let owner = wanted.reference_values.floor(facts.product);
    let dangerous = wanted.policy.dangerous_floor(facts.product);
    if let Some(owner) = owner.filter(|owner| !reported.at_least(*owner)) {
        return Finding::fail(
            "policy.tcb",
            "the versions are below the owner's minimum_tcb",
        )
        .difference(reported.to_string(), owner.to_string());
    }
    if reported.at_least(floor) {
        return Finding::pass("policy.tcb");
    }
    match dangerous {
        Some((lower, reason)) if reported.at_least(lower) => Finding::warn(
            "policy.tcb",
            format!(
                "the versions are below the floor of {bulletin}; accepted by \
                 dangerous_minimum_tcb: {reason}"
            ),
        ),
        _ => Finding::fail(
            "policy.tcb",
            format!("the versions are below the floor of {bulletin}: known attacks are not fixed"),
        )
        .difference(reported.to_string(), floor.to_string()),
    }
}

/// Measurement or ID block, HOST_DATA and privilege level, against the nearest reference value.
fn workload(
    facts: &SnpFacts,
    profile: BindingProfile,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) {
    let claims = &facts.claims;
    let values = &wanted.reference_values.snp;
    let matching: Vec<&SnpReference> = values
        .iter()
        .filter(|value| is_workload(value, profile, claims))
        .collect();
    // spec: sev-snp.launch.measurement
    findings.check("policy.measurement", || {
        Some(match (wanted.hardware_only, matching.is_empty()) {
            (Some(reason), true) => Finding::unchecked("policy.measurement", reason),
            (_, false) => Finding::pass("policy.measurement"),
            (None, true) => measurement_differs(values, profile, claims),
        })
    });
    // spec: sev-snp.launch.host-data
    findings.check("policy.host-data", || {
        let pinned: Vec<_> = matching
            .iter()
            .filter(|value| !value.host_data.is_empty())
            .collect();
        let fits = |value: &&&SnpReference| value.host_data.iter().any(|v| v.0 == claims.host_data);
        let open = matching.len() > pinned.len();
        let first = pinned.first()?;
        Some(if open || pinned.iter().any(fits) {
            Finding::pass("policy.host-data")
        } else {
            let wanted: Vec<_> = first.host_data.iter().map(|v| hex::encode(v.0)).collect();
            Finding::fail(
                "policy.host-data",
                "HOST_DATA is not what the reference value pins",
            )
            .difference(hex::encode(claims.host_data), wanted.join(" or "))
        })
    });
    // spec: sev-snp.vmpl.declared
    findings.check("policy.vmpl", || {
        let levels: Vec<u32> = matching.iter().map(|value| value.vmpl).collect();
        let declared = if levels.is_empty() { vec![0] } else { levels };
        Some(if declared.contains(&claims.vmpl) {
            Finding::pass("policy.vmpl")
        } else {
            Finding::fail(
                "policy.vmpl",
                "another privilege level than the declared one asked",
            )
            .difference(
                claims.vmpl.to_string(),
                declared
                    .iter()
                    .map(u32::to_string)
                    .collect::<Vec<_>>()
                    .join(" or "),
            )
        })
    });
}

/// Whether this is what the value measures, bound as the value says.
pub(crate) fn is_workload(value: &SnpReference, profile: BindingProfile, claims: &Claims) -> bool {
    value.binding_profile == profile && is_measured(value, claims)
}

fn is_measured(value: &SnpReference, claims: &Claims) -> bool {
    value
        .measurements
        .iter()
        .any(|measurement| measurement.0 == claims.measurement)
        || value
            .id_block
            .as_ref()
            .is_some_and(|block| is_id_block(block, claims))
}

// spec: sev-snp.launch.id-block
fn is_id_block(block: &IdBlock, claims: &Claims) -> bool {
    let id_key = block
        .id_key_digest
        .is_none_or(|digest| digest.0 == claims.id_key_digest);
    let author = block.author_key_digest.is_none_or(|digest| {
        claims.key_info.author_key_en() && digest.0 == claims.author_key_digest
    });
    id_key
        && author
        && block.family_id.0 == claims.family_id
        && block.image_id.0 == claims.image_id
        && claims.guest_svn >= block.minimum_guest_svn
}

fn measurement_differs(
    values: &[SnpReference],
    profile: BindingProfile,
    claims: &Claims,
) -> Finding {
    let because = if values.is_empty() {
        "no reference values were given, so this measurement is unknown; give --reference-values \
         or, to look at the hardware alone, --hardware-only"
    } else if values.iter().any(|value| is_measured(value, claims)) {
        "this measurement is known, but for another binding profile (direct or hcl)"
    } else {
        "this measurement is in none of the reference values"
    };
    let mut of_profile = values
        .iter()
        .filter(|value| value.binding_profile == profile);
    let nearest = of_profile
        .next()
        .and_then(|value| value.measurements.first());
    let nearest = nearest.map_or_else(|| "a known one".to_owned(), |value| hex::encode(value.0));
    Finding::fail("policy.measurement", because)
        .difference(hex::encode(claims.measurement), nearest)
}

fn signer(facts: &SnpFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    // spec: sev-snp.vlek.provider-wanted
    findings.check("policy.provider", || {
        let providers = &wanted.policy.snp.providers;
        let Signer::Vlek { csp_id } = &facts.signer else {
            return wanted.policy.snp.require_provider_key.then(|| {
                let named = match providers.is_empty() {
                    true => "a provider's key".to_owned(),
                    false => providers.join(" or "),
                };
                Finding::fail(
                    "policy.provider",
                    "a chip's own key signed: this machine is not one of the provider's",
                )
                .difference("a chip's own key", named)
            });
        };
        Some(if providers.iter().any(|provider| provider == csp_id) {
            Finding::pass("policy.provider")
        } else if providers.is_empty() {
            Finding::warn(
                "policy.provider",
                format!(
                    "the signing key belongs to the provider {csp_id}, not to one chip, and no \
                     policy names the provider"
                ),
            )
        } else {
            Finding::fail(
                "policy.provider",
                "the signing key belongs to another provider",
            )
            .difference(csp_id.as_str(), providers.join(" or "))
        })
    });
    findings.check("policy.product-name", || {
        (!facts.product_name_agrees).then(|| {
            Finding::warn(
                "policy.product-name",
                "the certificate names another product",
            )
            .difference(facts.product_name.as_str(), facts.product.name())
        })
    });
}

/// Whoever holds a VLEK can sign for any chip that it is loaded into: a root beside the maker's.
fn holder(facts: &SnpFacts) -> Option<RootNamed> {
    let Signer::Vlek { csp_id } = &facts.signer else {
        return None;
    };
    // Where the providers that hold such keys live; of others nobody said.
    let american = [
        ".amazonaws.com",
        ".azure.net",
        ".google.com",
        ".microsoft.com",
    ];
    let jurisdiction = if american.iter().any(|name| csp_id.ends_with(name)) {
        "US"
    } else {
        "unknown"
    };
    Some(RootNamed {
        maker: csp_id.clone(),
        jurisdiction: jurisdiction.to_owned(),
        kind: "provider-key".to_owned(),
        fingerprint: facts.leaf_fingerprint,
        toy: facts.root.toy,
    })
}

/// What no report of this kind can show.
fn not_proved(facts: &SnpFacts, wanted: &Wanted<'_>) -> Vec<NotProved> {
    let mut out = vec![
        NotProved::MakerKeys,
        NotProved::Hands,
        NotProved::AfterLaunch,
    ];
    if wanted.hardware.is_none() {
        out.push(NotProved::OwnMachine);
    }
    if matches!(facts.signer, Signer::Vlek { .. }) {
        out.push(NotProved::WhichChip);
    }
    if matches!(facts.binding, Binding::Unbound { .. }) {
        out.push(NotProved::Freshness);
    }
    out
}

fn notes(facts: &SnpFacts) -> Vec<String> {
    let mut out = facts.notes.clone();
    let layout = facts.product.layout();
    let Claims {
        policy,
        platform_info,
        key_info,
        reported_tcb,
        ..
    } = &facts.claims;
    for (name, bits) in [
        ("POLICY", policy.unknown_bits()),
        ("PLATFORM_INFO", platform_info.unknown_bits()),
        ("KEY_INFO", u64::from(key_info.reserved_bits())),
    ] {
        if bits != 0 {
            out.push(format!(
                "{name} has bits that no known document names: {bits:#x}"
            ));
        }
    }
    if reported_tcb.uses_reserved(layout) {
        out.push("REPORTED_TCB uses bytes that this product's layout leaves unused".to_owned());
    }
    out
}
