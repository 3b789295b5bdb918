//! Hostile input: whatever a file holds, the program ends with the right code, says one clear
//! line, never panics and never takes more memory than its limits allow.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use zeuge_evidence::{UnixTime, kind, snp};
use zeuge_sim::{Product, ReportSpec, ToyAmd, ToyEvidence};
use zeuge_verify::{Anchors, Binding, Endorsements, Error, crypto::AWS_LC};

/// Address space of one call in KiB. The program, its libraries and an input of the largest
/// allowed size fit well; a file of a gibibyte read whole does not.
const MEMORY_KIB_MAX: u32 = 512 * 1024;
/// Signed bytes of a report.
const SIGNED: usize = 0x2a0;
const AT: &str = "2026-03-01T00:00:00Z";

/// Runs the program in bounded memory; a panic or a signal fails the test.
fn zeuge(arguments: &[&str], folder: &Path, input: Option<&[u8]>) -> Output {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -v \"$0\" && exec \"$@\""])
        .arg(MEMORY_KIB_MAX.to_string())
        .arg(env!("CARGO_BIN_EXE_zeuge"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The program may end before it has read everything; that is its right.
    let _ = stdin.write_all(input.unwrap_or_default());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!err.contains("panicked"), "{arguments:?}: {err}");
    assert!(output.status.code().is_some(), "{arguments:?}: {output:?}");
    output
}

fn verify(file: &str, kind: &str, folder: &Path) -> (Option<i32>, serde_json::Value) {
    let arguments = [
        "verify",
        "--unbound",
        "hostile",
        "--at",
        AT,
        "--kind",
        kind,
        "--format",
        "json",
        file,
    ];
    let output = zeuge(&arguments, folder, None);
    let line = String::from_utf8(output.stdout).expect("text");
    assert!(line.lines().count() <= 1, "{line}");
    let said = serde_json::from_str(&line).unwrap_or_default();
    (output.status.code(), said)
}

#[test]
fn bytes_that_are_no_evidence_are_malformed_whatever_they_are_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let put =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
    put("empty", b"");
    put("one", b"\x02");
    put(
        "pdf",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    );
    put("text", b"{\"report\": ");
    put("deep", "[".repeat(1_000_000).as_bytes());
    put("deep-object", "{\"a\":".repeat(500_000).as_bytes());
    put(
        "pem",
        "-----BEGIN CERTIFICATE-----\n".repeat(50_000).as_bytes(),
    );
    // A sparse file: a gibibyte that costs nothing on disk.
    let sparse = File::create(folder.path().join("sparse")).expect("a file");
    sparse.set_len(1 << 30).expect("a sparse file");
    for name in [
        "empty",
        "one",
        "pdf",
        "text",
        "deep",
        "deep-object",
        "pem",
        "sparse",
        "/dev/null",
    ] {
        for kind in ["auto", "azure", "nitro", "snp", "tdx", "sgx", "bundle"] {
            let (code, said) = verify(name, kind, folder.path());
            assert_eq!(code, Some(2), "{name} as {kind}");
            assert_eq!(said["verdict"], "malformed", "{name} as {kind}");
            assert_eq!(said["failed"].as_array().map(Vec::len), Some(1));
        }
        let output = zeuge(&["inspect", name], folder.path(), None);
        assert_eq!(output.status.code(), Some(2), "inspect {name}");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(err.lines().count(), 1, "inspect {name}: {err}");
    }
}

#[test]
fn an_endless_stream_is_cut_at_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, said) = verify("/dev/zero", "auto", folder.path());
    assert_eq!((code, &said["failed"][0]), (Some(2), &kind::UNKNOWN.into()));
    let long = vec![0x20; 9 * 1024 * 1024];
    let output = zeuge(&["inspect", "-"], folder.path(), Some(&long));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_folder_is_a_mistake_of_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(verify(".", "auto", folder.path()).0, Some(1));
    assert_eq!(
        zeuge(&["inspect", "."], folder.path(), None).status.code(),
        Some(1)
    );
}

