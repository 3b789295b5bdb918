//! Audit events: who changed what, and who was denied, one line each in the log on standard error
//! under the target `zeuge::audit`, which no `RUST_LOG` turns off.
//!
//! The same changes stand in the transparency log, with their authors as salted commitments; here
//! they stand by name, for whoever runs the witness. Never holds a token, a secret or evidence.

use std::net::IpAddr;

use crate::tenants::Caller;
use crate::witness::Witness;

/// The target of these events.
pub(crate) const TARGET: &str = "zeuge::audit";

/// A change that was made.
pub(crate) fn done(
    witness: &Witness,
    caller: &Caller,
    action: &'static str,
    (tenant, what): (&str, &str),
) {
    witness.metrics.count("zeuge_audit_events_total", action);
    let actor = caller.name();
    tracing::info!(target: TARGET, actor, action, tenant, what, "done");
}

/// A request that its token, or the want of one, did not allow.
pub(crate) fn denied(witness: &Witness, check: &str, source: IpAddr, (method, path): (&str, &str)) {
    if !check.starts_with("admin.") {
        return;
    }
    witness.metrics.count("zeuge_audit_events_total", "denied");
    tracing::warn!(target: TARGET, %source, check, method, path, "denied");
}
