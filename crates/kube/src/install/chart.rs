//! The Helm chart, made from the same objects: where a value differs between clusters, an
//! expression of Helm stands in its place. Never written by hand.

use serde_json::{Value, json};

use super::daemonset::DaemonSet;
use super::inside::Inside;
use super::{Shape, alerts, daemonset, furnish, inside, objects, yaml};

/// An expression that stands in for a value, written as JSON and so quoted by Helm.
fn value(path: &str) -> String {
    format!("{{{{ .Values.{path} | toJson }}}}")
}

/// The key of the start taint stands inside of other strings, so it is not quoted; the schema of
/// the values lets nothing through that would have to be.
const START_TAINT: &str = "{{ .Values.startTaint }}";

fn placeholders() -> Inside {
    Inside {
        image: value("controller.image"),
        witness: value("controller.witness"),
        audience: value("controller.audience"),
        tenant: value("controller.tenant"),
        api_server_port: "{{ .Values.controller.apiServerPort | int }}".to_owned(),
        monitoring_namespace: value("controller.monitoringNamespace"),
    }
}

fn pods(device: Option<&str>) -> Vec<Value> {
    daemonset::objects(&DaemonSet {
        image: value("daemonset.image"),
        audience: value("daemonset.audience"),
        config: value("daemonset.config"),
        device: device.map(str::to_owned),
    })
}

/// The name of the resource is a key of a map; the schema lets nothing through that would end it.
const DEVICE: &str = "{{ .Values.daemonset.device.resource }}";

fn guarded(switch: &str, mut objects: Vec<Value>) -> String {
    furnish(&mut objects);
    let objects = yaml(&objects);
    format!("{{{{- if .Values.{switch}.enabled }}}}\n{objects}{{{{- end }}}}\n")
}

/// The files of the chart: path and content.
#[must_use]
pub fn files() -> Vec<(&'static str, String)> {
    let shape = Shape {
        start_taint: START_TAINT.to_owned(),
        ..Shape::default()
    };
    vec![
        ("Chart.yaml", chart()),
        ("values.yaml", VALUES.to_owned()),
        ("values.schema.json", schema()),
        ("templates/NOTES.txt", NOTES.to_owned()),
        ("templates/base.yaml", yaml(&objects(&shape))),
        (
            "templates/controller.yaml",
            guarded("controller", inside::objects(&placeholders(), START_TAINT)),
        ),
        (
            "templates/daemonset.yaml",
            guarded("daemonset.configfs", pods(None)),
        ),
        (
            "templates/daemonset-device.yaml",
            guarded("daemonset.device", pods(Some(DEVICE))),
        ),
        (
            "templates/alerts.yaml",
            guarded("alerts", vec![alerts::object()]),
        ),
    ]
}

fn chart() -> String {
    format!(
        "apiVersion: v2\nname: zeuge-kube\ndescription: {}\ntype: application\nversion: {version}\n\
         appVersion: {version:?}\nkubeVersion: \">= 1.30.0-0\"\n",
        env!("CARGO_PKG_DESCRIPTION")
            .split_once(": ")
            .map_or("", |it| it.1),
        version = env!("CARGO_PKG_VERSION"),
    )
}

const VALUES: &str = r#"# The key of the taint with which kubelets must register (--register-with-taints).
startTaint: zeuge.dev/unattested

# The controller as pods of this cluster. Outside of it is stronger: docs/kubernetes.md says why.
controller:
  enabled: false
  # By digest: registry.example/zeuge-kube@sha256:...
  image: ""
  # The file that the option --witness reads: --set-file controller.witness=witness.json
  witness: ""
  audience: ""
  tenant: ""
  # The port of the API server behind its Service, for the network policy.
  apiServerPort: 6443
  # The namespace from which metrics may be fetched.
  monitoringNamespace: monitoring

# On managed clusters only: the agent as a pod of every node. What it brings is shown as declared and
# believed for nothing: docs/kubernetes.md says what is lost. One of the two ways to the device.
daemonset:
  # By digest, with zeuge-kube as its entry point and zeuge-agent on its path.
  image: ""
  audience: ""
  # The agent's configuration: --set-file daemonset.config=agent.json
  config: ""
  # configfs-tsm of the node.
  configfs:
    enabled: false
  # /dev/tpmrm0, brought by the device plugin of this resource.
  device:
    enabled: false
    resource: example.org/tpm

# Rules for the operator of Prometheus (monitoring.coreos.com/v1).
alerts:
  enabled: false
"#;

const NOTES: &str = "\
Nothing acts before there is an AttestationPolicy named default.
Before you uninstall this release, run `zeuge-kube uninstall`: Helm removes the objects, but not
the taints, labels and cordons of nodes.
";

