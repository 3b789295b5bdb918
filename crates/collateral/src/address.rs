//! Where things are had: base URLs from the configuration, paths by AMD's rules.
//!
//! The only file that writes addresses. Never takes one from evidence, never follows one.

use std::net::IpAddr;

use reqwest::Url;
use zeuge_verify::snp::{EndorsementId, Product};

use crate::{Problem, Wanted, wanted::kind};

/// AMD's key distribution service (AMD 57230 §4).
const AMD: &str = "https://kdsintf.amd.com";
/// Base URLs are short; longer ones are a mistake.
const BASE_BYTES_MAX: usize = 512;
const PERMITTED: &str = "https://host[:port][/path] without user, query and fragment; http:// for an address of this machine alone";

/// The beginning of every address of one service: `https://host[:port][/path]`.
///
/// Plain `http://` only for addresses of this machine (`127.0.0.0/8`, `[::1]`, `localhost`), where
/// a mirror or a toy stands; what comes is held against pinned roots either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    host: String,
}

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// `collateral.address` for another scheme, another machine over plain HTTP, a user, a query or
    /// a fragment, or more than 512 bytes.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let refuse = |found: &str| Problem::Address {
            found: found.to_owned(),
            wanted: PERMITTED,
        };
        if text.len() > BASE_BYTES_MAX {
            return Err(refuse("more than 512 bytes"));
        }
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        let Some(host) = url.host_str() else {
            return Err(refuse("no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: it may be a password.
            return Err(refuse("an address with a user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("an address with a query or a fragment"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(host) => {}
            other => return Err(refuse(&format!("{other}://{host}"))),
        }
        let port = url.port().map(|port| format!(":{port}"));
        Ok(Self {
            host: format!("{host}{}", port.unwrap_or_default()),
            text: url.as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// Host and port, as back-off and people name it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Who is asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// AMD's service, a mirror of it, or a toy.
    pub amd: BaseUrl,
}

impl Sources {
    /// The makers' own services.
    #[must_use]
    pub fn makers() -> Self {
        Self {
            amd: BaseUrl {
                text: AMD.to_owned(),
                host: AMD.trim_start_matches("https://").to_owned(),
            },
        }
    }

    /// The whole address.
    pub(crate) fn address(&self, wanted: &Wanted) -> String {
        match wanted {
            Wanted::Amd(id) => format!("{}{}", self.amd.text, amd_path(id)),
        }
    }

    /// The host that is asked.
    pub(crate) fn host(&self, wanted: &Wanted) -> &str {
        match wanted {
            Wanted::Amd(_) => &self.amd.host,
        }
    }
}

/// Path and query by AMD's rules: decimal values of two digits, hex in lower case.
fn amd_path(id: &EndorsementId) -> String {
    match id {
        EndorsementId::Vcek { product, hwid, tcb } => {
            let path = format!("/vcek/v1/{}/{hwid}", product.name());
            match (product, tcb) {
                (Product::Milan | Product::Genoa, [bl, tee, _, _, _, _, snp, ucode]) => format!(
                    "{path}?blSPL={bl:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={ucode:02}"
                ),
                (Product::Turin, [fmc, bl, tee, snp, _, _, _, ucode]) => format!(
                    // spec: sev-snp.kds.vcek-address
                    "{path}?fmcSPL={fmc:02}&blSPL={bl:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={ucode:02}"
                ),
            }
        }
        EndorsementId::AmdChain { product, vlek } => {
            format!("/{}/v1/{}/cert_chain", kind(*vlek), product.name())
        }
        EndorsementId::AmdCrl { product, vlek } => {
            format!("/{}/v1/{}/crl", kind(*vlek), product.name())
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: sev-snp.kds.vcek-address
    #[test]
    fn addresses_are_those_of_the_key_service() {
        let at = |id| Sources::makers().address(&Wanted::Amd(id));
        let (product, vlek) = (Product::Milan, true);
        assert_eq!(
            at(EndorsementId::AmdChain { product, vlek }),
            "https://kdsintf.amd.com/vlek/v1/Milan/cert_chain"
        );
        assert_eq!(
            at(EndorsementId::AmdCrl {
                product,
                vlek: false
            }),
            "https://kdsintf.amd.com/vcek/v1/Milan/crl"
        );
        assert_eq!(
            at(EndorsementId::Vcek {
                product: Product::Genoa,
                hwid: "ab".repeat(64),
                tcb: [7, 0, 0, 0, 0, 0, 14, 72],
            }),
            format!(
                "https://kdsintf.amd.com/vcek/v1/Genoa/{}?blSPL=07&teeSPL=00&snpSPL=14&ucodeSPL=72",
                "ab".repeat(64)
            )
        );
        assert_eq!(
            at(EndorsementId::Vcek {
                product: Product::Turin,
                hwid: "0123456789abcdef".to_owned(),
                tcb: [1, 2, 3, 4, 0, 0, 0, 200],
            }),
            "https://kdsintf.amd.com/vcek/v1/Turin/0123456789abcdef?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=200"
        );
    }

    #[test]
    fn a_mirror_may_have_a_path_and_this_machine_plain_http() {
        for (text, host) in [
            ("https://mirror.example/kds/", "mirror.example"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:9/x", "[::1]:9"),
            ("http://localhost", "localhost"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().host(), host);
        }
        let amd = BaseUrl::parse("https://mirror.example/kds/").unwrap();
        let id = EndorsementId::AmdCrl {
            product: Product::Milan,
            vlek: false,
        };
        assert_eq!(
            Sources { amd }.address(&id.into()),
            "https://mirror.example/kds/vcek/v1/Milan/crl"
        );
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "",
            "kdsintf.amd.com",
            "http://kdsintf.amd.com",
            "http://127.0.0.1.example",
            "file:///etc/passwd",
            "https://user:secret@mirror.example",
            "https://mirror.example/?a=b",
            "https://mirror.example/#a",
        ] {
            let problem = BaseUrl::parse(text).unwrap_err();
            assert_eq!(problem.check(), "collateral.address", "{text}");
            assert!(!problem.to_string().contains("secret"));
        }
    }
}
