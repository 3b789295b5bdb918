//! Intel's provisioning certification service as a pure function: path and query in; status,
//! headers and body out.
//!
//! No socket: whoever wants a server puts this behind one. Any FMSPC gets its TCB Info, for the
//! toy "makes" a platform by being asked about it. Under `update=early` it serves the documents of a
//! recovery that the standard ones do not tell yet.

use zeuge_evidence::UnixTime;

use super::{
    Issuer, PckCa, Tee, ToyIntel,
    documents::{self, EARLY_NUMBER, EVALUATION_NUMBER, QeIdentity, TcbInfo},
    issue_window,
    quote::{QuoteForm, QuoteSpec},
    root_window,
};
use crate::{der_write::pem, x509_write::DAY};

/// What the service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcsAnswer {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers: Content-Type, and the issuer's chain as URL-encoded PEM where there is one.
    pub headers: Vec<(&'static str, String)>,
    /// A list (DER, PEM or hex), a signed document, or a sentence that says what is wrong.
    pub body: Vec<u8>,
}

impl PcsAnswer {
    fn new(content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            headers: vec![("Content-Type", content_type.to_owned())],
            body,
        }
    }

    fn with_chain(mut self, header: &'static str, chain: &[&[u8]]) -> Self {
        let text: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        self.headers.push((header, url_encoded(&text)));
        self
    }

    fn refusal(status: u16, sentence: &str) -> Self {
        Self {
            status,
            ..Self::new("text/plain", format!("{sentence}\n").into_bytes())
        }
    }

    /// The content of the first header with this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, content)| content.as_str())
    }
}

impl ToyIntel {
    /// Answers a GET request (fact sheet §4): `/sgx/certification/v4/pckcrl?ca=…`,
    /// `/sgx/certification/v4/rootcacrl` (hex, as caches answer), `/IntelSGXRootCA.der` (the
    /// root's list, from the address in its certificate), `/sgx/certification/v4/pckcert` with the
    /// PPID in the clear (as if the toy could decrypt), and under `/{sgx,tdx}/certification/v4/`
    /// `tcb?fmspc=…`, `qe/identity` and `tcbevaluationdatanumbers`.
    ///
    /// 400 for parameters that are missing or wrong, 404 for anything else, 410 for an evaluation
    /// number that is no longer served.
    #[must_use]
    pub fn pcs(&self, path_and_query: &str, now: UnixTime) -> PcsAnswer {
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        let Some(query) = Query::read(query) else {
            return PcsAnswer::refusal(400, "the parameters cannot be read");
        };
        let root_list = || {
            self.own
                .list_body(Issuer::Root, now)
                .signed_with(&self.own.root)
        };
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (tee, rest) = match parts.as_slice() {
            ["IntelSGXRootCA.der"] => return PcsAnswer::new("application/pkix-crl", root_list()),
            [tee, "certification", "v4", rest @ ..] => (*tee, rest),
            _ => return PcsAnswer::refusal(404, "there is nothing here"),
        };
        let Some(tee) = Tee::ALL.into_iter().find(|known| known.name() == tee) else {
            return PcsAnswer::refusal(404, "there are sgx and tdx");
        };
        match (tee, rest) {
            (Tee::Sgx, ["pckcrl"]) => self.pcs_list(&query, now),
            (Tee::Sgx, ["pckcert"]) => self.pcs_certificate(&query, now),
            (Tee::Sgx, ["rootcacrl"]) => {
                PcsAnswer::new("text/plain", hex::encode(root_list()).into_bytes())
            }
            (_, ["tcb"]) => self.pcs_tcb(tee, &query, now),
            (_, ["qe", "identity"]) => {
                if let Some(refusal) = query.refusal() {
                    return refusal;
                }
                let mut identity = QeIdentity::new(tee, issue_window(now));
                if query.is_early() {
                    identity.issue.number = EARLY_NUMBER;
                }
                let text = identity.text();
                self.pcs_document(
                    "enclaveIdentity",
                    &text,
                    "SGX-Enclave-Identity-Issuer-Chain",
                )
            }
            (_, ["tcbevaluationdatanumbers"]) => {
                let recovery = now.plus(-200 * DAY);
                let text = documents::evaluation_numbers(tee, issue_window(now), recovery);
                let header = "TCB-Evaluation-Data-Numbers-Issuer-Chain";
                self.pcs_document("tcbEvaluationDataNumbers", &text, header)
            }
            _ => PcsAnswer::refusal(404, "there is nothing here"),
        }
    }

