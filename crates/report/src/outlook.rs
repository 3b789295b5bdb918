//! What a forecast says about one platform of Intel's, as JSON: one object for each update channel.
//!
//! Judges nothing: from when a policy refuses is taken as it is.

use serde_json::{Value, json};
use zeuge_appraise::{QuoteFacts, outlook::RefusedFrom};

/// What one channel says about a platform.
#[derive(Debug, Clone, Copy)]
pub struct InChannel<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// What is proven, and from when the policy refuses it; or the id of the check that fails, and
    /// why.
    pub outcome: Result<(&'a QuoteFacts, Option<&'a RefusedFrom>), (&'static str, &'a str)>,
}

impl InChannel<'_> {
    /// The object. `refused_from` is null for a platform that stays accepted as long as the
    /// documents say the same.
    #[must_use]
    pub fn json(&self) -> Value {
        match self.outcome {
            Ok((facts, refused)) => json!({
                "channel": self.channel,
                "evaluation_number": facts.evaluation_number,
                "tcb_status": facts.standing.status.as_str(),
                "advisories": facts.standing.advisories,
                "tcb_date": facts.standing.tcb_date.map(|date| date.to_string()),
                "documents_until": facts.collateral_until.to_string(),
                "refused_from": refused.map(|refused| refused.from.to_string()),
                "check": refused.map(|refused| refused.check),
            }),
            Err((check, because)) => json!({
                "channel": self.channel, "check": check, "because": because,
            }),
        }
    }
}

/// Which platform it is, as both channels prove it; nulls where neither does.
#[must_use]
pub fn platform(name: &str, facts: Option<&QuoteFacts>, channels: &[Value]) -> Value {
    json!({
        "name": name,
        "fmspc": facts.map(|facts| hex::encode(facts.platform.fmspc)),
        "ppid": facts.map(|facts| hex::encode(facts.platform.ppid)),
        "channels": channels,
    })
}
