//! What real files seem to be. Captures stay outside the repository: `ZEUGE_VECTORS` names their
//! folder.

use std::{fs, path::PathBuf};

use zeuge_evidence::{
    kind::{Kind, detect},
    snp::Evidence,
};

#[test]
fn real_files_are_what_their_class_says() {
    let Some(root) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let index = fs::read_to_string(root.join("INDEX.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    let mut refused = Vec::new();
    for row in index.lines().skip(1) {
        let row: Vec<&str> = row.split('\t').collect();
        let bytes = fs::read(root.join(row[0])).unwrap();
        let kind = detect(&bytes);
        if matches!(kind, Kind::SnpJson | Kind::SnpProtobuf)
            && let Err(refusal) = Evidence::read(&bytes)
        {
            refused.push((refusal.check, row[0].to_owned()));
        }
        let right = match row[1] {
            "snp-report" => kind == Kind::SnpReport,
            "tdx-quote" => matches!(kind, Kind::TdxQuote(4 | 5)),
            "sgx-quote" => matches!(kind, Kind::SgxQuote(3..=5)),
            "azure-hcl" => kind == Kind::AzureHcl,
            "eventlog-ccel" | "eventlog-tpm" => !matches!(
                kind,
                Kind::SnpReport | Kind::TdxQuote(_) | Kind::SgxQuote(_)
            ),
            "crl" => matches!(kind, Kind::Crl | Kind::Pem | Kind::Json),
            "amd-cert" => matches!(kind, Kind::Certificate | Kind::Pem | Kind::Unknown),
            "conformance-sev" if row[0].ends_with(".input.json") => kind == Kind::SnpJson,
            "conformance-tdx" if row[0].ends_with(".input.json") => kind == Kind::QuoteJson,
            _ => true,
        };
        seen += 1;
        if !right {
            wrong.push(format!("{}: {kind:?}", row[0]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A report cut short inside sound JSON is the one that its reader refuses.
    assert!(
        refused
            .iter()
            .all(|(check, _)| *check == "snp.report.length"),
        "{refused:?}"
    );
    println!("{seen} files, refused behind the guess: {refused:?}");
}