    fn pcs_list(&self, query: &Query<'_>, now: UnixTime) -> PcsAnswer {
        let ca = PckCa::ALL
            .into_iter()
            .find(|ca| query.get("ca") == Some(ca.name()));
        let Some(ca) = ca else {
            return PcsAnswer::refusal(400, "ca is platform or processor");
        };
        let list = self
            .own
            .list_body(Issuer::PckCa(ca), now)
            .signed_with(self.own.pck_ca(ca));
        let answer = match query.get("encoding") {
            Some("der") => PcsAnswer::new("application/pkix-crl", list),
            None | Some("pem") => PcsAnswer::new(
                "application/x-pem-file",
                pem("X509 CRL", &list).into_bytes(),
            ),
            Some(_) => return PcsAnswer::refusal(400, "encoding is pem or der"),
        };
        let issuer = self
            .own
            .pck_ca_body(ca, root_window())
            .signed_with(&self.own.root);
        answer.with_chain("SGX-PCK-CRL-Issuer-Chain", &[&issuer, self.root()])
    }

    fn pcs_tcb(&self, tee: Tee, query: &Query<'_>, now: UnixTime) -> PcsAnswer {
        if let Some(refusal) = query.refusal() {
            return refusal;
        }
        let fmspc = query
            .get("fmspc")
            .and_then(|text| hex::decode(text).ok())
            .and_then(|bytes| bytes.try_into().ok());
        let Some(fmspc) = fmspc else {
            return PcsAnswer::refusal(400, "fmspc is six bytes in hex");
        };
        let mut info = TcbInfo::new(tee, fmspc, issue_window(now));
        if query.is_early() {
            info = info.early();
        }
        self.pcs_document("tcbInfo", &info.text(), "TCB-Info-Issuer-Chain")
    }

    /// The certificate of the platform with this PPID, at these security versions.
    fn pcs_certificate(&self, query: &Query<'_>, now: UnixTime) -> PcsAnswer {
        let bytes = |name: &str| hex::decode(query.get(name)?).ok();
        let ppid = bytes("encrypted_ppid").and_then(|bytes| bytes.try_into().ok());
        let components = bytes("cpusvn").and_then(|bytes| bytes.try_into().ok());
        let pce_svn = bytes("pcesvn").and_then(|bytes| bytes.try_into().ok());
        let (Some(ppid), Some(components), Some(pce_svn)) = (ppid, components, pce_svn) else {
            return PcsAnswer::refusal(400, "encrypted_ppid, cpusvn and pcesvn in hex");
        };
        let spec = QuoteSpec {
            ppid,
            components,
            pce_svn: u16::from_le_bytes(pce_svn),
            ..QuoteSpec::new(QuoteForm::Tdx4)
        };
        let leaf = pem("CERTIFICATE", &self.pck_certificate(&spec, now));
        let issuer = self
            .own
            .pck_ca_body(spec.ca, root_window())
            .signed_with(&self.own.root);
        PcsAnswer::new("application/x-pem-file", leaf.into_bytes())
            .with_chain("SGX-PCK-Certificate-Issuer-Chain", &[&issuer, self.root()])
    }

    fn pcs_document(&self, member: &str, text: &str, header: &'static str) -> PcsAnswer {
        let document = documents::signed(member, text, &self.own.signing);
        let signing = self
            .own
            .signing_body(root_window())
            .signed_with(&self.own.root);
        PcsAnswer::new("application/json", document.into_bytes())
            .with_chain(header, &[&signing, self.root()])
    }
}

