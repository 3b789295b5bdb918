//! For every id of appraisal about TPMs one verdict in which exactly that check does not hold.
//!
//! What a machine can lie about is told by the toy; what only an owner can wish is wished here.

#![expect(dead_code, reason = "each test uses its part")]

#[path = "../../../verify/tests/told_tpm/mod.rs"]
mod told_tpm;

use std::fmt::Write as _;

use told_tpm::{NOW, judge as prove, trusted};
use zeuge_appraise::{
    Facts, Policy, ReferenceValues, Status, TpmFacts, Verdict, Wanted, judge, tpm::TrustBasis,
};
use zeuge_evidence::tpm::HashAlgorithm;
use zeuge_sim::{
    ToyTpm, TpmLie, TpmSpec,
    tpm::{AkKind, COMMAND_LINE, EkKind, PROGRAMS, digest_of},
};

/// What is proven about the toy's machine, honest or with this lie.
pub(crate) fn facts(lie: Option<TpmLie>) -> TpmFacts {
    let spec = TpmSpec::new(EkKind::P256, AkKind::Ecdsa);
    let told = ToyTpm::shared().tell(lie, &spec, NOW);
    prove(&told, &trusted()).expect("the toy signs well")
}

fn hex_of(name: &str) -> String {
    hex::encode(digest_of(name))
}

/// The value of PCR 1, of a machine whose log did not come along.
pub(crate) fn first_pcr(facts: &TpmFacts) -> String {
    hex::encode(&facts.pcrs[&HashAlgorithm::SHA256][&1])
}

/// What the owner of this machine demands.
pub(crate) fn policy() -> String {
    let all: Vec<String> = (0..16).map(|index: u32| index.to_string()).collect();
    let programs: Vec<String> = PROGRAMS
        .iter()
        .map(|path| format!("\"sha256:{}\"", hex_of(path)))
        .collect();
    format!(
        "schema = \"zeuge.policy.v1\"\n[tpm]\npcrs = [\"sha256:{}\"]\nmakers = [\"toy TPM\"]\n\
         require_event_log = true\nrequire_secure_boot = true\n\
         minimum_sbat = {{ shim = 4, grub = 4 }}\n\
         known_mok_lists = [\"{}\", \"{}\"]\n[tpm.ima]\ndigests = [{}]\n",
        all.join(","),
        hex_of("MokList"),
        hex_of("MokListX"),
        programs.join(", ")
    )
}

/// How this machine boots.
pub(crate) fn reference_values() -> String {
    let honest = facts(None);
    let first = first_pcr(&honest);
    let images = ["shim", "grub", "kernel"].map(|name| format!("\"{}\"", hex_of(name)));
    let mut out = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"web\"\nimages = [{}]\n\
         initrds = [\"{}\"]\nfiles = [\"{}\"]\ncommand_lines = [\"{COMMAND_LINE}\"]\n\
         sections = {{ \".osrel\" = [\"{}\"] }}\npcrs = {{ sha256 = {{ \"1\" = [\"{first}\"] }} }}\n",
        images.join(", "),
        hex_of("initrd"),
        hex_of("vmlinuz"),
        hex_of(".osrel"),
    );
    for event in honest.events.iter().filter(|event| event.pcr == 2) {
        let digest = hex::encode(&event.digest);
        let _ = write!(
            out,
            "[[tpm.events]]\npcr = 2\ndigest = \"{digest}\"\nname = \"as ever\"\n"
        );
    }
    out
}

/// The verdict on these facts under these texts.
pub(crate) fn verdict(facts: TpmFacts, policy: &str, values: &str) -> Verdict {
    let policy = Policy::parse(policy).expect("a good policy");
    let values = ReferenceValues::parse(values).expect("good reference values");
    let wanted = Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: NOW,
    };
    judge(&Facts::from(facts), &[], &wanted)
}

/// A verdict in which this check does not hold.
pub(crate) fn of(id: &str) -> Verdict {
    let (policy, values) = (policy(), reference_values());
    let mut changed = facts(TpmLie::about(id));
    match id {
        // Without the log no other term about the boot can hold.
        "policy.event-log" => {
            let policy = "schema = \"zeuge.policy.v1\"\n[tpm]\nrequire_event_log = true";
            let first = first_pcr(&changed);
            let values = format!(
                "schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"web\"\n\
                 pcrs = {{ sha256 = {{ \"1\" = [\"{first}\"] }} }}"
            );
            verdict(changed, policy, &values)
        }
        "policy.tpm-maker" => verdict(changed, &policy.replace("toy TPM", "Infineon"), &values),
        "dangerous.sha1-bank" => {
            changed.dangerous_sha1_bank = Some("an old board".to_owned());
            verdict(changed, &policy, &values)
        }
        "dangerous.unproven-ak" => {
            changed.trust = TrustBasis::DangerousUnproven {
                because: "a laboratory".to_owned(),
            };
            verdict(
                changed,
                &policy.replace("makers = [\"toy TPM\"]\n", ""),
                &values,
            )
        }
        _ => verdict(changed, &policy, &values),
    }
}

/// The ids that fail, warn or were not checked, the toy's own warning aside.
pub(crate) fn broken(verdict: &Verdict) -> Vec<&'static str> {
    let findings = verdict.findings.iter();
    findings
        .filter(|finding| finding.status != Status::Pass && finding.id != "dangerous.sim-root")
        .map(|finding| finding.id)
        .collect()
}
