//! Every real quote is read, and its tree says what its bytes say.

use std::{fs, path::PathBuf};

use zeuge_evidence::{
    annotate::Node,
    dcap::{Evidence, Quote},
};

/// Every printed byte string stands at its offset; parts fill their group without gap or
/// overlap.
fn check(node: &Node, bytes: &[u8], fields: &mut usize) {
    let end = node.offset + node.length;
    assert!(end <= bytes.len(), "{} ends after the input", node.name);
    let content = &bytes[node.offset..end];
    if node.children.is_empty() {
        *fields += 1;
        let is_bytes = hex::decode(&node.value).is_ok_and(|value| value.len() == node.length);
        let is_number = node.length <= 4 && !is_bytes;
        let is_told = node.name == "PCK certificates" || node.name == "trailing bytes";
        let is_version = node.length == 2 && node.value.parse::<u16>().is_ok();
        if is_bytes && !is_version {
            assert_eq!(node.value, hex::encode(content), "{}", node.name);
        } else {
            assert!(
                is_number || is_told || is_version,
                "{}: {}",
                node.name,
                node.value
            );
        }
    }
    let mut at = node.offset;
    for child in &node.children {
        assert_eq!(
            child.offset, at,
            "{} does not follow its neighbour",
            child.name
        );
        check(child, bytes, fields);
        at = child.offset + child.length;
    }
    if !node.children.is_empty() {
        assert_eq!(at, end, "{} is not explained to its end", node.name);
    }
}

#[test]
fn every_real_quote_is_read_and_explained() {
    let Some(folder) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let mut quotes = 0;
    let mut trailing = 0;
    for class in ["tdx-quote", "sgx-quote"] {
        for entry in fs::read_dir(folder.join("open").join(class)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let quote =
                Quote::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(zeuge_evidence::dcap::looks_like(&bytes));
            let tree = quote.annotate();
            assert_eq!(tree.length, bytes.len(), "{}", path.display());
            let mut fields = 0;
            check(&tree, &bytes, &mut fields);
            assert!(fields > 40, "{}: {fields}", path.display());
            quotes += 1;
            trailing += usize::from(!quote.trailing.is_empty());
        }
    }
    assert!(
        quotes > 60 && trailing > 20,
        "{quotes} quotes, {trailing} with trailing bytes"
    );
}

#[test]
fn quotes_in_json_of_other_clients_are_opened() {
    let Some(folder) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let mut opened = 0;
    for name in [
        "evidence-bundle/dstack__quote-report.json",
        "conformance-tdx/tinfoil__300-tdx-v4-happy.input.json",
    ] {
        let bytes = fs::read(folder.join("open").join(name)).unwrap();
        let evidence = Evidence::read(&bytes).unwrap();
        assert!(Quote::parse(&evidence.quote).is_ok(), "{name}");
        opened += 1;
    }
    assert_eq!(opened, 2);
}
