//! What is coming for the machines of Intel's that this witness knows: how each stands in both
//! update channels, and from when its owners' policy would refuse it.
//!
//! Looks into the archive and the caches and asks nobody, for whoever reads the metrics may ask for
//! it. Releases nothing, writes nothing, raises no mark.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use zeuge_appraise::outlook::refused_from;
use zeuge_appraise::{Facts, QuoteFacts};
use zeuge_collateral::{Channel, ChannelFacts, QuoteQuestion};
use zeuge_evidence::UnixTime;
use zeuge_evidence::dcap::Quote;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_report::{InChannel, platform};
use zeuge_verify::Binding;

use crate::appraisal::Wishes;
use crate::documents;
use crate::refusal::Refusal;
use crate::witness::Witness;

/// Machines looked at in one forecast; a quote takes a few milliseconds in each channel.
const MACHINES_MAX: u32 = 1000;
/// For how long a forecast is answered from memory: documents change once a day.
const FRESH_SECS: i64 = 600;

/// One machine's forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its tenant.
    pub tenant: String,
    /// The object of the API.
    pub json: Value,
    /// For each channel the status, or the check that fails, and whether the policy refuses it now.
    pub states: Vec<(Channel, String, bool)>,
}

/// The last forecast, and when it was made.
#[derive(Debug, Default)]
pub struct Forecasts(Mutex<Option<(i64, Arc<Vec<Machine>>)>>);

impl Forecasts {
    /// The forecast of all tenants, at most ten minutes old.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn all(&self, witness: &Witness) -> Result<Arc<Vec<Machine>>, Refusal> {
        let now = witness.clock.wall();
        // Held while it is made: who comes meanwhile waits and takes the same one.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, machines)) = last.as_ref()
            && (0..FRESH_SECS).contains(&now.saturating_sub(*made))
        {
            return Ok(Arc::clone(machines));
        }
        let machines = Arc::new(look(witness, now)?);
        *last = Some((now, Arc::clone(&machines)));
        Ok(machines)
    }
}

fn look(witness: &Witness, now: i64) -> Result<Vec<Machine>, Refusal> {
    let mut wishes: BTreeMap<String, Wishes> = BTreeMap::new();
    let mut found = Vec::new();
    for row in witness.store.machines(None, MACHINES_MAX)? {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(tenant), Some(name)) = (text("tenant"), text("machine")) else {
            continue;
        };
        let leaf = row.get("leaf").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let Some(bundle) = bundle(witness, leaf)? else {
            continue;
        };
        let Some(quote) = bundle
            .only(Media::TdxQuote)
            .or_else(|| bundle.only(Media::SgxQuote))
        else {
            continue;
        };
        if !wishes.contains_key(&tenant) {
            let held = documents::wishes(witness.store.as_ref(), &witness.keys, &tenant, now)?;
            wishes.insert(tenant.clone(), held);
        }
        let (Ok(quote), Some(wishes)) = (Quote::parse(quote), wishes.get(&tenant)) else {
            continue;
        };
        let both = both(witness, &bundle, &quote, &tenant, now)?;
        found.push(machine(tenant, &name, &both, wishes, now));
    }
    Ok(found)
}

/// The archived evidence behind a leaf of the log, where it is evidence with a quote of Intel's.
fn bundle(witness: &Witness, leaf: u64) -> Result<Option<Bundle>, Refusal> {
    let Some((digest, bytes)) = witness.store.evidence_of(leaf)? else {
        return Ok(None);
    };
    let bytes = witness.archive.evidence(&digest, bytes);
    Ok(bytes.and_then(|bytes| Bundle::parse(&bytes).ok()))
}

fn both(
    witness: &Witness,
    bundle: &Bundle,
    quote: &Quote<'_>,
    tenant: &str,
    now: i64,
) -> Result<Vec<ChannelFacts>, Refusal> {
    let mut heap = witness.judge.at_hand().as_ref().clone();
    if let Some(collateral) = bundle.only(Media::IntelCollateral) {
        heap.add("evidence", collateral);
    }
    let question = QuoteQuestion {
        quote,
        heap: &heap,
        binding: &Binding::Unbound {
            because: "a forecast is about the platform".to_owned(),
        },
        channel: Channel::Standard,
        source: "forecast",
        now: UnixTime(now),
    };
    let line = witness.judge.line(tenant);
    tokio::runtime::Handle::current()
        .block_on(line.both_channels(&question, false))
        .map_err(|error| Refusal::store(&error))
}

fn machine(
    tenant: String,
    name: &str,
    both: &[ChannelFacts],
    wishes: &Wishes,
    now: i64,
) -> Machine {
    let at = UnixTime(now);
    let wanted = wishes.wanted(at, None, None);
    let (mut channels, mut states) = (Vec::new(), Vec::new());
    for one in both {
        let channel = one.channel.word();
        match &one.outcome {
            Ok(facts) => {
                let refused = refused_from(facts, &wanted);
                let is_now = refused.as_ref().is_some_and(|refused| refused.from <= at);
                let outcome = Ok((facts, refused.as_ref()));
                channels.push(InChannel { channel, outcome }.json());
                let status = facts.standing.status.as_str().to_owned();
                states.push((one.channel, status, is_now));
            }
            Err(error) => {
                let because = error.to_string();
                let outcome = Err((error.check(), because.as_str()));
                channels.push(InChannel { channel, outcome }.json());
                states.push((one.channel, error.check().to_owned(), false));
            }
        }
    }
    let facts: Option<&QuoteFacts> = both.iter().find_map(|one| one.outcome.as_ref().ok());
    let named = facts.and_then(|facts| {
        let registry = wishes.hardware.as_ref()?;
        registry.name_of(&Facts::from(facts.clone()))
    });
    let mut json = platform(named.unwrap_or(name), facts, &channels);
    if let Some(object) = json.as_object_mut() {
        object.insert("tenant".to_owned(), json!(tenant));
    }
    Machine {
        tenant,
        json,
        states,
    }
}

/// The gauges: how many machines there are by channel and status, and how many the policies refuse.
#[must_use]
pub fn gauges(machines: &[Machine]) -> String {
    let (mut by_status, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (channel, status, is_refused) in machines.iter().flat_map(|machine| &machine.states) {
        let key = format!("channel=\"{channel}\",status=\"{status}\"");
        let count: &mut i64 = by_status.entry(key).or_default();
        *count = count.saturating_add(1);
        let count: &mut i64 = refused.entry(channel.to_string()).or_default();
        *count = count.saturating_add(i64::from(*is_refused));
    }
    let mut out = String::new();
    let name = "zeuge_forecast_machines";
    let help = "Machines of Intel's by update channel and status (or failed check) in it.";
    if !by_status.is_empty() {
        out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    }
    for (labels, count) in &by_status {
        out.push_str(&format!("{name}{{{labels}}} {count}\n"));
    }
    let refused: Vec<_> = refused.into_iter().collect();
    out + &crate::metrics::labelled(
        "zeuge_forecast_refused",
        "Machines of Intel's that their owners' policy refuses under the documents of a channel.",
        "channel",
        &refused,
    )
}
