//! One controller acts: a Lease that is taken, renewed and given back.
//!
//! Flow: [`keep`] looks at the Lease every two seconds, takes it when it is free or has not changed
//! for its life, and renews it. Whoever wants to write asks [`Seat::demand`] first.
//! Guarantees: an action begins only while the last renewal was *sent* less than [`DEADLINE`] ago
//! by both clocks of this machine, and another takes over only after seeing no change for
//! [`LIFE`]; the clocks of two machines are never compared. A machine that slept notices by its
//! wall clock.
//! Caveat: Kubernetes knows no fencing. A request that was sent in time may be carried out late;
//! changes of Nodes and memories carry the version that was read and fail then.
//! Never creates the Lease: the installation does, so that the controller need not be allowed to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Notify;

use crate::error::Error;
use crate::install::NAMESPACE;

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["kube.lease"];

/// The Lease's name, in the namespace of the installation.
pub const LEASE: &str = "zeuge-kube";
/// How long a Lease lasts that nobody renews.
pub const LIFE: Duration = Duration::from_secs(15);
/// How old the last renewal may be when an action begins; the rest of [`LIFE`] is for requests
/// that are on their way.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How often the Lease is looked at and renewed.
pub const EVERY: Duration = Duration::from_secs(2);
/// The longest life that is believed of somebody else's Lease.
const LIFE_MAX: Duration = Duration::from_secs(60);

/// What one look at the Lease leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is ours already: renew it.
    Renew,
    /// It is free, or its holder is silent: take it.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// Decides: who holds the Lease, and for how long it was seen without a change.
#[must_use]
pub fn turn(own: &str, holder: &str, unchanged: Duration, life: Duration) -> Turn {
    if holder == own {
        Turn::Renew
    } else if holder.is_empty() || unchanged >= life.clamp(LIFE, LIFE_MAX) {
        Turn::Take
    } else {
        Turn::Wait
    }
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady: Instant,
    wall: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Whether less than `life` has passed by both clocks; a wall clock that went back counts as
    /// too long.
    fn younger(&self, life: Duration, now: &Self) -> bool {
        let wall = now.wall.duration_since(self.wall);
        now.steady.duration_since(self.steady) < life && wall.is_ok_and(|passed| passed < life)
    }
}

/// Whether this process holds the Lease.
#[derive(Debug)]
pub struct Seat {
    own: String,
    /// When the last renewal that succeeded was sent.
    renewed: Mutex<Option<Moment>>,
}

impl Seat {
    /// A seat that is not held, for an identity that no other process has.
    #[must_use]
    pub fn new(own: String) -> Self {
        Self {
            own,
            renewed: Mutex::new(None),
        }
    }

    /// Whether an action may begin now.
    #[must_use]
    pub fn held(&self) -> bool {
        let renewed = self.renewed.lock().ok().and_then(|it| *it);
        renewed.is_some_and(|it| it.younger(DEADLINE, &Moment::now()))
    }

    /// Nothing, if an action may begin now.
    ///
    /// # Errors
    /// `kube.lease` otherwise.
    pub fn demand(&self) -> Result<(), Error> {
        if self.held() {
            return Ok(());
        }
        Err(Error::Lease)
    }

    fn set(&self, renewed: Option<Moment>) {
        if let Ok(mut mine) = self.renewed.lock() {
            *mine = renewed;
        }
    }
}

/// An identity that no other process has: the machine's name and random letters.
///
/// # Errors
/// `kube.local` when the system gives no random bytes.
pub fn identity() -> Result<String, Error> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Local("the system gives no random bytes".into()))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(format!("{}_{}", host.trim(), hex::encode(bytes)))
}

