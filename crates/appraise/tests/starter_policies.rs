//! The policies that the documentation hands out can be read, weaken nothing, and demand something.

use zeuge_appraise::Policy;

#[test]
fn every_starter_policy_is_read_and_has_nothing_dangerous() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policies");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        Policy::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!text.contains("dangerous_"), "{}", path.display());
        count += 1;
    }
    assert!(count > 0);
}
