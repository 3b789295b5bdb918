//! Reports of machines: the verdict as it was given, the archived bytes that it depended on, the
//! receipt of its leaf, signed with the report key.
//!
//! Judges nothing anew and renders nothing: the reader does both (`zeuge report --machine`), from
//! the same bytes. Never hands out a secret, or what another tenant's machine said.

use zeuge_protocol::api;
use zeuge_protocol::name::Name;
use zeuge_protocol::report::{Opened, Record, SCHEMA, Statement, WitnessReport};

use crate::refusal::Refusal;
use crate::witness::Witness;

/// The ids of this file.
pub const CHECKS: &[&str] = &["archive.missing"];

fn missing(because: &str, wanted: impl Into<String>) -> Refusal {
    Refusal::new("archive.missing", 404, because).difference("nothing", wanted)
}

/// The report of a tenant's machine: of its newest verdict, or of the one with this leaf.
///
/// # Errors
/// `archive.missing` when there is no such verdict, or what it depended on is not archived;
/// `store.unavailable`; `time.jump`; those of the log when no receipt can be made.
pub fn report(
    witness: &Witness,
    tenant: &str,
    machine: &str,
    leaf: Option<u64>,
) -> Result<WitnessReport, Refusal> {
    let made = witness.clock.now()?;
    let row = witness.store.appraisal(tenant, machine, leaf)?;
    let row = row.ok_or_else(|| {
        let because = "there is no verdict on such a machine; see /v1/machines";
        missing(because, format!("{tenant}/{machine}"))
    })?;
    let record = row.record.ok_or_else(|| {
        let because = "this verdict is of an earlier build, which did not note what it rests on";
        missing(because, format!("the record of leaf {}", row.leaf))
    })?;
    let damaged = |error: serde_json::Error| Refusal::store(&error);
    let record: Record = serde_json::from_str(&record).map_err(damaged)?;
    let verdict: api::Verdict = serde_json::from_str(&row.verdict).map_err(damaged)?;
    let evidence = record.evidence;
    let mut held = row.evidence;
    let files = record.files().map(|digest| {
        let bytes = match held.take_if(|_| digest == evidence) {
            Some(bytes) => witness.archive.evidence(&digest.0, Some(bytes)),
            None => witness.archive.read(&digest.0),
        };
        bytes.ok_or_else(|| {
            let because = "the archive does not hold a file any more, or it was changed";
            missing(because, digest.to_string())
        })
    });
    let files = files.collect::<Result<_, _>>()?;
    let signed = witness.sequencer.checkpoint()?;
    let receipt = witness.sequencer.receipt(&signed, row.leaf, &row.entry)?;
    let openings = row.openings.into_iter().map(|opening| Opened {
        label: opening.label,
        salt: opening.salt,
        value: opening.value,
    });
    let statement = Statement {
        schema: SCHEMA.to_owned(),
        witness: witness.id.clone(),
        tenant: Name::parse(tenant)?,
        machine: machine.to_owned(),
        made,
        record,
        verdict,
        receipt: receipt.to_wire(),
        openings: openings.collect(),
    };
    Ok(WitnessReport::sign(
        &statement,
        files,
        &witness.keys.report,
    )?)
}