/// The Lease as it was last seen to change.
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// Looks after the Lease until the process ends; wakes whoever waits when it is taken.
pub async fn keep(client: Client, seat: Arc<Seat>, wake: Arc<Notify>) {
    let mut seen = Seen {
        version: None,
        since: Instant::now(),
    };
    let mut before = false;
    loop {
        // A request that hangs must not hold up the look after it.
        match tokio::time::timeout(EVERY * 2, look(&client, &seat, &mut seen)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is(409) => seat.set(None),
            Ok(Err(error)) if error.is(404) => tracing::error!(
                check = "kube.lease",
                "the Lease {NAMESPACE}/{LEASE} is missing, nothing acts: zeuge-kube install --apply"
            ),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not renewed"),
            Err(_) => tracing::warn!("the Lease was not renewed in time"),
        }
        let held = seat.held();
        if held != before {
            tracing::info!(own = seat.own, held, "the Lease");
            wake.notify_one();
        }
        before = held;
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(client: &Client, seat: &Seat, seen: &mut Seen) -> Result<(), Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let sent = Moment::now();
    let mut lease = api.get(LEASE).await?;
    if lease.metadata.resource_version != seen.version {
        seen.version.clone_from(&lease.metadata.resource_version);
        seen.since = Instant::now();
    }
    let mut spec = lease.spec.take().unwrap_or_default();
    let holder = spec.holder_identity.clone().unwrap_or_default();
    let secs = spec.lease_duration_seconds.unwrap_or_default();
    let life = Duration::from_secs(u64::try_from(secs).unwrap_or_default());
    let turn = turn(&seat.own, &holder, seen.since.elapsed(), life);
    if turn == Turn::Wait {
        seat.set(None);
        return Ok(());
    }
    let now = jiff::Timestamp::now();
    if turn == Turn::Take {
        spec.acquire_time = Some(MicroTime(now));
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }
    spec.holder_identity = Some(seat.own.clone());
    spec.lease_duration_seconds = i32::try_from(LIFE.as_secs()).ok();
    spec.renew_time = Some(MicroTime(now));
    lease.spec = Some(spec);
    // It carries the version that was read: of two that take it, one gets 409.
    let written = api.replace(LEASE, &PostParams::default(), &lease).await?;
    seen.version = written.metadata.resource_version;
    seen.since = Instant::now();
    seat.set(Some(sent));
    Ok(())
}

/// Gives the Lease back, so that another need not wait; does nothing if it is not ours.
///
/// # Errors
/// `kube.api`.
pub async fn give_back(client: &Client, seat: &Seat) -> Result<(), Error> {
    seat.set(None);
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let mut lease = api.get(LEASE).await?;
    let Some(spec) = lease.spec.as_mut() else {
        return Ok(());
    };
    if spec.holder_identity.as_deref() == Some(&seat.own) {
        spec.holder_identity = None;
        api.replace(LEASE, &PostParams::default(), &lease).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_when_free_or_silent_for_its_life_and_never_earlier() {
        let secs = Duration::from_secs;
        assert_eq!(turn("a", "a", secs(0), LIFE), Turn::Renew);
        assert_eq!(turn("a", "", secs(0), LIFE), Turn::Take);
        assert_eq!(turn("a", "b", secs(14), LIFE), Turn::Wait);
        assert_eq!(turn("a", "b", secs(15), LIFE), Turn::Take);
        // What the Lease says can neither hurry us nor keep us away.
        assert_eq!(turn("a", "b", secs(14), secs(1)), Turn::Wait);
        assert_eq!(turn("a", "b", secs(60), secs(100_000)), Turn::Take);
    }

    #[test]
    fn whoever_slept_does_not_hold_it_by_either_clock() {
        let then = Moment::now();
        let later = |steady: u64, wall: u64| Moment {
            steady: then.steady + Duration::from_secs(steady),
            wall: then.wall + Duration::from_secs(wall),
        };
        assert!(then.younger(DEADLINE, &later(9, 9)));
        assert!(!then.younger(DEADLINE, &later(10, 9)));
        // Suspended: the steady clock stood still.
        assert!(!then.younger(DEADLINE, &later(1, 3600)));
        let back = Moment {
            wall: then.wall - Duration::from_secs(1),
            ..then
        };
        assert!(!then.younger(DEADLINE, &back));
        assert!(DEADLINE + EVERY * 2 < LIFE);
    }

    #[test]
    fn a_seat_that_was_never_taken_refuses() {
        let seat = Seat::new("a".into());
        assert_eq!(seat.demand().unwrap_err().check(), "kube.lease");
        seat.set(Some(Moment::now()));
        assert!(seat.demand().is_ok());
        assert_ne!(identity().unwrap(), identity().unwrap());
    }
}
