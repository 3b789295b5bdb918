//! The floor: a server that verifies one P-384 signature of what it is sent, and nothing else.
//!
//! The same HTTP library, runtime and cryptography as the witness; no log, no store, no release.

use std::io::Write as _;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;

/// As long as the signed part of an SEV-SNP report.
const MESSAGE_BYTES: usize = 0x2a0;

/// A message with a signature and the key behind it, as hex lines.
pub(crate) fn message() -> (Vec<u8>, Vec<u8>) {
    let random = SystemRandom::new();
    let alg = &ECDSA_P384_SHA384_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(alg, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(alg, document.as_ref()).unwrap();
    let mut body = vec![0x5a; MESSAGE_BYTES];
    let signature = key.sign(&random, &body).unwrap();
    body.extend_from_slice(signature.as_ref());
    (key.public_key().as_ref().to_vec(), body)
}

/// Serves until killed: `/` takes the message of this process's `ZEUGE_FLOOR_KEY`.
pub(crate) fn serve() {
    let key = hex::decode(std::env::var("ZEUGE_FLOOR_KEY").unwrap()).unwrap();
    let key = Arc::new(UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = Router::new().route(
            "/",
            post(move |body: Bytes| async move {
                let parts = body.split_at_checked(MESSAGE_BYTES);
                let holds = parts.is_some_and(|(text, sign)| key.verify(text, sign).is_ok());
                if holds {
                    StatusCode::OK
                } else {
                    StatusCode::FORBIDDEN
                }
            }),
        );
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "listening on http://{}", socket.local_addr().unwrap()).unwrap();
        axum::serve(socket, app).await.unwrap();
    });
}
