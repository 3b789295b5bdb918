//! An owner's document is read as it stands or refused with one sentence: every rule about each of the
//! four documents, at its edge.
#![expect(clippy::too_many_lines, reason = "tables: a case is a line")]

use std::fmt::Write as _;

use zeuge_appraise::{
    DocumentError, HardwareRegistry, Policy, ReferenceValues, ReleaseRule, UnixTime,
};

const MEBIBYTE: usize = 1024 * 1024;
/// Marks that begin a part: those of the line that names the schema are four.
const PARTS_MAX: usize = 64 * 1024;

/// Why a document is refused; empty when it is read.
fn because<T>(read: Result<T, DocumentError>) -> String {
    read.err().map(|error| error.because).unwrap_or_default()
}

fn policy(body: &str) -> String {
    because(Policy::parse(&format!(
        "schema = \"zeuge.policy.v1\"\n{body}"
    )))
}

fn values(body: &str) -> String {
    because(ReferenceValues::parse(&format!(
        "schema = \"zeuge.reference-values.v1\"\n{body}"
    )))
}

fn registry(body: &str) -> String {
    because(HardwareRegistry::parse(&format!(
        "schema = \"zeuge.hardware.v1\"\n{body}"
    )))
}

/// A rule in which these lines stand in place of those of a good one.
fn rule(change: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("tenant", "\"a\""),
        ("path", "\"db/key\""),
        ("door", "\"agent\""),
        ("evidence", "[\"snp\"]"),
        ("minimum_suite", "\"x-wing\""),
        ("chips", "\"enrolled\""),
        ("workload", "\"web\""),
    ];
    for (name, value) in change {
        lines.retain(|(known, _)| known != name);
        if !value.is_empty() {
            lines.push((name, value));
        }
    }
    let mut text = "schema = \"zeuge.release-rule.v1\"\n".to_owned();
    for (name, value) in lines {
        let _ = writeln!(text, "{name} = {value}");
    }
    because(ReleaseRule::parse(&text))
}

#[test]
fn a_document_may_have_a_mebibyte_and_not_a_byte_more() {
    let of = |length: usize| {
        let head = "schema = \"zeuge.policy.v1\"\n#";
        let text = format!("{head}{}", "x".repeat(length - head.len()));
        assert_eq!(text.len(), length);
        because(Policy::parse(&text))
    };
    assert_eq!(of(MEBIBYTE - 1), "");
    assert_eq!(of(MEBIBYTE), "");
    assert_eq!(of(MEBIBYTE + 1), "it is longer than 1048576 bytes");
}

#[test]
fn a_document_may_have_so_many_parts_and_not_one_more() {
    let of = |marks: usize| {
        let head = "schema = \"zeuge.policy.v1\"\n#";
        let held = head.bytes().filter(|byte| b".,=[{".contains(byte)).count();
        because(Policy::parse(&format!(
            "{head}{}",
            ",".repeat(marks - held)
        )))
    };
    assert_eq!(of(PARTS_MAX - 1), "");
    assert_eq!(of(PARTS_MAX), "");
    assert_eq!(of(PARTS_MAX + 1), "it has more than 65536 parts");
}

