//! A quote for people: the annotated tree of its fields.
//!
//! Names offsets, values and meanings as the bytes say them; believes and checks nothing.

use super::{Body, CertificationData, INTEL_VENDOR, Quote, Tee};
use crate::{annotate::Node, der, sgx::REPORT_BYTES, tdx::Form, x509::Certificate};

const SPEC_HEADER: &str = "Intel DCAP Quoting Library API, Quote Header";
const SPEC_SIGNATURE: &str = "Intel DCAP Quoting Library API, ECDSA Quote Signature Data";

impl Quote<'_> {
    /// The fields for people.
    #[must_use]
    pub fn annotate(&self) -> Node {
        let places = &self.places;
        let mut parts = vec![self.annotate_header()];
        if self.header.version == 5 {
            parts.push(self.annotate_descriptor());
        }
        parts.push(match &self.body {
            Body::Sgx(report) => {
                let raw = self.signed.get(places.body..).unwrap_or_default();
                report.annotate("enclave report body", places.body, raw)
            }
            Body::Tdx(report) => report.annotate(places.body),
        });
        let length = places.trailing.saturating_sub(places.signature);
        parts.push(Node::field(
            "signature data length",
            places.signature_length,
            4,
            length.to_string(),
        ));
        parts.push(self.annotate_signature(length));
        if !self.trailing.is_empty() {
            let zero = self.trailing.iter().all(|byte| *byte == 0);
            let meaning = if zero {
                "padding after the quote, all zero; nobody signed it"
            } else {
                "bytes after the quote that belong to nothing; nobody signed them"
            };
            let count = self.trailing.len();
            parts.push(
                Node::field(
                    "trailing bytes",
                    places.trailing,
                    count,
                    format!("{count} bytes"),
                )
                .meaning(meaning),
            );
        }
        let whole = places.trailing.saturating_add(self.trailing.len());
        Node::group(format!("{} quote", self.header.tee.id()), 0, whole, parts)
    }

    fn annotate_header(&self) -> Node {
        let header = &self.header;
        let old = header.version == 3;
        let (svn, pce) = if old {
            ("QE SVN", "PCE SVN")
        } else {
            ("reserved (8)", "reserved (10)")
        };
        let tee = match header.tee {
            Tee::Sgx => "0x00000000",
            Tee::Tdx => "0x00000081",
        };
        Node::group(
            "header",
            0,
            48,
            vec![
                Node::field("version", 0, 2, header.version.to_string()),
                Node::field("attestation key type", 2, 2, "2").meaning("ECDSA on P-256"),
                Node::field("TEE type", 4, 4, tee).meaning(header.tee.id()),
                Node::field(svn, 8, 2, header.qe_svn.to_string()),
                Node::field(pce, 10, 2, header.pce_svn.to_string()),
                Node::bytes("QE vendor id", 12, &INTEL_VENDOR).meaning("Intel"),
                Node::bytes("user data", 28, &header.user_data)
                    .meaning("the first 16 bytes are the QE id"),
            ],
        )
        .spec(SPEC_HEADER)
    }

    fn annotate_descriptor(&self) -> Node {
        let (number, length) = match &self.body {
            Body::Sgx(_) => ("1 (SGX)", REPORT_BYTES),
            Body::Tdx(report) => match (&report.td15, &report.service_td) {
                (None, _) => ("2 (TDX 1.0)", Form::Td10.bytes()),
                (Some(_), None) => ("3 (TDX 1.5)", Form::Td15.bytes()),
                (Some(_), Some(_)) => (
                    "4 (TDX 1.5 with service-TD fields)",
                    Form::Td15Extended.bytes(),
                ),
            },
        };
        Node::group(
            "body descriptor",
            48,
            6,
            vec![
                Node::field("body type", 48, 2, number),
                Node::field("body size", 50, 4, length.to_string()),
            ],
        )
        .spec(SPEC_HEADER)
    }

    fn annotate_signature(&self, length: usize) -> Node {
        let places = &self.places;
        let at = |offset: usize| places.signature.saturating_add(offset);
        let mut parts = vec![
            Node::bytes("quote signature", at(0), &self.signature)
                .meaning("ECDSA P-256, r and s, by the attestation key over header and body"),
            Node::bytes("attestation key", at(64), &self.attestation_key)
                .meaning("P-256, X and Y; the QE report commits to it"),
        ];
        if self.header.version != 3 {
            parts.push(
                Node::field("certification data type", at(128), 2, "6")
                    .meaning("the QE report and its certification data follow"),
            );
            parts.push(Node::field(
                "certification data length",
                at(130),
                4,
                length.saturating_sub(134).to_string(),
            ));
        }
        let after = places.qe_report.saturating_add(REPORT_BYTES);
        let raw = self.qe_report_bytes;
        parts.push(self.qe_report.annotate("QE report", places.qe_report, raw));
        parts.push(
            Node::bytes("QE report signature", after, &self.qe_report_signature)
                .meaning("ECDSA P-256, r and s, by the platform's PCK"),
        );
        parts.push(Node::field(
            "QE authentication data length",
            after.saturating_add(64),
            2,
            self.qe_authentication.len().to_string(),
        ));
        parts.push(Node::bytes(
            "QE authentication data",
            places.qe_authentication,
            self.qe_authentication,
        ));
        parts.push(self.annotate_certification());
        Node::group("signature data", places.signature, length, parts).spec(SPEC_SIGNATURE)
    }

    fn annotate_certification(&self) -> Node {
        let places = &self.places;
        let content = places.certification.saturating_add(6);
        let content_length = places.certification_length;
        let mut parts = vec![
            Node::field(
                "certification data type",
                places.certification,
                2,
                self.certification.number().to_string(),
            ),
            Node::field(
                "certification data length",
                places.certification.saturating_add(2),
                4,
                content_length.to_string(),
            ),
        ];
        match &self.certification {
            CertificationData::Platform {
                ppid,
                cpu_svn,
                pce_svn,
                pce_id,
                ..
            } => {
                let after = content.saturating_add(ppid.len());
                parts.push(Node::bytes("PPID", content, ppid).meaning("the platform's identifier"));
                parts.push(Node::bytes("CPUSVN", after, cpu_svn));
                let pce = after.saturating_add(16);
                parts.push(Node::field("PCESVN", pce, 2, pce_svn.to_string()));
                if let Some(pce_id) = pce_id {
                    parts.push(Node::bytes("PCEID", pce.saturating_add(2), pce_id));
                }
            }
            CertificationData::Leaf(bytes) | CertificationData::Chain(bytes) => {
                let names = certificate_names(bytes);
                parts.push(
                    Node::field("PCK certificates", content, bytes.len(), names)
                        .meaning("leaf first, as the quote brings them"),
                );
            }
            CertificationData::Manifest(bytes) => {
                parts.push(Node::bytes("platform manifest", content, bytes));
            }
        }
        let length = content_length.saturating_add(6);
        Node::group("certification data", places.certification, length, parts).spec(SPEC_SIGNATURE)
    }
}

fn certificate_names(bytes: &[u8]) -> String {
    let blocks = der::pem_blocks(bytes, &["CERTIFICATE"], 8);
    let names: Vec<String> = blocks
        .iter()
        .map(|block| {
            Certificate::parse(block)
                .ok()
                .and_then(|certificate| certificate.subject.common_name().map(str::to_owned))
                .unwrap_or_else(|| "not a certificate".to_owned())
        })
        .collect();
    if names.is_empty() {
        "none that could be read".to_owned()
    } else {
        names.join(", ")
    }
}
