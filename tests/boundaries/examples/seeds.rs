//! Writes the seeds into a folder, one folder per boundary: `seeds FOLDER`. Files that are there
//! already stay. With `ZEUGE_VECTORS`, `seeds FOLDER --captures` adds real captures (for a folder
//! that is never committed).
#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use std::{fs, path::Path, process::ExitCode};

/// Classes of captures and the boundaries that read them.
const CLASSES: [(&str, &[&str]); 19] = [
    ("amd-cert", &["certificate", "endorsements"]),
    ("azure-hcl", &["azure-hcl", "kind"]),
    ("conformance-sev", &["snp-json", "snp-protobuf", "kind"]),
    ("conformance-tdx", &["quote-forms", "kind"]),
    ("crl", &["crl", "endorsements"]),
    ("eventlog-ccel", &["event-log"]),
    ("eventlog-tpm", &["event-log"]),
    (
        "evidence-bundle",
        &[
            "snp-json",
            "snp-protobuf",
            "quote-forms",
            "tpm-bundle",
            "azure-evidence",
            "kind",
        ],
    ),
    ("ima-log", &["ima"]),
    ("intel-cert", &["certificate", "endorsements"]),
    ("intel-collateral", &["endorsements"]),
    ("nitro", &["nitro", "kind"]),
    ("secureboot", &["secure-boot"]),
    ("sgx-quote", &["quote", "kind"]),
    ("snp-report", &["snp-report", "kind"]),
    ("tdx-quote", &["quote", "kind"]),
    ("tpm-ca", &["certificate"]),
    ("tpm-ek-cert", &["ek", "certificate"]),
    (
        "tpm-quote",
        &["tpm-attest", "tpm-public", "tpm-signature", "tpm-bundle"],
    ),
];
/// Captures above this teach the fuzzer nothing that their beginning does not.
const CAPTURE_BYTES_MAX: u64 = 256 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, captures) = match arguments.as_slice() {
        [folder] => (folder, false),
        [folder, flag] if flag == "--captures" => (folder, true),
        _ => {
            eprintln!("usage: seeds FOLDER [--captures]");
            return ExitCode::FAILURE;
        }
    };
    match write(Path::new(folder), captures) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seeds: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, captures: bool) -> std::io::Result<()> {
    let vectors = std::env::var_os("ZEUGE_VECTORS");
    if let (true, Some(vectors)) = (captures, vectors) {
        for (class, targets) in CLASSES {
            let from = Path::new(&vectors).join("open").join(class);
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                if !entry.metadata()?.is_file() || entry.metadata()?.len() > CAPTURE_BYTES_MAX {
                    continue;
                }
                for target in targets {
                    let to = folder.join(target);
                    fs::create_dir_all(&to)?;
                    fs::copy(entry.path(), to.join(entry.file_name()))?;
                }
            }
        }
        return Ok(());
    }
    for (name, bytes) in zeuge_boundaries::seeds::all() {
        let path = folder.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if !path.exists() {
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}