#[test]
fn hostile_files_among_endorsements_are_skipped() {
    let (told, folder) = (toy(), tempfile::tempdir().expect("a folder"));
    fs::write(folder.path().join("report.bin"), &told.report).expect("a file");
    let amd = folder.path().join("amd");
    fs::create_dir(&amd).expect("a folder");
    for (name, bytes) in &told.endorsements {
        fs::write(amd.join(name), bytes).expect("a file");
        fs::write(amd.join(format!("cut-{name}")), &bytes[..bytes.len() / 2]).expect("a file");
    }
    fs::write(amd.join("a.json"), "[".repeat(100_000)).expect("a file");
    fs::write(amd.join("b.json"), "{\"tcbInfo\":".repeat(100_000)).expect("a file");
    let sparse = File::create(amd.join("sparse")).expect("a file");
    sparse.set_len(1 << 30).expect("a sparse file");
    let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
    fs::write(folder.path().join("trust.json"), trust).expect("a file");
    let arguments = [
        "verify",
        "--unbound",
        "toy",
        "--hardware-only",
        "--at",
        AT,
        "--endorsements",
        "amd",
        "--dangerous-trust-sim",
        "trust.json",
        "report.bin",
    ];
    let output = zeuge(&arguments, folder.path(), None);
    assert_eq!(output.status.code(), Some(10), "{output:?}");
}

/// The header of a TDX quote of version 4 with a body of zeros, made by hand.
fn quote() -> Vec<u8> {
    let mut bytes = vec![4, 0, 2, 0, 0x81, 0, 0, 0];
    bytes.extend([0; 4]);
    bytes.extend(hex::decode("939a7233f79c4ca9940a0db3957f0607").expect("hex"));
    bytes.resize(4096, 0);
    bytes
}

#[test]
fn evidence_that_is_called_by_another_kind_is_malformed() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("quote"), quote()).expect("a file");
    fs::write(folder.path().join("report"), toy().report).expect("a file");
    for (name, kind, check) in [
        ("quote", "snp", "snp.report.version"),
        ("quote", "bundle", kind::UNKNOWN),
        // Both begin with a version, and this report's is 3: the next field decides.
        ("report", "tdx", "dcap.quote.key-type"),
        ("report", "sgx", "dcap.quote.key-type"),
    ] {
        let (code, said) = verify(name, kind, folder.path());
        let found = &said["failed"][0];
        assert_eq!((code, found), (Some(2), &check.into()), "{name} as {kind}");
    }
}

fn toy() -> ToyEvidence {
    let now = UnixTime::parse_rfc3339(AT).expect("an instant");
    ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), now)
}

/// A toy's report at the library, with the toy trusted.
struct Library {
    told: ToyEvidence,
    heap: Endorsements,
    anchors: Anchors,
}

impl Library {
    fn new() -> Self {
        let told = toy();
        let mut heap = Endorsements::new();
        for (name, bytes) in &told.endorsements {
            heap.add(name, bytes);
        }
        let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
        let anchors = Anchors::dangerous_sim(&trust).expect("a trust file");
        Self {
            told,
            heap,
            anchors,
        }
    }

    fn judge(&self, bytes: &[u8]) -> Result<(), Error> {
        let evidence = snp::Evidence::read(bytes)?;
        let report = snp::Report::parse(&evidence.report)?;
        let because = "hostile".to_owned();
        let binding = Binding::Unbound { because };
        let (heap, anchors, at) = (&self.heap, &self.anchors, self.told.at);
        zeuge_verify::snp::snp(&report, heap, anchors, &binding, at, &AWS_LC).map(|_| ())
    }
}

#[test]
fn every_truncation_of_a_report_is_malformed() {
    let library = Library::new();
    let report = &library.told.report;
    assert_eq!(library.judge(report), Ok(()));
    for length in 0..report.len() {
        let refusal = library.judge(&report[..length]);
        assert!(
            matches!(refusal, Err(Error::Malformed(_))),
            "{length} bytes: {refusal:?}"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    for length in (0..report.len()).step_by(report.len() / 20) {
        fs::write(folder.path().join("cut"), &report[..length]).expect("a file");
        let (code, said) = verify("cut", "snp", folder.path());
        assert_eq!(code, Some(2), "{length} bytes");
        assert_eq!(said["failed"][0], "snp.report.length");
        assert_eq!(verify("cut", "auto", folder.path()).0, Some(2));
    }
}

/// A flip in the signed part may make the report malformed, point to another chip or versions
/// (whose leaf is not there), or break the signature: it is never believed.
#[test]
fn every_flipped_bit_of_the_signed_part_is_refused() {
    let library = Library::new();
    for bit in 0..SIGNED * 8 {
        let mut flipped = library.told.report.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refusal = library.judge(&flipped);
        assert!(
            matches!(refusal, Err(Error::Malformed(_) | Error::Untrusted(_))),
            "bit {bit}: {refusal:?}"
        );
    }
}
