//! AMD's Key Distribution Service as a pure function: path and query in, status and body out.
//!
//! No socket: whoever wants a server puts this behind one. Any chip may ask for its certificate,
//! for the toy "makes" a chip by being asked about it.

use zeuge_evidence::UnixTime;

use super::{LEAVES_MAX, Product, ReportSpec, Signer, Tcb, ToyAmd};
use crate::der_write::pem;

/// What the service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// HTTP Content-Type.
    pub content_type: &'static str,
    /// DER of a certificate or list, PEM of a chain, or a sentence that says what is wrong.
    pub body: Vec<u8>,
}

impl Answer {
    fn der(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: "application/octet-stream",
            body,
        }
    }

    fn refusal(status: u16, sentence: &str) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: format!("{sentence}\n").into_bytes(),
        }
    }
}

impl ToyAmd {
    /// Answers a GET request (fact sheet §10): `/vcek/v1/{product}/{chip}?…SPL=…`,
    /// `/{vcek,vlek}/v1/{product}/cert_chain` (ASK or ASVK first, then ARK) and `…/crl`.
    ///
    /// 400 for a request of another form, 401 for a VLEK (a cloud provider must log in), 404 for
    /// anything else, 429 when the toy has made as many keys as it keeps.
    #[must_use]
    pub fn kds(&self, path_and_query: &str, now: UnixTime) -> Answer {
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let [kind, "v1", product, last] = parts.as_slice() else {
            return Answer::refusal(404, "there is nothing here");
        };
        let signer = Signer::ALL
            .into_iter()
            .find(|signer| signer.name() == *kind);
        let (Some(signer), Some(product)) = (signer, Product::from_name(product)) else {
            return Answer::refusal(404, "there is no such kind of key or product");
        };
        match (*last, signer) {
            ("cert_chain", _) => {
                let chain = [
                    self.intermediate(product, signer),
                    self.root(product).to_vec(),
                ];
                let body: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
                Answer {
                    status: 200,
                    content_type: "application/x-pem-file",
                    body: body.into_bytes(),
                }
            }
            ("crl", _) => Answer::der(self.revocation_list(product, now)),
            (_, Signer::Vlek) => Answer::refusal(401, "only a cloud provider gets a VLEK"),
            (chip, Signer::Vcek) => self.kds_leaf(product, chip, query, now),
        }
    }

    fn kds_leaf(&self, product: Product, chip: &str, query: &str, now: UnixTime) -> Answer {
        let Some((chip_id, tcb)) = read_chip(product, chip).zip(read_tcb(product, query)) else {
            return Answer::refusal(
                400,
                "the chip id or a security patch level is missing or wrong",
            );
        };
        if self.leaves_made() >= LEAVES_MAX {
            return Answer::refusal(429, "this toy has made as many keys as it keeps");
        }
        let spec = ReportSpec {
            chip_id,
            ..ReportSpec::new(product).with_tcb(tcb)
        };
        Answer::der(self.leaf(&spec, now))
    }
}

fn read_chip(product: Product, text: &str) -> Option<[u8; 64]> {
    let bytes = hex::decode(text).ok()?;
    if bytes.len() != product.chip_bytes() {
        return None;
    }
    let mut chip = [0; 64];
    chip.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    Some(chip)
}

/// Every component exactly once, decimal, 0 to 255; fmcSPL on Turin and nowhere else.
fn read_tcb(product: Product, query: &str) -> Option<Tcb> {
    let parameters: Vec<(&str, &str)> = query
        .split('&')
        .map(|part| part.split_once('='))
        .collect::<Option<_>>()?;
    let wanted = if product == Product::Turin { 5 } else { 4 };
    if parameters.len() != wanted {
        return None;
    }
    let value = |name: &str| {
        let (_, text) = parameters.iter().find(|(found, _)| *found == name)?;
        let decimal = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|_| decimal)
    };
    let fmc = if product == Product::Turin {
        value("fmcSPL")?
    } else {
        0
    };
    Some(Tcb {
        fmc,
        boot_loader: value("blSPL")?,
        tee: value("teeSPL")?,
        snp: value("snpSPL")?,
        microcode: value("ucodeSPL")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_evidence::x509::{Certificate, RevocationList};

    const NOW: UnixTime = UnixTime(1_772_323_200);

    fn address(product: Product, spec: &ReportSpec) -> String {
        let tcb = spec.reported_tcb;
        let chip = hex::encode(&spec.chip_id[..product.chip_bytes()]);
        let fmc = if product == Product::Turin {
            format!("fmcSPL={:02}&", tcb.fmc)
        } else {
            String::new()
        };
        format!(
            "/vcek/v1/{}/{chip}?{fmc}blSPL={:02}&teeSPL={:02}&snpSPL={}&ucodeSPL={}",
            product.name(),
            tcb.boot_loader,
            tcb.tee,
            tcb.snp,
            tcb.microcode
        )
    }

    #[test]
    fn a_chip_gets_the_certificate_of_the_key_that_signs_its_reports() {
        let amd = ToyAmd::shared();
        for product in Product::ALL {
            let spec = ReportSpec::new(product);
            let answer = amd.kds(&address(product, &spec), NOW);
            assert_eq!(answer.status, 200);
            let told = amd.leaf(&spec, NOW);
            let (asked, told) = (
                Certificate::parse(&answer.body).unwrap(),
                Certificate::parse(&told).unwrap(),
            );
            assert_eq!(asked.public_key, told.public_key);
            assert_eq!(asked.extensions.len(), told.extensions.len());
        }
    }

    #[test]
    fn chains_are_pem_with_the_intermediate_first_and_lists_are_der() {
        let amd = ToyAmd::shared();
        let chain = amd.kds("/vlek/v1/Milan/cert_chain", NOW);
        let blocks = zeuge_evidence::der::pem_blocks(&chain.body, &["CERTIFICATE"], 3);
        let [intermediate, root] = blocks.as_slice() else {
            panic!("two certificates")
        };
        let intermediate = Certificate::parse(intermediate).unwrap();
        assert_eq!(intermediate.subject.common_name(), Some("SEV-VLEK-Milan"));
        assert_eq!(root, amd.root(Product::Milan));
        let list = amd.kds("/vcek/v1/Genoa/crl", NOW);
        assert!(RevocationList::parse(&list.body).unwrap().lists(&[2, 0, 1]));
    }

    #[test]
    fn requests_of_another_form_are_refused() {
        let amd = ToyAmd::shared();
        let status = |request: &str| amd.kds(request, NOW).status;
        assert_eq!(status("/"), 404);
        assert_eq!(status("/vcek/v1/Rome/crl"), 404);
        assert_eq!(status("/vlek/v1/Milan/cert?blSPL=1"), 401);
        assert_eq!(
            status("/vcek/v1/Milan/00?blSPL=1&teeSPL=0&snpSPL=1&ucodeSPL=1"),
            400
        );
        let chip = "00".repeat(8);
        assert_eq!(
            status(&format!(
                "/vcek/v1/Turin/{chip}?blSPL=1&teeSPL=0&snpSPL=1&ucodeSPL=1"
            )),
            400
        );
        assert_eq!(
            status(&format!(
                "/vcek/v1/Turin/{chip}?fmcSPL=1&blSPL=1&teeSPL=0&snpSPL=1&ucodeSPL=256"
            )),
            400
        );
    }
}
