//! An SNP report in JSON: the serde form of virtee's library as Trustee's clients send it, and
//! objects that carry the raw bytes in base64, hex or packed with gzip.
//!
//! Puts the 1184 bytes together again exactly, so that the signature can be checked. Widths are
//! strict; a member that is not known is noted and not used. Never fills in a value that the
//! report's layout does not leave at zero.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use serde_json::{Map, Value};

use super::forms::{Builder, Evidence, Form};
use super::table::TABLE_BYTES_MAX;
use super::{Product, Report, TcbLayout, inflate, table};
use crate::{
    Malformed, der,
    json::{is_modest, tree},
};

/// JSON that holds no report, or a broken one.
pub const JSON: &str = "snp.json";
/// A report and five certificates as lists of numbers are under 50 KiB; with logs and proofs of
/// other tools beside them nothing real reaches 100 KiB.
pub const JSON_BYTES_MAX: usize = 512 * 1024;
/// Objects around the report: the deepest real one has two.
const WRAPS_MAX: usize = 4;

/// Fields of virtee's `AttestationReport` that are numbers: names over time, offset, width.
const NUMBERS: [(&[&str], usize, usize); 16] = [
    (&["version"], 0x000, 4),
    (&["guest_svn"], 0x004, 4),
    (&["policy"], 0x008, 8),
    (&["vmpl"], 0x030, 4),
    (&["sig_algo"], 0x034, 4),
    (&["plat_info"], 0x040, 8),
    (&["key_info", "_author_key_en", "author_key_en"], 0x048, 4),
    (&["current_build"], 0x1e8, 1),
    (&["current_minor"], 0x1e9, 1),
    (&["current_major"], 0x1ea, 1),
    (&["committed_build"], 0x1ec, 1),
    (&["committed_minor"], 0x1ed, 1),
    (&["committed_major"], 0x1ee, 1),
    (&["cpuid_fam_id"], 0x188, 1),
    (&["cpuid_mod_id"], 0x189, 1),
    (&["cpuid_step"], 0x18a, 1),
];
/// How many of them, from the front, no version of the library leaves out.
const ALWAYS: usize = 7;
/// Mitigation vectors: absent before version 5 of the report.
const VECTORS: [(&str, usize); 2] = [("launch_mit_vector", 0x1f8), ("current_mit_vector", 0x200)];
/// Fields that are byte strings: name, offset, width.
const STRINGS: [(&str, usize, usize); 10] = [
    ("family_id", 0x010, 16),
    ("image_id", 0x020, 16),
    ("report_data", 0x050, 64),
    ("measurement", 0x090, 48),
    ("host_data", 0x0c0, 32),
    ("id_key_digest", 0x0e0, 48),
    ("author_key_digest", 0x110, 48),
    ("report_id", 0x140, 32),
    ("report_id_ma", 0x160, 32),
    ("chip_id", 0x1a0, 64),
];
/// Fields that are `TCB_VERSION`s: name, offset.
const TCBS: [(&str, usize); 4] = [
    ("current_tcb", 0x038),
    ("reported_tcb", 0x180),
    ("committed_tcb", 0x1e0),
    ("launch_tcb", 0x1f0),
];
/// Firmware versions as objects: name, offset of the build; minor and major follow.
const VERSIONS: [(&str, usize); 2] = [("current", 0x1e8), ("committed", 0x1ec)];
/// Certificates beside the report as other tools name them.
const CERTIFICATES: [(&str, &str); 8] = [
    ("vcek", "VCEK"),
    ("vcek_der_b64", "VCEK"),
    ("vlek", "VLEK"),
    ("ask", "ASK"),
    ("ask_pem", "ASK"),
    ("ark", "ARK"),
    ("amd_root_ca_pem", "ARK"),
    ("crl", "CRL"),
];

type Object = Map<String, Value>;

fn bad(field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(JSON, 0, field, because)
}

/// Reads an object that holds a report.
pub(super) fn read(bytes: &[u8]) -> Result<Evidence, Malformed> {
    der::at_most(bytes, JSON_BYTES_MAX, JSON)?;
    if !is_modest(bytes) {
        return Err(bad("JSON", "it holds more values than any evidence"));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let at = offset(bytes, error.line(), error.column());
        Malformed::invalid(JSON, at, "JSON", "it cannot be read")
    })?;
    find(&value, WRAPS_MAX)
}

