//! Where inputs come from: the folder of captures, and the toy makers.

use std::{fs, path::PathBuf};

use zeuge_evidence::UnixTime;
use zeuge_sim::{Product, ReportSpec, Signer};

/// The folder of captures that `ZEUGE_VECTORS` names.
#[must_use]
pub fn captures() -> Option<PathBuf> {
    std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from)
}

/// One line of the index of captures.
pub struct Capture {
    /// Name of the file.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// The class of the index.
    pub class: String,
    /// The instant to verify at.
    pub at: UnixTime,
}

/// Every capture of these classes.
///
/// # Panics
/// When the folder is not the one that it claims to be.
#[must_use]
pub fn of_classes(folder: &std::path::Path, classes: &[&str]) -> Vec<Capture> {
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("INDEX.tsv");
    let rows = index
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| classes.contains(&row[1]))
        .map(|row| Capture {
            name: row[0].rsplit('/').next().unwrap_or_default().to_owned(),
            bytes: fs::read(folder.join(row[0])).expect("a file of the index"),
            class: row[1].to_owned(),
            at: UnixTime::parse_rfc3339(row[4]).unwrap_or(UnixTime(1_780_000_000)),
        })
        .collect()
}

/// Every certificate and list of these classes, PEM taken apart.
#[must_use]
pub fn der_of_classes(folder: &std::path::Path, classes: &[&str]) -> Vec<(String, Vec<u8>)> {
    let labels = ["CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CRL"];
    let mut out = Vec::new();
    for capture in of_classes(folder, classes) {
        let blocks = zeuge_evidence::der::pem_blocks(&capture.bytes, &labels, 1024);
        if blocks.is_empty() {
            out.push((capture.name, capture.bytes));
        } else {
            out.extend(
                blocks
                    .into_iter()
                    .map(|block| (capture.name.clone(), block)),
            );
        }
    }
    out
}

/// The instant of everything that the toys tell.
pub const NOW: UnixTime = UnixTime(1_772_323_200);

/// A machine of every product with either signing key, in every version of the report.
#[must_use]
pub fn machines() -> Vec<ReportSpec> {
    let mut out = Vec::new();
    for product in Product::ALL {
        for signer in Signer::ALL {
            for version in 2..=5 {
                out.push(ReportSpec {
                    signer,
                    version,
                    ..ReportSpec::new(product)
                });
            }
        }
    }
    out
}
