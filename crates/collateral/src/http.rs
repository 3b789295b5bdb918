//! The network client: HTTPS with one provider of cryptography, no redirects, no proxy, limits.
//!
//! TLS here keeps mirrors and lookers-on honest; trust never comes from it, for everything that
//! arrives is held against pinned roots. Hence the authorities of the operating system: whoever
//! runs this machine can add that of an own mirror, and no list of them is compiled in.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::fetch::{Answer, Fetcher, Got, Unreachable};

/// AMD's service answers within seconds; a witness must not hang on it.
const CONNECT_SECS_MAX: u64 = 5;
/// From the first byte sent to the last one read.
const ANSWER_SECS_MAX: u64 = 20;

/// Asks over HTTP.
#[derive(Debug, Clone)]
pub struct HttpFetcher {
    client: Client,
}

/// The client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTls(String);

impl fmt::Display for BadTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TLS cannot be set up: {}", self.0)
    }
}

impl std::error::Error for BadTls {}

impl HttpFetcher {
    /// A client with the certificate authorities of this machine. Without any, requests over HTTPS
    /// fail and say so; plain ones to this machine still work.
    ///
    /// # Errors
    /// [`BadTls`] when the client cannot be made.
    pub fn new() -> Result<Self, BadTls> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            tracing::warn!("this machine has no certificate authorities: HTTPS will fail");
        }
        // Never the process's default provider: one stray feature elsewhere would change it.
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| BadTls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
            .timeout(Duration::from_secs(ANSWER_SECS_MAX))
            .build()
            .map(|client| Self { client })
            .map_err(|error| BadTls(error.to_string()))
    }

    async fn ask(&self, address: &str, bytes_max: usize) -> Result<Answer, Unreachable> {
        let failed = |error: reqwest::Error| Unreachable::Failed(chain(&error));
        let mut response = self.client.get(address).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let issuer_chain = response
            .headers()
            .iter()
            .find(|(name, _)| name.as_str().ends_with("issuer-chain"))
            .and_then(|(_, value)| value.to_str().ok())
            .map(str::to_owned);
        let mut body = Vec::new();
        // What comes with an error is not read.
        while status == 200
            && let Some(chunk) = response.chunk().await.map_err(failed)?
        {
            if body.len().saturating_add(chunk.len()) > bytes_max {
                return Err(Unreachable::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            retry_after,
            issuer_chain,
            body,
        })
    }
}

impl Fetcher for HttpFetcher {
    fn get<'f>(&'f self, address: &'f str, bytes_max: usize) -> Got<'f> {
        Box::pin(self.ask(address, bytes_max))
    }
}

/// The error with its causes: "error sending request" alone helps nobody.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