fn schema() -> String {
    let text = json!({"type": "string"});
    let given = json!({"type": "string", "minLength": 1});
    let switch = json!({"type": "object", "properties": {"enabled": {"type": "boolean"}},
        "additionalProperties": false});
    let on = |way: &str| json!({"properties": {way: {"properties": {"enabled": {"const": true}}}}});
    let daemonset = json!({
        "type": "object",
        "properties": {
            "image": text, "audience": text, "config": text, "configfs": switch,
            "device": {"type": "object", "properties": {"enabled": {"type": "boolean"},
                "resource": {"type": "string", "maxLength": 253,
                    "pattern": "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"}},
                "additionalProperties": false}
        },
        "additionalProperties": false,
        "not": {"allOf": [on("configfs"), on("device")]},
        "if": {"anyOf": [on("configfs"), on("device")]},
        "then": {"properties": {"image": given, "audience": given, "config": given}}
    });
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "startTaint": {"type": "string", "maxLength": 316,
                "pattern": "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"},
            "controller": {
                "type": "object",
                "properties": {
                    "enabled": {"type": "boolean"}, "image": text, "witness": text,
                    "audience": text, "tenant": text, "monitoringNamespace": given,
                    "apiServerPort": {"type": "integer", "minimum": 1, "maximum": 65535}
                },
                "additionalProperties": false,
                "if": {"properties": {"enabled": {"const": true}}},
                "then": {"properties": {"image": given, "witness": given, "audience": given,
                    "tenant": given}}
            },
            "daemonset": daemonset,
            "alerts": {"type": "object", "properties": {"enabled": {"type": "boolean"}},
                "additionalProperties": false},
            "global": {"type": "object"}
        },
        "additionalProperties": false
    });
    format!("{schema:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Helm does with the few expressions that the chart uses. Not Helm: whether the real one
    /// agrees is asked by `tests/installation.rs` where it is there.
    fn render(template: &str, values: &Value) -> String {
        let at = |path: &str| {
            let path = path.trim().trim_start_matches(".Values.");
            path.split('.')
                .fold(values, |value, key| &value[key])
                .clone()
        };
        let mut out = String::new();
        let mut rest = template;
        let mut shown = true;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").unwrap();
            let trims = inside.starts_with('-');
            let before = if trims { before.trim_end() } else { before };
            if shown {
                out.push_str(before);
            }
            let inside = inside.trim_start_matches('-').trim();
            match inside.split_once(' ') {
                Some(("if", path)) => shown = at(path) == json!(true),
                None if inside == "end" => shown = true,
                _ if !shown => {}
                _ => {
                    let (path, how) = inside.split_once('|').unwrap_or((inside, ""));
                    let found = at(path);
                    assert!(!found.is_null(), "{inside}");
                    match how.trim() {
                        "toJson" | "int" => out.push_str(&found.to_string()),
                        _ => out.push_str(found.as_str().unwrap()),
                    }
                }
            }
            rest = after;
        }
        assert!(shown, "an if without end");
        out.push_str(rest);
        out
    }

    fn values(enabled: bool) -> Value {
        json!({"startTaint": "example.org/wait",
            "controller": {"enabled": enabled, "image": "r.example/z@sha256:00",
                "witness": "{\"issuer\": \"https://w\"}\n", "audience": "c", "tenant": "t",
                "apiServerPort": 6443, "monitoringNamespace": "monitoring"},
            "daemonset": {"image": "r.example/a@sha256:00", "audience": "c", "config": "{}\n",
                "configfs": {"enabled": enabled}, "device": {"enabled": false,
                    "resource": "tpm.example.org/tpm"}},
            "alerts": {"enabled": enabled}})
    }

    #[test]
    fn the_chart_renders_to_what_the_program_applies() {
        let inside = Inside {
            image: "r.example/z@sha256:00".into(),
            witness: "{\"issuer\": \"https://w\"}\n".into(),
            audience: "c".into(),
            tenant: "t".into(),
            api_server_port: "6443".into(),
            monitoring_namespace: "monitoring".into(),
        };
        let daemonset = |device: Option<&str>| DaemonSet {
            image: "r.example/a@sha256:00".into(),
            audience: "c".into(),
            config: "{}\n".into(),
            device: device.map(str::to_owned),
        };
        // The name sorts where the expression does: here lines are compared, and maps have no order.
        for (enabled, device) in [
            (false, None),
            (true, None),
            (true, Some("tpm.example.org/tpm")),
        ] {
            let shape = Shape {
                start_taint: "example.org/wait".into(),
                inside: enabled.then(|| inside.clone()),
                daemonset: enabled.then(|| daemonset(device)),
                alerts: enabled,
            };
            let templates = files().into_iter();
            let rendered: String = templates
                .filter(|(path, _)| path.ends_with(".yaml") && path.starts_with("templates/"))
                .map(|(_, text)| {
                    let mut values = values(enabled);
                    if device.is_some() {
                        values["daemonset"]["configfs"]["enabled"] = json!(false);
                        values["daemonset"]["device"]["enabled"] = json!(true);
                    }
                    render(&text, &values)
                })
                .collect();
            let documents = |text: &str| {
                let mut documents: Vec<String> =
                    text.split("---\n").map(|it| it.trim().to_owned()).collect();
                documents.retain(|it| !it.is_empty());
                documents
            };
            let wanted = documents(&yaml(&objects(&shape)));
            assert_eq!(documents(&rendered), wanted);
            assert_eq!(wanted.iter().any(|it| it.contains("Deployment")), enabled);
        }
    }

    #[test]
    fn the_committed_chart_is_the_one_that_is_made_and_holds_no_other_files() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/chart/");
        for (path, wanted) in files() {
            let found = std::fs::read_to_string(format!("{root}{path}")).unwrap_or_default();
            assert!(
                found == wanted,
                "deploy/chart/{path}: zeuge-kube install --chart deploy/chart"
            );
        }
        let count = |folder: &str| {
            std::fs::read_dir(format!("{root}{folder}"))
                .unwrap()
                .count()
        };
        assert_eq!(count("") - 1 + count("templates"), files().len());
    }

    #[test]
    fn only_our_own_expressions_are_in_the_templates() {
        for (path, text) in files() {
            for piece in text.split("{{").skip(1) {
                let inside = piece.split("}}").next().unwrap();
                let ours = inside.contains(".Values.") || inside == "- end ";
                assert!(ours, "{path}: {inside}");
            }
        }
    }
}
