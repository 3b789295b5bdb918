//! `zeuge inspect`: what the bytes say, field by field, believed by nobody.

use std::{fmt::Write as _, path::Path};

use serde_json::{Value, json};
use zeuge_evidence::{
    Malformed, annotate::Node, azure, dcap, der, eventlog, google, ima, kind, nitro, snp, tpm, x509,
};
use zeuge_protocol::api::VerdictWord;

use crate::{
    Outcome,
    args::{Format, Inspect},
    input,
};

/// Certificates in one PEM file that are shown.
const PEM_BLOCKS_MAX: usize = 64;
/// Hex longer than this is cut in text; `--format json` has it whole.
const VALUE_CHARACTERS_MAX: usize = 130;

/// Runs the command.
pub(crate) fn run(arguments: &Inspect) -> Outcome {
    if arguments.format == Format::Ear {
        return Err("inspect prints text or json".to_owned());
    }
    let mut codes = Vec::new();
    for file in &arguments.files {
        match one(file, arguments.format) {
            Ok(code) => codes.push(code),
            Err(sentence) => {
                crate::complain(&sentence);
                codes.push(crate::USAGE);
            }
        }
    }
    Ok(VerdictWord::worst(codes))
}

fn one(file: &Path, format: Format) -> Outcome {
    let bytes = input::read(file)?;
    let name = file.display().to_string();
    match tree(&bytes) {
        Ok((kind, nodes)) => {
            let text = match format {
                Format::Json | Format::Ear => {
                    let nodes: Vec<Value> = nodes.iter().map(node).collect();
                    let whole = json!({
                        "schema": "zeuge.inspect.v1",
                        "file": name,
                        "kind": kind,
                        "believed": false,
                        "fields": nodes,
                    });
                    format!("{whole}\n")
                }
                Format::Text => text(&name, kind, &nodes),
            };
            crate::say(&text)?;
            Ok(0)
        }
        Err(malformed) => {
            crate::complain(&format!("{name}: {}: {malformed}", malformed.check));
            Ok(VerdictWord::Malformed.exit_code())
        }
    }
}

fn tree(bytes: &[u8]) -> Result<(&'static str, Vec<Node>), Malformed> {
    use kind::Kind;
    der::at_most(bytes, input::INPUT_BYTES_MAX, kind::UNKNOWN)?;
    let one = |node: Node| vec![node];
    match kind::detect(bytes) {
        Kind::SnpReport | Kind::SnpJson | Kind::SnpProtobuf => {
            Ok(("snp", snp::annotate::evidence(bytes).map(one)?))
        }
        Kind::AzureHcl => Ok(("azure", azure::annotate(bytes).map(one)?)),
        Kind::AzureJson => Ok(("azure", azure_parts(bytes)?)),
        Kind::GoogleEndorsement => Ok(("google-endorsement", google::annotate(bytes).map(one)?)),
        Kind::NitroCose => {
            let (document, _) = nitro::unwrapped(bytes)?;
            Ok(("nitro", nitro::annotate(&document).map(one)?))
        }
        Kind::TdxQuote(_) => Ok((
            "tdx",
            dcap::Quote::parse(bytes).map(|quote| one(quote.annotate()))?,
        )),
        Kind::SgxQuote(_) => Ok((
            "sgx",
            dcap::Quote::parse(bytes).map(|quote| one(quote.annotate()))?,
        )),
        Kind::TdxProtobuf | Kind::QuoteJson => {
            let evidence = dcap::Evidence::read(bytes)?;
            let quote = dcap::Quote::parse(&evidence.quote)?;
            Ok(("quote", one(quote.annotate())))
        }
        Kind::Certificate => Ok(("certificate", certificate(bytes)?)),
        Kind::Crl => Ok(("crl", x509::annotate::annotate(bytes, 0).map(one)?)),
        Kind::TpmAttest => Ok(("tpm", tpm::annotate_attest(bytes, 0).map(one)?)),
        Kind::EventLog => Ok(("eventlog", event_log(bytes).map(one)?)),
        Kind::ImaList => Ok(("ima", ima::annotate(bytes).map(one)?)),
        Kind::TpmPublic => Ok(("tpm", tpm::annotate_public(bytes, 0).map(one)?)),
        Kind::TpmQuote | Kind::TpmJson => Ok(("tpm", quotes(bytes)?)),
        _ => wrapped(bytes),
    }
}

/// A certificate, and the quote that it carries, if it carries one.
fn certificate(bytes: &[u8]) -> Result<Vec<Node>, Malformed> {
    let mut nodes = vec![x509::annotate::annotate(bytes, 0)?];
    if let Some(carried) = zeuge_evidence::ratls::Carried::read(bytes)? {
        nodes.push(dcap::Quote::parse(&carried.quote)?.annotate());
    }
    Ok(nodes)
}