/// The parameters of a request, each at most once.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            if found.iter().any(|(held, _)| *held == name) {
                return None;
            }
            found.push((name, value));
        }
        Some(Self(found))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let mut parameters = self.0.iter();
        parameters
            .find(|(held, _)| *held == name)
            .map(|(_, value)| *value)
    }

    fn is_early(&self) -> bool {
        let number = EARLY_NUMBER.to_string();
        self.get("update") == Some("early")
            || self.get("tcbEvaluationDataNumber") == Some(number.as_str())
    }

    /// What is wrong with `update` and `tcbEvaluationDataNumber`, if anything.
    fn refusal(&self) -> Option<PcsAnswer> {
        let wrong = |sentence| Some(PcsAnswer::refusal(400, sentence));
        match (self.get("update"), self.get("tcbEvaluationDataNumber")) {
            (Some(_), Some(_)) => wrong("update and tcbEvaluationDataNumber exclude each other"),
            (None | Some("early" | "standard"), None) => None,
            (Some(_), None) => wrong("update is early or standard"),
            (None, Some(number)) => match number.parse::<u32>() {
                Ok(EVALUATION_NUMBER | EARLY_NUMBER) => None,
                Ok(number) if number < EVALUATION_NUMBER => {
                    Some(PcsAnswer::refusal(410, "this number is no longer served"))
                }
                Ok(_) => Some(PcsAnswer::refusal(404, "this number is not known")),
                Err(_) => wrong("tcbEvaluationDataNumber is a number"),
            },
        }
    }
}

/// Every byte but letters, digits and `-._~` as `%XX` (RFC 3986 §2.3).
fn url_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_evidence::x509::RevocationList;

    const NOW: UnixTime = UnixTime(1_772_323_200);

    #[test]
    fn lists_come_in_the_encoding_that_was_asked_for() {
        let intel = ToyIntel::shared();
        let der = intel.pcs(
            "/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
            NOW,
        );
        let list = RevocationList::parse(&der.body).unwrap();
        assert_eq!(
            list.issuer.common_name(),
            Some("Intel SGX PCK Processor CA")
        );
        let chain = der.header("sgx-pck-crl-issuer-chain").unwrap();
        assert!(chain.starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
        let pem = intel.pcs("/sgx/certification/v4/pckcrl?ca=platform", NOW);
        assert!(pem.body.starts_with(b"-----BEGIN X509 CRL-----"));
        let root = intel.pcs("/IntelSGXRootCA.der", NOW);
        assert!(RevocationList::parse(&root.body).is_ok());
        let root = intel.pcs("/sgx/certification/v4/rootcacrl", NOW);
        assert!(RevocationList::parse(&hex::decode(root.body).unwrap()).is_ok());
    }

    #[test]
    fn requests_of_another_form_are_refused() {
        let status = |request: &str| ToyIntel::shared().pcs(request, NOW).status;
        for (request, wanted) in [
            ("/", 404),
            ("/sev/certification/v4/tcb?fmspc=00806f050000", 404),
            ("/tdx/certification/v4/pckcrl?ca=platform", 404),
            ("/sgx/certification/v4/pckcrl", 400),
            ("/sgx/certification/v4/pckcrl?ca=platform&encoding=xml", 400),
            ("/tdx/certification/v4/tcb?fmspc=00", 400),
            (
                "/tdx/certification/v4/tcb?fmspc=00806f050000&fmspc=00806f050000",
                400,
            ),
            ("/tdx/certification/v4/tcb?fmspc=00806f050000", 200),
            (
                "/tdx/certification/v4/tcb?fmspc=00806f050000&update=soon",
                400,
            ),
            (
                "/tdx/certification/v4/tcb?fmspc=00806f050000&update=early",
                200,
            ),
            (
                "/sgx/certification/v4/qe/identity?tcbEvaluationDataNumber=19",
                410,
            ),
            (
                "/sgx/certification/v4/qe/identity?tcbEvaluationDataNumber=20",
                200,
            ),
            (
                "/sgx/certification/v4/qe/identity?tcbEvaluationDataNumber=21",
                200,
            ),
            (
                "/sgx/certification/v4/qe/identity?tcbEvaluationDataNumber=22",
                404,
            ),
            (
                "/sgx/certification/v4/pckcert?encrypted_ppid=00&cpusvn=00&pcesvn=0d00",
                400,
            ),
            ("/tdx/certification/v4/tcbevaluationdatanumbers", 200),
        ] {
            assert_eq!(status(request), wanted, "{request}");
        }
    }
}
