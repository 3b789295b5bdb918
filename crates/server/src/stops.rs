//! Stops: somebody who runs things says that machines of a tenant, or all of them, get no secrets
//! from here until somebody lifts that (DESIGN §5.4).
//!
//! Only tightens: a stop is no reason to release anything, and lifting one leaves what the owners
//! signed. It ends by nobody's clock and with nobody's process: whoever set it may be gone, and
//! secrets must not flow because of that. Never touches verdicts, tokens or what was released.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeuge_protocol::name::Name;

use crate::appraisal::Appraised;
use crate::audit;
use crate::http::{change, json_answer};
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;
use crate::session::{blocking, malformed};
use crate::tenants::caller;
use crate::witness::Witness;

/// The id of this file.
pub const CHECKS: &[&str] = &["release.stopped"];
/// The longest request in bytes: [`LEAVES_MAX`] numbers of leaves and a sentence.
pub const STOP_BYTES_MAX: usize = 128 * 1024;
/// Machines in one request: a cluster of the size that Kubernetes is made for.
pub const LEAVES_MAX: usize = 5000;
/// Machines that are stopped in one tenant: twice that cluster, and some by hand.
pub const STOPPED_MAX: usize = 16_384;
/// Bytes of a reason.
const BECAUSE_BYTES_MAX: usize = 512;

/// One line of a stop, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopRow {
    /// The stop's name; several lines share one, and are lifted together.
    pub name: String,
    /// The machine, as verdicts name it; absent: every machine of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Why.
    pub because: String,
    /// Since when, in Unix seconds.
    pub since: i64,
}

/// What is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The stop's name.
    pub name: String,
    /// Why.
    pub because: String,
    /// The leaves of verdicts of the machines; absent: every machine of the tenant.
    pub leaves: Option<Vec<u64>>,
}

/// What a request changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// Machines, or everything, that were not stopped under this name before.
    pub new: usize,
    /// Leaves that are no verdict of this tenant.
    pub unknown: Vec<u64>,
}

/// Where stops stay. What changes one starts a new epoch of its tenant in the same transaction as
/// its leaf, so that nothing is released under the state before; what changes nothing writes none.
pub trait Brake: Send + Sync {
    /// The stops of a tenant.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn stops(&self, tenant: &str) -> Result<Vec<StopRow>, Refusal>;
    /// Adds to the stop of this name; takes nothing from it.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`; `request.malformed` for more than [`STOPPED_MAX`].
    fn stop(
        &self,
        tenant: &str,
        wanted: &Wanted,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<Stopped, Refusal>;
    /// Lifts the stop of this name; how many lines it had.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn lift(&self, tenant: &str, name: &str, leaf: &NewLeaf, now: i64) -> Result<usize, Refusal>;
    /// How many lines there are in all tenants.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn stopped(&self) -> Result<u64, Refusal>;
}

/// The stops of one tenant, to be asked about machines.
#[derive(Debug, Default)]
pub struct Stops {
    all: Option<String>,
    machines: BTreeMap<String, String>,
}

impl Stops {
    /// From their lines.
    #[must_use]
    pub fn of(rows: Vec<StopRow>) -> Self {
        let mut stops = Self::default();
        for row in rows {
            match row.machine {
                None => stops.all = Some(row.name),
                Some(machine) => _ = stops.machines.insert(machine, row.name),
            }
        }
        stops
    }

    /// Demands that nobody stopped this machine, or all. It is known by its chip too: a name that
    /// owners give it later must not free it.
    ///
    /// # Errors
    /// `release.stopped`.
    pub(crate) fn demand(&self, appraised: &Appraised) -> Result<(), Refusal> {
        self.holds([&appraised.machine, &appraised.evidence.chip()])
    }

    fn holds(&self, machine: [&str; 2]) -> Result<(), Refusal> {
        let named = || machine.iter().find_map(|one| self.machines.get(*one));
        let Some(name) = self.all.as_ref().or_else(named) else {
            return Ok(());
        };
        let because = "who runs this witness, or the cluster of this machine, stopped its secrets; \
                       the stop lasts until an operator lifts it";
        Err(Refusal::new("release.stopped", 403, because)
            .difference(format!("the stop {name}"), "no stop"))
    }
}

/// A request as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: Name,
    because: String,
    #[serde(default)]
    leaves: Option<Vec<u64>>,
}