#[test]
fn a_policy_names_known_products_statuses_and_reasons() {
    let floor = |product: &str, reason: &str| {
        format!(
            "[snp.dangerous_minimum_tcb.{product}]\nbecause = \"{reason}\"\nfloor = {{ snp = 1 }}"
        )
    };
    let advisory = |reason: &str, until: &str| {
        format!(
            "[[intel.allowed_advisories]]\nid = \"INTEL-SA-1\"\nbecause = \"{reason}\"\n\
             until = \"{until}\""
        )
    };
    let (unknown, reason) = (
        "\"Rome\" is not a product that this program knows",
        "a dangerous_… setting needs its reason as its value",
    );
    let undated = "the allowance of INTEL-SA-1 needs a reason and an end (RFC 3339)";
    let good = "2027-01-01T00:00:00Z";
    for (body, wanted) in [
        ("[snp]\nrefused_products = [\"Milan\"]".to_owned(), ""),
        (
            "[snp]\nrefused_products = [\"Milan\", \"Rome\"]".to_owned(),
            unknown,
        ),
        (floor("Genoa", "a laboratory"), ""),
        (floor("Rome", "a laboratory"), unknown),
        (floor("Genoa", " "), reason),
        (advisory("seen", good), ""),
        (advisory(" ", good), undated),
        (advisory("seen", "tomorrow"), undated),
        (
            "[intel]\naccepted_statuses = [\"OutOfDate\"]".to_owned(),
            "",
        ),
        (
            "[intel]\naccepted_statuses = [\"OutOfDate\", \"Revoked\"]".to_owned(),
            "the status \"Revoked\" cannot be accepted",
        ),
    ] {
        assert_eq!(policy(&body), wanted, "{body}");
    }
    for place in [
        "intel]\ndangerous_allow_debug",
        "intel]\ndangerous_allow_migration",
        "intel]\ndangerous_without_crl",
        "nitro]\ndangerous_allow_debug",
        "tpm]\ndangerous_without_crl",
        "tpm]\ndangerous_allow_sha1_bank",
        "tpm]\ndangerous_allow_unproven_ak",
        "snp]\ndangerous_allow_debug",
        "snp]\ndangerous_allow_migration",
        "snp]\ndangerous_without_crl",
    ] {
        assert_eq!(
            policy(&format!("[{place} = \"a laboratory\"")),
            "",
            "{place}"
        );
        assert_eq!(policy(&format!("[{place} = \"\"")), reason, "{place}");
    }
}

#[test]
fn a_policy_about_tpms_names_registers_digests_and_keys() {
    let list = |text: &str| format!("\"{text}\" in known_mok_lists is no digest in hex");
    let ima = |text: &str| format!("\"{text}\" in ima.digests is not of the form sha256:hex");
    let (sha1, sha256) = ("11".repeat(20), "11".repeat(32));
    for (body, wanted) in [
        ("pcrs = [\"sha256:0,23\"]".to_owned(), String::new()),
        (
            "pcrs = [\"sha256:0\", \"sha256:0,24\"]".to_owned(),
            "\"sha256:0,24\" names no PCRs; write sha256:0,1,7".to_owned(),
        ),
        (
            "pcrs = [\"md5:0\"]".to_owned(),
            "\"md5:0\" names no PCRs; write sha256:0,1,7".to_owned(),
        ),
        (
            format!("known_mok_lists = [\"{sha1}\", \"{sha256}\"]"),
            String::new(),
        ),
        (
            format!("known_mok_lists = [\"{sha256}\", \"11\"]"),
            list("11"),
        ),
        (
            format!("[tpm.ima]\ndigests = [\"sha256:{sha256}\", \"sha1:{sha1}\"]"),
            String::new(),
        ),
        (
            format!("[tpm.ima]\ndigests = [\"sha256:{sha1}\"]"),
            ima(&format!("sha256:{sha1}")),
        ),
        (format!("[tpm.ima]\ndigests = [\"{sha256}\"]"), ima(&sha256)),
        (
            format!("[tpm.ima]\ndigests = [\"md5:{sha1}\"]"),
            ima(&format!("md5:{sha1}")),
        ),
        ("[tpm.ima]\ndigests = [\"md5:\"]".to_owned(), ima("md5:")),
        ("[tpm.ima]\ndigests = [\"md5:x\"]".to_owned(), ima("md5:x")),
        (
            "[tpm.ima]\nsigners = [\"nobody\"]".to_owned(),
            "an entry of ima.signers is no public key or certificate in PEM".to_owned(),
        ),
    ] {
        assert_eq!(policy(&format!("[tpm]\n{body}")), wanted, "{body}");
    }
}

/// Reference values of one guest with these further lines, and perhaps another.
fn snp(name: &str, lines: &str) -> String {
    format!("[[snp]]\nname = \"{name}\"\n{lines}\n")
}

