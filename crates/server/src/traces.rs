//! Traces, behind the feature `traces`: every span of an attestation as one line of OTLP in JSON
//! (the file form of OpenTelemetry's collector), appended to the file that `serve --traces` names.
//!
//! Sends nothing anywhere and rotates nothing; whoever collects does. What cannot be written is
//! lost: a trace never holds up an attestation for longer than a line takes. Holds what the log
//! holds, never a token, a secret or evidence.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::keys;

/// Writes spans when they close.
pub struct Traces<W> {
    out: Mutex<W>,
}

/// What is known of an open span.
struct Open {
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
    begun: u128,
    attributes: Vec<Value>,
}

/// Nanoseconds since 1970.
fn now() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos())
}

impl Traces<File> {
    /// Appends to a file that only its owner can read.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn append(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        let file = options.create(true).append(true).mode(0o600).open(path);
        let named = |error| io::Error::other(format!("{}: {error}", path.display()));
        Ok(Self::new(file.map_err(named)?))
    }
}

impl<W: Write> Traces<W> {
    /// Writes lines to this.
    pub fn new(out: W) -> Self {
        Self {
            out: Mutex::new(out),
        }
    }
}

/// Fields as attributes.
struct Fields<'a>(&'a mut Vec<Value>);

impl Fields<'_> {
    fn push(&mut self, field: &Field, value: Value) {
        self.0.push(json!({"key": field.name(), "value": value}));
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, json!({"stringValue": format!("{value:?}")}));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, json!({"stringValue": value}));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, json!({"intValue": value.to_string()}));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, json!({"intValue": value.to_string()}));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, json!({"boolValue": value}));
    }
}

impl<S, W> Layer<S> for Traces<W>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let above = span.parent();
        let above = above.as_ref().and_then(|parent| {
            let held = parent.extensions();
            held.get::<Open>().map(|open| (open.trace, open.span))
        });
        let mut trace = [0; 16];
        match above {
            Some((same, _)) => trace = same,
            None => keys::random(&mut trace),
        }
        let mut open = Open {
            trace,
            span: [0; 8],
            parent: above.map(|(_, parent)| parent),
            begun: now(),
            attributes: Vec::new(),
        };
        keys::random(&mut open.span);
        attributes.record(&mut Fields(&mut open.attributes));
        span.extensions_mut().insert(open);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let told = json!({
            "traceId": hex::encode(open.trace),
            "spanId": hex::encode(open.span),
            "parentSpanId": open.parent.map(hex::encode).unwrap_or_default(),
            "name": span.name(),
            "kind": 1,
            "startTimeUnixNano": open.begun.to_string(),
            "endTimeUnixNano": now().to_string(),
            "attributes": open.attributes,
        });
        let service = json!({"key": "service.name", "value": {"stringValue": "zeuged"}});
        let line = json!({"resourceSpans": [{
            "resource": {"attributes": [service]},
            "scopeSpans": [{"scope": {"name": "zeuged"}, "spans": [told]}],
        }]});
        if let Ok(mut out) = self.out.lock() {
            let _ = out.write_all(format!("{line}\n").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_span_is_one_line_under_the_span_that_it_is_part_of() {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(Traces::new(heard.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let attest = tracing::info_span!("attest", tenant = "sim", count = 3_u64);
            attest.in_scope(|| tracing::debug_span!("prove").in_scope(|| {}));
            drop(attest);
            tracing::info_span!("attest").in_scope(|| {});
        });
        let text = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
        let spans: Vec<Value> = text
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
            })
            .collect();
        let [prove, attest, other] = spans.as_slice() else {
            panic!("{text}");
        };
        assert_eq!(
            (&prove["name"], &attest["name"]),
            (&json!("prove"), &json!("attest"))
        );
        assert_eq!(prove["traceId"], attest["traceId"]);
        assert_eq!(prove["parentSpanId"], attest["spanId"]);
        assert_ne!(other["traceId"], attest["traceId"]);
        assert_eq!(other["parentSpanId"], "");
        assert_eq!(attest["attributes"][0]["value"]["stringValue"], "sim");
        assert_eq!(attest["attributes"][1]["value"]["intValue"], "3");
        let nanos = |key: &str| attest[key].as_str().unwrap().parse::<u128>().unwrap();
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
    }
}
