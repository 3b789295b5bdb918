//! Every check of appraisal about Nitro has its lie; debug mode and unknown images are refused.

mod told_enclave;

use told_enclave::{broken, honest_values, machines, values, verdict};
use zeuge_appraise::{Kind, NotProved, ReferenceValues, Word};
use zeuge_sim::{NitroLie, NitroSpec, Room};

#[test]
fn honest_images_are_accepted_but_for_their_toy_root() {
    for spec in machines() {
        let verdict = verdict(None, &spec, &honest_values());
        assert_eq!(broken(&verdict), [""; 0]);
        assert_eq!((verdict.word, verdict.kind), (Word::Warning, Kind::Nitro));
        assert!(verdict.not_proved.contains(&NotProved::ProviderAlone));
        assert_eq!(verdict.not_proved.contains(&NotProved::Memory), spec.tpm);
    }
}

#[test]
fn every_lie_for_appraisal_is_caught_by_its_check_alone() {
    let lies = NitroLie::ALL.iter();
    let lies: Vec<_> = lies.filter(|lie| lie.room() == Room::Appraise).collect();
    let named: Vec<_> = lies.iter().map(|lie| lie.check()).collect();
    assert_eq!(named, zeuge_appraise::nitro::CHECKS);
    for spec in machines() {
        for lie in &lies {
            assert_eq!(
                broken(&verdict(Some(**lie), &spec, &honest_values())),
                [lie.check()]
            );
        }
    }
}

#[test]
fn an_enclave_in_debug_mode_is_refused_even_where_zeros_are_known() {
    let debug = NitroSpec {
        debug: true,
        ..NitroSpec::new(false)
    };
    let verdict = verdict(None, &debug, &values(0));
    assert_eq!(broken(&verdict), ["policy.debug"]);
    assert_eq!(verdict.word, Word::Contraindicated);
}

#[test]
fn an_unknown_image_is_refused_and_an_enclave_is_no_instance() {
    for spec in machines() {
        let unknown = verdict(None, &spec, &values(0x77));
        assert_eq!(broken(&unknown), ["policy.measurement"]);
        let (own, other) = if spec.tpm {
            ("tpm", "enclave")
        } else {
            ("enclave", "tpm")
        };
        let swapped = honest_values()
            .replace(&format!("\"{own}\""), "\"x\"")
            .replace(&format!("\"{other}\""), &format!("\"{own}\""))
            .replace("\"x\"", &format!("\"{other}\""));
        // Both stand there under exchanged names; one of them still fits.
        assert_eq!(broken(&verdict(None, &spec, &swapped)), [""; 0]);
        let only_other = honest_values().replace(&format!("\"{own}\""), &format!("\"{other}\""));
        assert_eq!(
            broken(&verdict(None, &spec, &only_other)),
            ["policy.measurement"]
        );
    }
}

#[test]
fn values_that_pin_no_image_are_refused() {
    let refused = |pcrs: &str| {
        let text = format!(
            "schema = \"zeuge.reference-values.v1\"\n[[nitro]]\nname = \"web\"\n\
             source = \"enclave\"\npcrs = {{ {pcrs} }}\n"
        );
        ReferenceValues::parse(&text).expect_err("refused").because
    };
    let value = "1a".repeat(48);
    assert!(refused(&format!("\"3\" = [\"{value}\"]")).contains("tells its image"));
    assert!(refused("\"0\" = []").contains("allows nothing"));
    assert!(refused("\"0\" = [\"1a\"]").contains("no digest"));
    let both = format!("\"0\" = [\"{value}\"], \"32\" = [\"{value}\"]");
    assert!(refused(&both).contains("there are 0 to 31"));
}