#[test]
fn values_for_amd_pin_something_under_a_name_that_stands_once() {
    let measured = format!("measurements = [\"{}\"]", "11".repeat(48));
    let block = |key: &str| {
        format!(
            "id_block = {{ {key}family_id = \"{0}\", image_id = \"{0}\", minimum_guest_svn = 1 }}",
            "22".repeat(16)
        )
    };
    let digest = "33".repeat(48);
    for (body, wanted) in [
        (snp("web", &measured), ""),
        (
            snp("web", ""),
            "\"web\" names neither measurements nor an id_block",
        ),
        (
            snp("web", &block("")),
            "the id_block of \"web\" names no key",
        ),
        (
            snp("web", &block(&format!("id_key_digest = \"{digest}\", "))),
            "",
        ),
        (
            snp(
                "web",
                &block(&format!("author_key_digest = \"{digest}\", ")),
            ),
            "",
        ),
        (snp("web", &format!("{measured}\nvmpl = 3")), ""),
        (
            snp("web", &format!("{measured}\nvmpl = 4")),
            "vmpl 4 of \"web\" does not exist",
        ),
        (snp("web", &measured) + &snp("db", &measured), ""),
        (
            snp("web", &measured) + &snp("db", &measured) + &snp("web", &measured),
            "the name \"web\" stands twice",
        ),
        (
            snp("web", &format!("{measured}\nbinding_profile = \"svsm\"")),
            "the binding profile of \"web\" is not supported yet; \"direct\" and \"hcl\" are",
        ),
        ("[minimum_tcb.Turin]\nsnp = 4".to_owned(), ""),
        (
            "[minimum_tcb.Rome]\nsnp = 4".to_owned(),
            "minimum_tcb names the unknown product \"Rome\"",
        ),
    ] {
        assert_eq!(values(&body), wanted, "{body}");
    }
}

#[test]
fn values_for_intel_pin_something_under_a_name_that_stands_once() {
    let value = "11".repeat(48);
    let tdx = |name: &str, lines: &str| format!("[[tdx]]\nname = \"{name}\"\n{lines}\n");
    let sgx = |name: &str, lines: &str| format!("[[sgx]]\nname = \"{name}\"\n{lines}\n");
    let td = format!("mr_td = [\"{value}\"]");
    let enclave = format!("mr_enclave = [\"{}\"]", "22".repeat(32));
    let signer = format!("mr_signer = \"{}\"", "33".repeat(32));
    let nothing = "\"e\" names neither mr_enclave nor mr_signer with isv_prod_id";
    for (body, wanted) in [
        (tdx("td", &td), ""),
        (tdx("td", "mr_td = []"), "\"td\" names no mr_td"),
        (
            tdx(
                "td",
                &format!("{td}\nrtmr = {{ 0 = [\"{value}\"], 3 = [\"{value}\"] }}"),
            ),
            "",
        ),
        (
            tdx("td", &format!("{td}\nrtmr = {{ 4 = [\"{value}\"] }}")),
            "\"td\" names rtmr 4; there are 0 to 3",
        ),
        (
            tdx(
                "td",
                &format!("{td}\nrtmr = {{ 1 = [\"{value}\"], 2 = [] }}"),
            ),
            "rtmr 2 of \"td\" allows nothing",
        ),
        (tdx("td", &td) + &tdx("other", &td), ""),
        (
            tdx("td", &td) + &tdx("td", &td),
            "the name \"td\" stands twice",
        ),
        (
            tdx("td", &format!("{td}\nbinding_profile = \"svsm\"")),
            "the binding profile of \"td\" is not supported yet; \"direct\" and \"hcl\" are",
        ),
        (sgx("e", &enclave), ""),
        (sgx("e", &format!("{signer}\nisv_prod_id = 1")), ""),
        (sgx("e", &signer), nothing),
        (sgx("e", "isv_prod_id = 1"), nothing),
        (sgx("e", ""), nothing),
        (sgx("e", &enclave) + &sgx("f", &enclave), ""),
        (
            sgx("e", &enclave) + &sgx("e", &enclave),
            "the name \"e\" stands twice",
        ),
        // A machine and an enclave may share a name: each is looked up among its own.
        (tdx("e", &td) + &sgx("e", &enclave), ""),
    ] {
        assert_eq!(values(&body), wanted, "{body}");
    }
}

