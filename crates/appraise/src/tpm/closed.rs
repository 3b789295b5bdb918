//! Has the machine said that its boot is over?
//!
//! PCR 15 is extended with `zeuge:closed` once the boot secrets were fetched, and nothing but a
//! restart sets it back. Whoever asks later has it in his quote. Never guesses what another value
//! may stand for: only what the owner pinned counts as the beginning.

use sha2::{Digest as _, Sha256};
use zeuge_evidence::tpm::HashAlgorithm;
use zeuge_verify::tpm::TpmFacts;

use super::TpmReference;
use crate::Finding;

/// The register of the mark.
const REGISTER: u32 = 15;
/// What it is extended with, before it is hashed.
const MARK: &[u8] = b"zeuge:closed";

/// PCR 15 of the SHA-256 bank must be quoted, and zero or as one of these reference values pins it.
pub(crate) fn still_open<'a>(
    facts: &TpmFacts,
    values: impl Iterator<Item = &'a TpmReference>,
) -> Finding {
    let fail = |because: &'static str, found: String| {
        Finding::fail("release.closed", because)
            .difference(found, "PCR 15 as it was before the mark")
    };
    let bank = facts.pcrs.get(&HashAlgorithm::SHA256);
    let Some(found) = bank.and_then(|bank| bank.get(&REGISTER)) else {
        return fail(
            "the register that marks the end of the boot was not quoted",
            super::printed(facts),
        );
    };
    let shown = hex::encode(found);
    let index = REGISTER.to_string();
    let pinned = values
        .filter_map(|value| value.pcrs.get("sha256")?.get(&index))
        .flatten()
        .any(|value| value.eq_ignore_ascii_case(&shown));
    if pinned || found.iter().all(|byte| *byte == 0) {
        return Finding::pass("release.closed");
    }
    let closed = Sha256::new_with_prefix([0; 32]).chain_update(Sha256::digest(MARK));
    if closed.finalize().as_slice() == found.as_slice() {
        return fail("the machine has said that its boot is over", shown);
    }
    fail(
        "the register that marks the end of the boot holds something that no reference value \
         names",
        shown,
    )
}
