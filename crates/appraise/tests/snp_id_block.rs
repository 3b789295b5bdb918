//! An image that is known by who signed it: ID key or author key, family, image and version.

mod told;

use told::{appraised, instant, trusted, wishes};
use zeuge_appraise::ReferenceValues;
use zeuge_sim::{Product, ReportSpec, ToyAmd};

/// A machine that was started with an ID block, signed by an author's key as well.
fn machine() -> ReportSpec {
    ReportSpec {
        guest_svn: 3,
        family_id: [0xfa; 16],
        image_id: [0x1a; 16],
        id_key_digest: [0x1d; 48],
        author_key_digest: [0xa0; 48],
        ..ReportSpec::new(Product::Genoa)
    }
}

/// Whether the machine is known by an ID block of these lines, whatever its measurement.
fn is_known(spec: &ReportSpec, keys: &str, family: &str, image: &str, svn: u32) -> bool {
    let told = ToyAmd::shared().tell(None, spec, instant("2026-03-01T00:00:00Z"));
    let text = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\n\
         [snp.id_block]\n{keys}\nfamily_id = \"{}\"\nimage_id = \"{}\"\n\
         minimum_guest_svn = {svn}\n",
        family.repeat(16),
        image.repeat(16),
    );
    let mut wishes = wishes(spec);
    wishes.reference_values = ReferenceValues::parse(&text).unwrap();
    let (verdict, _) = appraised(&told, &trusted(), &wishes);
    !verdict.failed().contains(&"policy.measurement")
}

// spec: sev-snp.launch.id-block
#[test]
fn an_id_block_counts_with_its_key_family_image_and_version_together() {
    let key = |name: &str, byte: &str| format!("{name} = \"{}\"", byte.repeat(48));
    let (id, author) = (key("id_key_digest", "1d"), key("author_key_digest", "a0"));
    let spec = machine();
    assert!(is_known(&spec, &id, "fa", "1a", 3));
    assert!(is_known(&spec, &author, "fa", "1a", 3));
    assert!(is_known(&spec, &format!("{id}\n{author}"), "fa", "1a", 0));
    assert!(!is_known(&spec, &key("id_key_digest", "1e"), "fa", "1a", 3));
    assert!(!is_known(
        &spec,
        &key("author_key_digest", "a1"),
        "fa",
        "1a",
        3
    ));
    let mixed = format!("{id}\n{}", key("author_key_digest", "a1"));
    assert!(!is_known(&spec, &mixed, "fa", "1a", 3));
    assert!(!is_known(&spec, &id, "fb", "1a", 3));
    assert!(!is_known(&spec, &id, "fa", "1b", 3));
    assert!(!is_known(&spec, &id, "fa", "1a", 4));
}

#[test]
fn zeros_are_no_author() {
    // Without an author key its digest is zero, and KEY_INFO says that there is none.
    let spec = ReportSpec {
        author_key_digest: [0; 48],
        ..machine()
    };
    let zeros = format!("author_key_digest = \"{}\"", "00".repeat(48));
    assert!(!is_known(&spec, &zeros, "fa", "1a", 3));
}
