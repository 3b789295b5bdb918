//! libFuzzer over one boundary, named by `ZEUGE_FUZZ_TARGET`; built and started by
//! `make fuzz T=name`. What is asserted stands in `tests/boundaries`.
#![no_main]

use std::sync::OnceLock;

use zeuge_boundaries::{Target, by_name, meter::Counting, sparing};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn named() -> &'static Target {
    let name = std::env::var("ZEUGE_FUZZ_TARGET").unwrap_or_default();
    by_name(&name).unwrap_or_else(|| panic!("ZEUGE_FUZZ_TARGET={name:?} is no boundary"))
}

/// The toy makers' keys take seconds: made before the first clock runs.
fn begin() {
    (TARGET.get_or_init(named).run)(&[0, 0]);
    let every = std::env::var("ZEUGE_FUZZ_EVERY").ok();
    sparing::one_in(every.and_then(|every| every.parse().ok()).unwrap_or(16));
}

libfuzzer_sys::fuzz_target!(
    init: begin(),
    |bytes: &[u8]| {
        (TARGET.get_or_init(named).run)(bytes);
    }
);