/// The offset of a line and column, both counted from one.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let mut left = line.saturating_sub(1);
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if left == 0 {
            break;
        }
        if *byte == b'\n' {
            left = left.saturating_sub(1);
            start = index.saturating_add(1);
        }
    }
    start
        .saturating_add(column.saturating_sub(1))
        .min(bytes.len())
}

/// Finds the report in an object, through at most `wraps` objects around it.
fn find(value: &Value, wraps: usize) -> Result<Evidence, Malformed> {
    let object = value
        .as_object()
        .ok_or_else(|| bad("JSON", "it is no object"))?;
    for kind in ["tee", "platform"] {
        if object
            .get(kind)
            .is_some_and(|tee| tee.as_str() != Some("snp"))
        {
            return Err(bad(kind, "it names another kind of machine"));
        }
    }
    let Some(wraps) = wraps.checked_sub(1) else {
        return Err(bad("JSON", "too many objects lie around the report"));
    };
    let (mut evidence, used) = if object.contains_key("measurement") {
        return report(object);
    } else if let Some(inner) = object.get("attestation_report") {
        let evidence = match inner {
            Value::Object(inner) => report(inner)?,
            other => raw(other, "attestation_report")?,
        };
        (evidence, "attestation_report")
    } else if let Some(inner) = object.get("attestation_doc_b64") {
        (raw(inner, "attestation_doc_b64")?, "attestation_doc_b64")
    } else if let Some(inner) = object.get("body") {
        (raw(inner, "body")?, "body")
    } else if let Some(inner) = object.get("enclaveAttestationReport") {
        (find(inner, wraps)?, "enclaveAttestationReport")
    } else if let Some(inner) = object.get("verification_requests") {
        let only = match inner.as_array().map(Vec::as_slice) {
            Some([only]) => only,
            _ => return Err(bad("verification_requests", "it holds not just one")),
        };
        (find(only, wraps)?, "verification_requests")
    } else {
        let inner = object
            .get("evidence")
            .ok_or_else(|| bad("JSON", "no member holds an SNP report"))?;
        (nested(inner, wraps)?, "evidence")
    };
    beside(object, used, &mut evidence)?;
    Ok(evidence)
}

/// `evidence` is an object, or JSON or raw bytes in base64.
fn nested(value: &Value, wraps: usize) -> Result<Evidence, Malformed> {
    let Value::String(text) = value else {
        return find(value, wraps);
    };
    let bytes = decode(text).ok_or_else(|| bad("evidence", "it is not base64"))?;
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return from_raw(&bytes);
    }
    let inner = tree(&bytes).ok_or_else(|| bad("evidence", "it holds broken JSON"))?;
    find(&inner, wraps)
}

/// Takes certificates from the members beside the report and notes the others.
fn beside(object: &Object, used: &str, evidence: &mut Evidence) -> Result<(), Malformed> {
    for (name, value) in object {
        let certificate = CERTIFICATES.iter().find(|(known, _)| known == name);
        match (name.as_str(), certificate) {
            (name, _) if name == used => {}
            ("tee" | "platform" | "format" | "schema_version", _) => {}
            ("cert_chain", _) => chain(value, evidence)?,
            (_, Some((_, name))) => certify(name, value, evidence)?,
            _ => evidence.ignored("member", name),
        }
    }
    Ok(())
}

/// `cert_chain`: nothing, a list of kind and data, or an object of certificates by name.
fn chain(value: &Value, evidence: &mut Evidence) -> Result<(), Malformed> {
    match value {
        Value::Null => Ok(()),
        Value::Object(chain) => beside(chain, "", evidence),
        Value::Array(chain) => {
            for entry in chain {
                let kind = entry.get("cert_type").unwrap_or(&Value::Null);
                let kind = kind.get("OTHER").unwrap_or(kind);
                let kind = kind
                    .as_str()
                    .ok_or_else(|| bad("cert_type", "it is neither a name nor a GUID"))?;
                let known = CERTIFICATES.iter().find(|(_, name)| *name == kind);
                let name = known.map(|(_, name)| *name).or(table::guid_name(kind));
                if name.is_none() {
                    evidence.ignored("certificate", kind);
                }
                let short: String = kind.chars().take(40).collect();
                let data = entry.get("data").unwrap_or(&Value::Null);
                certify(name.unwrap_or(&short), data, evidence)?;
            }
            Ok(())
        }
        _ => Err(bad("cert_chain", "it is no list of certificates")),
    }
}

