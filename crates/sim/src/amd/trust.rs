//! The trust file: the one way in which anybody comes to believe a toy.

use serde_json::json;

use super::{Product, ToyAmd};
use crate::der_write::pem;

impl ToyAmd {
    /// The trust file of this vendor: JSON of schema `zeuge.sim-trust.v1` with the PEM of the
    /// roots of these products, for `--dangerous-trust-sim`. It holds no private key.
    #[must_use]
    pub fn trust_file(&self, products: &[Product]) -> String {
        let roots: serde_json::Map<_, _> = products
            .iter()
            .map(|product| {
                let root = pem("CERTIFICATE", self.root(*product));
                (product.name().to_owned(), root.into())
            })
            .collect();
        let file = json!({"schema": "zeuge.sim-trust.v1", "amd": roots, "intel": {}, "tpm": {}});
        format!("{file:#}\n")
    }
}