#[test]
fn values_for_tpms_and_nitro_pin_something_that_can_be_reported() {
    let (sha1, sha256, sha384) = ("11".repeat(20), "11".repeat(32), "11".repeat(48));
    let tpm = |lines: &str| format!("[[tpm]]\nname = \"web\"\n{lines}\n");
    let nitro = |name: &str, source: &str, pcrs: &str| {
        format!("[[nitro]]\nname = \"{name}\"\nsource = \"{source}\"\npcrs = {{ {pcrs} }}\n")
    };
    let needs = |index: &str| format!("PCR {index} of \"web\" needs values of its bank");
    let digest = "\"11\" of \"web\" is no digest in hex".to_owned();
    let image = format!("\"0\" = [\"{sha384}\"]");
    let allows =
        |index: u8| format!("PCR {index} of \"web\" allows nothing, or what is no digest in hex");
    let ok = String::new;
    for (body, wanted) in [
        (tpm(""), "\"web\" pins nothing of the boot".to_owned()),
        (
            tpm("pcrs = { sha256 = {} }"),
            "\"web\" pins nothing of the boot".to_owned(),
        ),
        (
            tpm("pcrs = { md5 = { 0 = [\"11\"] } }"),
            "\"web\" names the unknown bank \"md5\"".to_owned(),
        ),
        (
            tpm(&format!("pcrs = {{ sha256 = {{ 23 = [\"{sha256}\"] }} }}")),
            ok(),
        ),
        (
            tpm(&format!("pcrs = {{ sha256 = {{ 24 = [\"{sha256}\"] }} }}")),
            needs("24"),
        ),
        (tpm("pcrs = { sha256 = { 7 = [] } }"), needs("7")),
        (
            tpm(&format!(
                "pcrs = {{ sha256 = {{ 7 = [\"{sha256}\", \"{sha1}\"] }} }}"
            )),
            needs("7"),
        ),
        (tpm(&format!("images = [\"{sha1}\", \"{sha384}\"]")), ok()),
        (tpm("images = [\"11\"]"), digest.clone()),
        (tpm("initrds = [\"11\"]"), digest.clone()),
        (tpm("files = [\"11\"]"), digest.clone()),
        (tpm("sections = { \".linux\" = [\"11\"] }"), digest.clone()),
        (
            tpm("events = [{ pcr = 2, digest = \"11\" }]"),
            digest.clone(),
        ),
        (
            tpm(&format!(
                "images = [\"{sha256}\"]\nnames = {{ \"11\" = \"shim\" }}"
            )),
            digest,
        ),
        (tpm("command_lines = [\"quiet\"]"), ok()),
        (tpm("command_line_patterns = [\"root=*\"]"), ok()),
        (nitro("web", "enclave", &image), ok()),
        (
            nitro("web", "enclave", &image) + &nitro("db", "enclave", &image),
            ok(),
        ),
        (
            nitro("web", "enclave", &image) + &nitro("web", "enclave", &image),
            "the name \"web\" stands twice".to_owned(),
        ),
        (
            nitro("web", "tpm", &image),
            "\"web\" pins no register that tells its image".to_owned(),
        ),
        (
            nitro(
                "web",
                "enclave",
                &format!("{image}, \"31\" = [\"{sha384}\"]"),
            ),
            ok(),
        ),
        (
            nitro(
                "web",
                "enclave",
                &format!("{image}, \"32\" = [\"{sha384}\"]"),
            ),
            "\"web\" names PCR 32; there are 0 to 31".to_owned(),
        ),
        (
            nitro("web", "enclave", &format!("{image}, \"8\" = []")),
            allows(8),
        ),
        (
            nitro(
                "web",
                "enclave",
                &format!("\"0\" = [\"{sha256}\", \"{sha1}\"]"),
            ),
            allows(0),
        ),
        (
            nitro("web", "enclave", "\"0\" = [\"no digest\"]"),
            allows(0),
        ),
    ] {
        assert_eq!(values(&body), wanted, "{body}");
    }
}