/// A certificate as list of numbers, PEM or base64; `null` is none.
fn certify(name: &str, value: &Value, evidence: &mut Evidence) -> Result<(), Malformed> {
    let bytes = match value {
        Value::Null => return Ok(()),
        Value::String(pem) if pem.trim_ascii_start().starts_with("-----BEGIN ") => {
            pem.clone().into_bytes()
        }
        Value::String(text) => {
            decode(text).ok_or_else(|| bad("certificate", "it is neither PEM nor base64"))?
        }
        other => numbers(other).ok_or_else(|| bad("certificate", "it is no list of bytes"))?,
    };
    evidence.endorse(name, bytes, JSON)
}

/// A report that stands as its raw bytes.
fn raw(value: &Value, field: &'static str) -> Result<Evidence, Malformed> {
    let bytes = match value {
        Value::String(text) => decode(text),
        other => numbers(other),
    };
    let bytes = bytes.ok_or_else(|| bad(field, "it is neither base64, hex nor a list of bytes"))?;
    from_raw(&bytes)
}

fn from_raw(bytes: &[u8]) -> Result<Evidence, Malformed> {
    let unpacked;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let limit = Report::LEN.saturating_add(TABLE_BYTES_MAX);
        unpacked = inflate::gunzip(bytes, limit).ok_or_else(|| {
            bad(
                "gzip",
                "it is broken, or holds more than a report and a table",
            )
        })?;
        &unpacked
    } else {
        bytes
    };
    let evidence = Evidence::raw(bytes)?;
    Ok(Evidence {
        form: Form::Json,
        ..evidence
    })
}

/// Base64 of either alphabet, with or without padding, or the hex of a whole report.
fn decode(text: &str) -> Option<Vec<u8>> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    if text.len() == Report::LEN.saturating_mul(2)
        && let Ok(bytes) = hex::decode(text)
    {
        return Some(bytes);
    }
    let alphabet = if text.contains(['-', '_']) {
        base64::alphabet::URL_SAFE
    } else {
        base64::alphabet::STANDARD
    };
    GeneralPurpose::new(&alphabet, ANY).decode(text).ok()
}

/// A list of numbers that are bytes.
fn numbers(value: &Value) -> Option<Vec<u8>> {
    let list = value.as_array()?;
    let byte = |number: &Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
    list.iter().map(byte).collect()
}

/// A byte string of exactly `width` bytes: list of numbers, hex or base64.
fn exactly(value: &Value, width: usize) -> Option<Vec<u8>> {
    let bytes = match value {
        Value::String(text) if text.len() == width.saturating_mul(2) => hex::decode(text).ok()?,
        Value::String(text) => general_purpose::STANDARD.decode(text).ok()?,
        other => numbers(other)?,
    };
    (bytes.len() == width).then_some(bytes)
}

/// Puts the report together from the members of virtee's `AttestationReport`.
fn report(object: &Object) -> Result<Evidence, Malformed> {
    let mut builder = Builder::new();
    let mut used: Vec<&str> = Vec::new();
    for (index, (names, at, width)) in NUMBERS.iter().enumerate() {
        let found = names
            .iter()
            .find_map(|name| Some((*name, object.get(*name)?)))
            .filter(|(_, value)| index < ALWAYS || !value.is_null());
        match found {
            Some((name, value)) => {
                used.push(name);
                let value = value.as_u64();
                value
                    .and_then(|value| builder.put_number(*at, *width, value))
                    .ok_or_else(|| bad(name_of(names), "it is no number of its width"))?;
            }
            None if index < ALWAYS => return Err(bad(name_of(names), "it is missing")),
            None => {}
        }
    }
    for (name, at) in VECTORS {
        used.push(name);
        // Absent or null where the report's version has none: the zeros stay.
        if let Some(value) = object.get(name).filter(|value| !value.is_null()) {
            let value = value.as_u64().ok_or_else(|| bad(name, "it is no number"))?;
            builder.put(at, &value.to_le_bytes());
        }
    }
    for (name, at, width) in STRINGS {
        used.push(name);
        let value = object.get(name).ok_or_else(|| bad(name, "it is missing"))?;
        let bytes = exactly(value, width).ok_or_else(|| bad(name, "it has not its width"))?;
        builder.put(at, &bytes);
    }
    let layout = layout(object);
    for (name, at) in TCBS {
        used.push(name);
        let value = object.get(name).ok_or_else(|| bad(name, "it is missing"))?;
        builder.put(at, &tcb(value, layout, name)?);
    }
    firmware(object, &mut builder, &mut used)?;
    used.push("signature");
    signature(object, &mut builder)?;
    let mut evidence = Evidence::new(builder.finish(), Form::Json);
    for (name, value) in object {
        if !used.contains(&name.as_str()) && !blank(name, value)? {
            evidence.ignored("member", name);
        }
    }
    Ok(evidence)
}