impl Asked {
    fn wanted(self) -> Result<Wanted, Refusal> {
        let refused = |because: &str| Err(Refusal::new("request.malformed", 400, because));
        let length = self.because.len();
        if self.because.trim().is_empty() || length > BECAUSE_BYTES_MAX {
            return refused("say why, in at most 512 bytes");
        }
        let count = self.leaves.as_ref().map_or(1, Vec::len);
        if count == 0 || count > LEAVES_MAX {
            return refused("name 1 to 5000 leaves of verdicts, or none of them for every machine");
        }
        Ok(Wanted {
            name: self.name.to_string(),
            because: self.because,
            leaves: self.leaves,
        })
    }
}

/// Whose stop, and which.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    tenant: String,
    name: Option<Name>,
}

type Shared = State<Arc<Witness>>;
type Answer = Result<Response, Refusal>;

/// Lists the stops of a tenant.
pub(crate) async fn list(
    State(witness): Shared,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Answer {
    caller(&witness, &headers).await?.may_read(&which.tenant)?;
    let rows = blocking(move || witness.store.stops(&which.tenant)).await?;
    json_answer(&json!({"stops": rows}))
}

/// Stops machines, or with no leaves all of the tenant; a cluster's token only machines.
pub(crate) async fn tighten(
    State(witness): Shared,
    Query(which): Query<Which>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let tenant = which.tenant;
    caller.may_tighten(&tenant)?;
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    let wanted = asked.wanted()?;
    if wanted.leaves.is_none() {
        caller.may_change(&tenant)?;
    }
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("release-stop")?);
    let (of, name) = (tenant.clone(), wanted.name.clone());
    let done = change(witness, move |witness, now| {
        witness.store.stop(&of, &wanted, &leaf, now)
    })
    .await?;
    if done.new > 0 {
        audit::done(&this, &caller, "release-stop", (&tenant, &name));
    }
    json_answer(&json!({"tenant": tenant, "name": name, "new": done.new, "unknown": done.unknown}))
}

/// Lifts a stop with all of its lines.
pub(crate) async fn lift(
    State(witness): Shared,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let tenant = which.tenant;
    caller.may_change(&tenant)?;
    let unsaid = || Refusal::new("request.malformed", 400, "say which with &name=NAME");
    let name = which.name.ok_or_else(unsaid)?.to_string();
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("release-resume")?);
    let (of, named) = (tenant.clone(), name.clone());
    let lifted = change(witness, move |witness, now| {
        witness.store.lift(&of, &named, &leaf, now)
    })
    .await?;
    if lifted > 0 {
        audit::done(&this, &caller, "release-resume", (&tenant, &name));
    }
    json_answer(&json!({"tenant": tenant, "name": name, "lifted": lifted}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, machine: Option<&str>) -> StopRow {
        StopRow {
            name: name.to_owned(),
            machine: machine.map(str::to_owned),
            because: "a test".to_owned(),
            since: 0,
        }
    }

    #[test]
    fn a_stop_is_for_the_machines_that_it_names_or_for_all() {
        let none = Stops::default();
        assert_eq!(none.holds(["m", "chip"]), Ok(()));
        let some = Stops::of(vec![row("a", Some("m"))]);
        for machine in [["m", "chip"], ["a name", "m"]] {
            assert_eq!(some.holds(machine).unwrap_err().check, "release.stopped");
        }
        assert_eq!(some.holds(["n", "chip"]), Ok(()));
        let all = Stops::of(vec![row("a", Some("m")), row("b", None)]);
        let refusal = all.holds(["n", "chip"]).unwrap_err();
        assert_eq!(refusal.check, "release.stopped");
        assert!(refusal.to_string().contains("the stop b"), "{refusal}");
    }

    #[test]
    fn a_request_says_why_and_names_some_machines_or_none() {
        let wanted = |body: &str| serde_json::from_str::<Asked>(body).unwrap().wanted();
        assert!(wanted(r#"{"name":"c","because":"x","leaves":[1]}"#).is_ok());
        assert_eq!(
            wanted(r#"{"name":"c","because":"x"}"#).unwrap().leaves,
            None
        );
        for body in [
            r#"{"name":"c","because":" "}"#.to_owned(),
            r#"{"name":"c","because":"x","leaves":[]}"#.to_owned(),
            format!(r#"{{"name":"c","because":"{}"}}"#, "x".repeat(513)),
            format!(
                r#"{{"name":"c","because":"x","leaves":[{}0]}}"#,
                "0,".repeat(5000)
            ),
        ] {
            assert_eq!(wanted(&body).unwrap_err().check, "request.malformed");
        }
    }
}