/// Certificates and lists in a wrapping: PEM, or the hex and JSON of makers' services.
fn wrapped(bytes: &[u8]) -> Result<(&'static str, Vec<Node>), Malformed> {
    let labels = ["CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CRL"];
    let mut found = der::pem_blocks(bytes, &labels, PEM_BLOCKS_MAX);
    let form = if found.is_empty() {
        "collateral"
    } else {
        "pem"
    };
    if found.is_empty() {
        let mut heap = zeuge_verify::Endorsements::new();
        heap.add("the input", bytes);
        let held = heap.certificates.into_iter().chain(heap.revocation_lists);
        found = held.map(|held| held.bytes).collect();
    }
    if found.is_empty() {
        let because = "it is of no kind that can be shown field by field yet";
        return Err(Malformed::invalid(kind::UNKNOWN, 0, "the input", because));
    }
    let mut nodes = Vec::new();
    for block in &found {
        match kind::detect(block) {
            kind::Kind::Certificate => nodes.extend(certificate(block)?),
            _ => nodes.push(x509::annotate::annotate(block, 0)?),
        }
    }
    Ok((form, nodes))
}

fn node(node: &Node) -> Value {
    let children: Vec<Value> = node.children.iter().map(self::node).collect();
    json!({
        "name": node.name,
        "offset": node.offset,
        "length": node.length,
        "value": node.value,
        "meaning": node.meaning,
        "spec": node.spec,
        "fields": children,
    })
}

fn text(name: &str, kind: &str, nodes: &[Node]) -> String {
    let mut out = format!("{name}: {kind}, shown and not believed: nothing here was verified\n");
    for node in nodes {
        lines(&mut out, node, 0);
    }
    out
}

/// Writing to a string cannot fail.
fn lines(out: &mut String, node: &Node, depth: usize) {
    let indent = depth.saturating_mul(2);
    let _ = write!(
        out,
        "{:#06x} {:>5}  {:indent$}{}",
        node.offset, node.length, "", node.name
    );
    if !node.value.is_empty() {
        let cut: String = node.value.chars().take(VALUE_CHARACTERS_MAX).collect();
        let more = if cut.len() < node.value.len() {
            "…"
        } else {
            ""
        };
        let _ = write!(out, " = {cut}{more}");
    }
    if !node.meaning.is_empty() {
        let _ = write!(out, " ({})", node.meaning);
    }
    if !node.spec.is_empty() {
        let _ = write!(out, " [{}]", node.spec);
    }
    out.push('\n');
    for child in &node.children {
        lines(out, child, depth.saturating_add(1));
    }
}

/// The parts of the JSON around an HCL report; offsets are those inside the part.
fn azure_parts(bytes: &[u8]) -> Result<Vec<Node>, Malformed> {
    let evidence = azure::Evidence::read(bytes)?;
    let mut out = vec![azure::annotate(&evidence.hcl)?];
    if let Some(quote) = &evidence.quote {
        out.push(quote_parts(quote)?);
    }
    for certificate in &evidence.certificates {
        out.push(x509::annotate::annotate(certificate, 0)?);
    }
    if let Some(quote) = &evidence.td_quote {
        out.push(dcap::Quote::parse(quote)?.annotate());
    }
    Ok(out)
}

/// The parts of each quote in a file; offsets are those inside the part.
fn quotes(bytes: &[u8]) -> Result<Vec<Node>, Malformed> {
    tpm::QuoteBundle::read(bytes)?
        .iter()
        .map(quote_parts)
        .collect()
}

fn quote_parts(quote: &tpm::QuoteBundle) -> Result<Node, Malformed> {
    let mut parts = vec![tpm::annotate_attest(&quote.attest, 0)?];
    parts.push(Node::bytes("signature", 0, &quote.signature));
    for value in &quote.pcrs {
        parts.push(Node::bytes(
            format!("{} PCR {}", value.bank, value.index),
            0,
            &value.value,
        ));
    }
    if let Some(public) = &quote.ak_public {
        let public = tpm::annotate_public(public, 0);
        parts.extend(public.ok());
    }
    for (name, file) in [
        ("AK certificate", &quote.ak_certificate),
        ("EK certificate", &quote.ek_certificate),
    ] {
        let Some(file) = file else { continue };
        let der = tpm::certificate_in(file)?;
        let node = x509::annotate::annotate(&der, 0)?;
        parts.push(Node::group(name, 0, der.len(), vec![node]));
    }
    if let Some(log) = &quote.eventlog {
        parts.push(event_log(log)?);
    }
    if let Some(list) = &quote.ima {
        parts.push(ima::annotate(list)?);
    }
    Ok(Node::group("quote", 0, quote.attest.len(), parts))
}

/// A boot log of a TPM, or the log of a confidential machine.
fn event_log(bytes: &[u8]) -> Result<Node, Malformed> {
    eventlog::EventLog::parse_tpm(bytes)
        .or_else(|_| eventlog::EventLog::parse_ccel(bytes))
        .map(|log| eventlog::annotate(&log))
}