#[test]
fn a_registry_names_each_chip_once_and_every_tpm_by_a_key() {
    let chip = |name: &str, id: &str, keys: &str| {
        format!(
            "[[chip]]\nname = \"{name}\"\nchip_id = \"{}\"\nkeys = [{keys}]\n",
            id.repeat(64)
        )
    };
    let key = format!(
        "{{ tcb = \"{}\", public_key = \"{}\" }}",
        "01".repeat(8),
        "02".repeat(32)
    );
    let tpm = |lines: &str| format!("[[tpm]]\nname = \"t\"\n{lines}\n");
    let named = |algorithm: &str, length: usize| {
        tpm(&format!("ak_name = \"{algorithm}{}\"", "55".repeat(length)))
    };
    let nameless = "ak_name of \"t\" is no name of a TPM key in hex";
    for (body, wanted) in [
        (chip("one", "11", &key), ""),
        (chip("one", "11", ""), "\"one\" has no key"),
        (chip("one", "11", &key) + &chip("two", "22", &key), ""),
        (
            chip("one", "11", &key) + &chip("two", "22", &key) + &chip("three", "11", &key),
            "the chip of \"three\" stands twice",
        ),
        (tpm(""), "the TPM \"t\" names no AK"),
        (
            tpm(&format!("ek_certificate = \"{}\"", "66".repeat(32))),
            "the TPM \"t\" names no AK",
        ),
        (tpm(&format!("ak_key = \"{}\"", "66".repeat(32))), ""),
        (named("000b", 32), ""),
        (named("000c", 48), ""),
        (named("000d", 64), ""),
        (named("000b", 31), nameless),
        (named("000b", 48), nameless),
        (named("000c", 32), nameless),
        (named("000d", 48), nameless),
        (named("0012", 32), nameless),
        (tpm("ak_name = \"x\""), nameless),
    ] {
        assert_eq!(registry(&body), wanted, "{body}");
    }
}

#[test]
fn a_rule_demands_known_evidence_through_a_known_door_for_a_workload() {
    let kinds = "evidence names a kind that rules cannot demand yet; \"azure\", \"nitro\", \"snp\", \
                 \"tdx\", \"sgx\" and \"tpm\" are supported";
    let digest = format!("\"{}\"", "11".repeat(32));
    let identity = "it names neither workload nor host_data: firmware alone is not an identity";
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[], ""),
        (
            &[("evidence", "[]")],
            "evidence is empty: a rule names the kinds that must be there",
        ),
        (
            &[(
                "evidence",
                "[\"azure\", \"nitro\", \"snp\", \"tdx\", \"sgx\", \"tpm\"]",
            )],
            "",
        ),
        (&[("evidence", "[\"snp\", \"gpu\"]")], kinds),
        (&[("evidence", "[\"gpu\", \"snp\"]")], kinds),
        (
            &[("door", "\"window\"")],
            "the door is not supported; \"agent\" is",
        ),
        (&[("workload", "")], identity),
        (&[("workload", ""), ("host_data", &digest)], ""),
        (&[("host_data", &digest)], ""),
    ];
    for (change, wanted) in cases {
        assert_eq!(rule(change), wanted, "{change:?}");
    }
}

#[test]
fn an_owners_words_about_machines_and_advisories_are_found_and_no_others() {
    let policy = Policy::parse(
        "schema = \"zeuge.policy.v1\"\n[azure.cleared]\n\"AA-1\" = \"spring\"\n\"bb-2\" = \"autumn\"\n\
         [[intel.allowed_advisories]]\nid = \"INTEL-SA-1\"\nbecause = \"seen\"\n\
         until = \"2026-03-01T00:00:00Z\"",
    )
    .expect("a good policy");
    assert_eq!(policy.azure.cleared_as("aa-1"), Some("spring"));
    assert_eq!(policy.azure.cleared_as("BB-2"), Some("autumn"));
    assert_eq!(policy.azure.cleared_as("cc-3"), None);
    let end = UnixTime(1_772_323_200);
    assert!(policy.intel.allows("INTEL-SA-1", end));
    assert!(!policy.intel.allows("INTEL-SA-1", end.plus(1)));
    assert!(!policy.intel.allows("INTEL-SA-2", end));
}
