//! Break-glass in the cluster: what owners waived ([`zeuge_protocol::waiver`]), put into what is
//! known about machines.
//!
//! Believed only under the owner set of the controller's own file. Whoever runs the API server can
//! withhold a waiver and cannot make one. Lets nobody join: a certificate needs a result. Shown in
//! the verdict of each node that it is about.

use std::collections::BTreeMap;

pub use zeuge_protocol::waiver::{
    Believed, WAIVER_BYTES_MAX, WAIVER_SECS_MAX, Waiver, believe, read, until,
};

use crate::model::Node;
use crate::owner::OwnerKey;

/// The check ids of this module: a node counts by a waiver; a waiver does not count.
pub const CHECKS: &[&str] = &["kube.waiver", "kube.waiver.refused"];

/// The waiver's text, signed.
#[must_use]
pub fn sign(waiver: &Waiver, keys: &[OwnerKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|owner| &owner.key).collect();
    zeuge_protocol::waiver::sign(waiver, &keys)
}

/// The waiver in a sentence.
#[must_use]
pub fn told(believed: &Believed) -> String {
    let until = jiff::Timestamp::from_second(believed.waiver.until);
    format!(
        "{} of {} until {} by {}: {}",
        believed.waiver.checks.join(" "),
        believed.waiver.nodes.join(" "),
        until.map_or_else(|_| String::new(), |it| it.to_string()),
        believed.people.join(" and "),
        believed.waiver.because
    )
}

/// Puts waivers into what is known about machines. `failed` names the failed checks of a node.
pub fn apply(
    waivers: &[Believed],
    nodes: &mut BTreeMap<String, Node>,
    failed: &dyn Fn(&str) -> Option<Vec<String>>,
) {
    let silence = [
        "kube.node.stale".to_owned(),
        "kube.node.rebooted".to_owned(),
    ];
    for (name, node) in nodes.iter_mut().filter(|_| !waivers.is_empty()) {
        let until = |checks: &[String]| {
            let covering = waivers.iter();
            covering
                .filter_map(|it| it.waiver.covers(name, checks))
                .max()
        };
        node.waived_until = failed(name).and_then(|checks| until(&checks));
        node.silence_waived_until = until(&silence);
    }
}