fn name_of(names: &[&'static str]) -> &'static str {
    names.first().copied().unwrap_or_default()
}

/// The layout of the versions by the processor that the report names; `None` when it names none.
fn layout(object: &Object) -> Option<TcbLayout> {
    let byte = |name| u8::try_from(object.get(name)?.as_u64()?).ok();
    let product = Product::from_cpuid(byte("cpuid_fam_id")?, byte("cpuid_mod_id")?)?;
    Some(product.layout())
}

/// A `TCB_VERSION` from its components; `fmc` exists in Turin's layout only.
fn tcb(
    value: &Value,
    layout: Option<TcbLayout>,
    field: &'static str,
) -> Result<[u8; 8], Malformed> {
    let part = |name: &str| u8::try_from(value.get(name)?.as_u64()?).ok();
    let wanted = || bad(field, "a component is missing or no byte");
    let boot_loader = part("bootloader").ok_or_else(wanted)?;
    let tee = part("tee").ok_or_else(wanted)?;
    let snp = part("snp").ok_or_else(wanted)?;
    let microcode = part("microcode").ok_or_else(wanted)?;
    if let Some(reserved) = value.get("_reserved")
        && !zero(reserved)
    {
        return Err(bad(field, "its reserved bytes are not zero"));
    }
    let fmc = match value.get("fmc") {
        None | Some(Value::Null) => None,
        Some(_) => Some(part("fmc").ok_or_else(wanted)?),
    };
    match (layout, fmc) {
        (Some(TcbLayout::Turin) | None, Some(fmc)) => {
            Ok([fmc, boot_loader, tee, snp, 0, 0, 0, microcode])
        }
        (Some(TcbLayout::Milan) | None, None) => Ok([boot_loader, tee, 0, 0, 0, 0, snp, microcode]),
        (Some(TcbLayout::Milan), Some(_)) => Err(bad(field, "this processor has no FMC")),
        (Some(TcbLayout::Turin), None) => Err(bad(field, "the FMC of this processor is missing")),
    }
}

/// Firmware versions, as objects or (in older versions of the library) as numbers of their own.
fn firmware(object: &Object, builder: &mut Builder, used: &mut Vec<&str>) -> Result<(), Malformed> {
    for (name, at) in VERSIONS {
        used.push(name);
        let Some(version) = object.get(name) else {
            let old = ["build", "minor", "major"];
            let there = |part: &&str| object.contains_key(&format!("{name}_{part}"));
            if old.iter().all(there) {
                continue;
            }
            return Err(bad(name, "it is missing"));
        };
        for (part, at) in ["build", "minor", "major"].into_iter().zip(at..) {
            let value = version.get(part).and_then(Value::as_u64);
            value
                .and_then(|value| builder.put_number(at, 1, value))
                .ok_or_else(|| bad(name, "a part is missing or no byte"))?;
        }
    }
    Ok(())
}

/// R and S in 72 bytes each, little-endian.
fn signature(object: &Object, builder: &mut Builder) -> Result<(), Malformed> {
    let signature = object
        .get("signature")
        .ok_or_else(|| bad("signature", "it is missing"))?;
    for (name, at) in [("r", 0x2a0), ("s", 0x2e8)] {
        let number = signature.get(name).and_then(|value| exactly(value, 72));
        let number = number.ok_or_else(|| bad("signature", "R and S need 72 bytes each"))?;
        builder.put(at, &number);
    }
    match signature.get("_reserved") {
        Some(reserved) if !zero(reserved) => {
            Err(bad("signature", "its reserved bytes are not zero"))
        }
        _ => Ok(()),
    }
}

/// Whether a member is one of the library's reserved fields. They are zero here: that is what
/// was put together, and what the report's reader would demand.
fn blank(name: &str, value: &Value) -> Result<bool, Malformed> {
    if !name.starts_with("_reserved") {
        return Ok(false);
    }
    match zero(value) {
        true => Ok(true),
        false => Err(bad("_reserved", "it is not zero")),
    }
}

/// Zero, or a list of zeros.
fn zero(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().all(|number| number.as_u64() == Some(0)),
        other => other.as_u64() == Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::What;
    use proptest::prelude::*;
    use serde_json::json;

    /// A report of version 3 as virtee's library writes it.
    fn sample() -> Value {
        let tcb = json!({"fmc":null,"bootloader":10,"tee":1,"snp":23,"microcode":25});
        json!({
            "version":3,"guest_svn":2,"policy":196_608,"family_id":vec![1;16],"image_id":vec![2;16],
            "vmpl":0,"sig_algo":1,"current_tcb":tcb,"plat_info":37,"key_info":0,
            "report_data":vec![3;64],"measurement":vec![4;48],"host_data":vec![5;32],
            "id_key_digest":vec![6;48],"author_key_digest":vec![7;48],"report_id":vec![8;32],
            "report_id_ma":vec![255;32],"reported_tcb":tcb,"cpuid_fam_id":25,"cpuid_mod_id":160,
            "cpuid_step":2,"chip_id":vec![9;64],"committed_tcb":tcb,
            "current":{"major":1,"minor":55,"build":40},
            "committed":{"major":1,"minor":54,"build":39},"launch_tcb":tcb,
            "signature":{"r":vec![10;72],"s":vec![11;72]}
        })
    }

    fn raw_sample() -> Vec<u8> {
        read(sample().to_string().as_bytes()).unwrap().report
    }

    fn changed(name: &str, value: Value) -> Result<Evidence, Malformed> {
        let mut object = sample();
        object[name] = value;
        Evidence::read(object.to_string().as_bytes())
    }

    #[test]
    fn the_report_is_rebuilt_byte_by_byte() {
        let report = raw_sample();
        assert_eq!(report.len(), 1184);
        assert_eq!(report[..5], [3, 0, 0, 0, 2]);
        assert_eq!(report[0x38..0x40], [10, 1, 0, 0, 0, 0, 23, 25]);
        assert_eq!(
            report[0x180..0x18b],
            [10, 1, 0, 0, 0, 0, 23, 25, 25, 160, 2]
        );
        assert_eq!(report[0x1e8..0x1f0], [40, 55, 1, 0, 39, 54, 1, 0]);
        assert_eq!(report[0x2a0..0x2e8], [10; 72]);
        assert_eq!(report[0x2e8..0x330], [11; 72]);
        assert!(report[0x330..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_turin_report_has_its_fmc_first() {
        let tcb = json!({"fmc":1,"bootloader":3,"tee":2,"snp":5,"microcode":97});
        let mut object = sample();
        for (name, _) in TCBS {
            object[name] = tcb.clone();
        }
        let because = "this processor has no FMC";
        let genoa = Err(bad("current_tcb", because));
        assert_eq!(Evidence::read(object.to_string().as_bytes()), genoa);
        object["cpuid_fam_id"] = json!(0x1a);
        object["cpuid_mod_id"] = json!(2);
        let report = Evidence::read(object.to_string().as_bytes())
            .unwrap()
            .report;
        assert_eq!(report[0x38..0x40], [1, 3, 2, 5, 0, 0, 0, 97]);
    }

    #[test]
    fn widths_are_strict() {
        for (name, value, because) in [
            ("report_data", json!(vec![0; 63]), "it has not its width"),
            ("report_data", json!("00"), "it has not its width"),
            (
                "vmpl",
                json!(4_294_967_296_u64),
                "it is no number of its width",
            ),
            ("version", Value::Null, "it is no number of its width"),
            ("cpuid_step", json!(256), "it is no number of its width"),
            (
                "current_tcb",
                json!({"bootloader":1}),
                "a component is missing or no byte",
            ),
            (
                "current",
                json!({"major":1,"minor":2}),
                "a part is missing or no byte",
            ),
            (
                "signature",
                json!({"r":[1],"s":[2]}),
                "R and S need 72 bytes each",
            ),
            ("launch_mit_vector", json!("x"), "it is no number"),
        ] {
            assert_eq!(changed(name, value), Err(bad(name, because)), "{name}");
        }
        let hexadecimal = changed("report_data", json!("03".repeat(64))).unwrap();
        assert_eq!(hexadecimal.report, raw_sample());
    }

    #[test]
    fn every_wrapping_gives_the_same_report() {
        let b64 = |bytes: &[u8]| general_purpose::STANDARD.encode(bytes);
        let raw = raw_sample();
        let inner = json!({"attestation_report":sample(),"cert_chain":null});
        let unpadded = general_purpose::URL_SAFE_NO_PAD.encode(inner.to_string());
        for wrapped in [
            sample(),
            inner.clone(),
            json!({"platform":"snp","evidence":inner}),
            json!({"platform":"snp","evidence":{"attestation_report":b64(&raw)}}),
            json!({"verification_requests":[{"tee":"snp","evidence":unpadded}]}),
            json!({"attestation_doc_b64":hex::encode(&raw),"schema_version":"1"}),
            json!({"enclaveAttestationReport":{"format":"x","body":b64(&raw)}}),
        ] {
            let evidence = Evidence::read(wrapped.to_string().as_bytes()).unwrap();
            assert_eq!(evidence.report, raw, "{wrapped}");
            assert_eq!((evidence.form, evidence.notes), (Form::Json, vec![]));
        }
    }

    #[test]
    fn certificates_are_named_and_what_is_unknown_is_noted() {
        let evidence = Evidence::read(
            json!({"attestation_report":sample(),"cert_chain":[
                {"cert_type":"VCEK","data":[1,2]},
                {"cert_type":{"OTHER":"00112233-4455-6677-8899-aabbccddeeff"},"data":"AwQ="}],
                "ask_pem":"-----BEGIN CERTIFICATE-----\nBQY=\n-----END CERTIFICATE-----\n",
                "more":1})
            .to_string()
            .as_bytes(),
        )
        .unwrap();
        let other = "00112233-4455-6677-8899-aabbccddeeff";
        let mut held = evidence.endorsements;
        held.sort();
        let wanted = [(other, [3, 4]), ("ASK", [5, 6]), ("VCEK", [1, 2])];
        let wanted = wanted.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        assert_eq!(held, wanted);
        assert_eq!(
            evidence.notes,
            [
                format!("certificate {other} is not used"),
                "member more is not used".to_owned()
            ]
        );
    }

    #[test]
    fn other_kinds_and_other_objects_are_refused_by_name() {
        for (object, field, because) in [
            (
                json!({"tee":"sgx","evidence":"e30"}),
                "tee",
                "it names another kind of machine",
            ),
            (
                json!({"quote":"AA=="}),
                "JSON",
                "no member holds an SNP report",
            ),
            (
                json!({"attestation_doc_b64":"!"}),
                "attestation_doc_b64",
                "it is neither base64, hex nor a list of bytes",
            ),
            (
                json!({"attestation_doc_b64":"H4sI"}),
                "gzip",
                "it is broken, or holds more than a report and a table",
            ),
            (
                json!({"evidence":{"evidence":{"evidence":{"evidence":{}}}}}),
                "JSON",
                "too many objects lie around the report",
            ),
        ] {
            let refused = Evidence::read(object.to_string().as_bytes());
            assert_eq!(refused, Err(bad(field, because)), "{object}");
        }
        let broken = Malformed::invalid(JSON, 4, "JSON", "it cannot be read");
        assert_eq!(Evidence::read(b"{\n  x}"), Err(broken));
        let long = vec![b'{'; JSON_BYTES_MAX + 1];
        let what = What::TooLong {
            limit: JSON_BYTES_MAX,
            found: long.len(),
        };
        let refused = Err(Malformed::new(JSON, JSON_BYTES_MAX, what));
        assert_eq!(Evidence::read(&long), refused);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = read(text.as_bytes());
            let _ = read(format!("{{\"evidence\":{text}}}").as_bytes());
        }

        #[test]
        fn no_change_of_a_report_panics(at in 0_usize..8000, byte: u8) {
            let mut bytes = sample().to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(evidence) = Evidence::read(&bytes) {
                prop_assert_eq!(evidence.report.len(), 1184);
            }
        }
    }
}
