//! What `/metrics` says of the present: readiness, log and its lag, queues, collateral, process.
//!
//! Reads only; whoever watches a witness changes nothing in it.

use zeuge_evidence::UnixTime;

use crate::forecast;
use crate::limits::APPRAISALS_MAX;
use crate::metrics::{Gauge, labelled, process};
use crate::refusal::Refusal;
use crate::stops::Brake as _;
use crate::witness::Witness;

/// The whole exposition.
///
/// # Errors
/// `store.unavailable`.
pub(crate) fn text(witness: &Witness) -> Result<String, Refusal> {
    let counted = witness.metrics.text(&present(witness));
    let ages = collateral_ages(witness)?;
    let coming = forecast::gauges(&witness.forecasts.all(witness)?);
    Ok(format!("{counted}{ages}{coming}{}# EOF\n", process()))
}

/// The figures without labels.
fn present(witness: &Witness) -> Vec<Gauge> {
    let size = witness.sequencer.checkpoint();
    let size = size.map_or(0, |signed| signed.checkpoint().size);
    // A database that cannot be read is not ready; of leaves that wait nothing is known then.
    let committed = witness.store.leaves();
    let is_ready = witness.ready().is_ok() && committed.is_ok();
    let lag = committed.unwrap_or(size).saturating_sub(size);
    let load = witness.load.under_way();
    let appraisals = APPRAISALS_MAX.saturating_sub(witness.slots.available_permits());
    vec![
        (
            "zeuge_appraisals_under_way",
            "Appraisals under way.",
            appraisals.to_string(),
        ),
        (
            "zeuge_archive_bytes",
            "Bytes of archived evidence.",
            witness.archive.bytes().to_string(),
        ),
        (
            "zeuge_archive_free_bytes",
            "Bytes of evidence that still fit under the quota.",
            witness.archive.free().to_string(),
        ),
        (
            "zeuge_body_bytes",
            "Bytes of bodies that arrive or are under way.",
            load.bytes.to_string(),
        ),
        (
            "zeuge_connections_open",
            "Connections now.",
            witness.seats.taken().to_string(),
        ),
        (
            "zeuge_log_lag_leaves",
            "Leaves that are committed and under no checkpoint yet.",
            lag.to_string(),
        ),
        (
            "zeuge_log_lag_seconds",
            "For how long the checkpoint has stood still while leaves waited.",
            witness.metrics.standing(size, lag > 0).to_string(),
        ),
        (
            "zeuge_log_size",
            "Entries under the last checkpoint.",
            size.to_string(),
        ),
        (
            "zeuge_ready",
            "Whether this witness can release.",
            u8::from(is_ready).to_string(),
        ),
        (
            "zeuge_release_stops",
            "Machines, or tenants as a whole, whose releases somebody stopped.",
            witness.store.stopped().unwrap_or(0).to_string(),
        ),
        (
            "zeuge_requests_under_way",
            "Requests whose body is there and whose answer is not.",
            load.requests.to_string(),
        ),
        (
            "zeuge_sources",
            "Sources that are told apart now.",
            load.sources.to_string(),
        ),
    ]
}

/// How old the makers' certificates and lists in the caches are.
fn collateral_ages(witness: &Witness) -> Result<String, Refusal> {
    let now = UnixTime(witness.clock.wall());
    let lines = witness.judge.lines();
    let (mut ages, mut left) = (Vec::new(), Vec::new());
    for (prefix, line) in [("", Some(&lines.makers)), ("sim/", lines.sim.as_ref())] {
        let Some(line) = line else {
            continue;
        };
        let held = line.held_ages(now);
        for age in held.map_err(|error| Refusal::store(&error))? {
            let key = format!("{prefix}{}", age.key);
            left.extend(age.left_secs.map(|secs| (key.clone(), secs)));
            ages.push((key, age.oldest_secs));
        }
    }
    let oldest = labelled(
        "zeuge_collateral_age_seconds",
        "Seconds since the oldest of its kind was had from its maker.",
        "key",
        &ages,
    );
    let ends = labelled(
        "zeuge_collateral_list_left_seconds",
        "Seconds until a revocation list in the cache ends.",
        "key",
        &left,
    );
    Ok(format!("{oldest}{ends}"))
}
