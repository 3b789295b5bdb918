//! TLS as it is offered: modern suites alone, a hybrid key exchange first, and no plain HTTP where
//! others listen. Asked by rustls, and by OpenSSL where that is installed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{NamedGroup, ProtocolVersion, SupportedProtocolVersion};

use crate::common::{World, get_over_tls};
use crate::surface::served::{Served, raw};

/// What a handshake came to.
type Agreed = (ProtocolVersion, NamedGroup, String);

/// Shakes hands with these groups and versions alone.
fn shake(
    world: &World,
    to: SocketAddr,
    groups: &[&'static dyn SupportedKxGroup],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Agreed, String> {
    let certificate = std::fs::read(world.data().join("tls/cert.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&certificate).unwrap())
        .unwrap();
    let provider = rustls::crypto::CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(to).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.ends_with(b"ok\n"));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    let suite = session.negotiated_cipher_suite().unwrap().suite();
    let version = session.protocol_version().unwrap();
    Ok((version, group, format!("{suite:?}")))
}

#[test]
fn the_hybrid_key_exchange_is_preferred_and_the_classic_one_still_taken() {
    use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    let world = World::new();
    let served = Served::start(&world, &["--offline", "--tls"]);
    assert!(served.is_tls);
    let to = served.client.0;
    let both = rustls::ALL_VERSIONS;
    let (version, group, suite) = shake(&world, to, &[X25519MLKEM768, X25519], both).unwrap();
    assert_eq!(version, ProtocolVersion::TLSv1_3);
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert!(suite.starts_with("TLS13_"), "{suite}");
    let alone = shake(&world, to, &[X25519MLKEM768], both).unwrap();
    assert_eq!(alone.1, NamedGroup::X25519MLKEM768);
    // Also when a client would rather not: the witness's order counts.
    let last = shake(&world, to, &[X25519, X25519MLKEM768], both).unwrap();
    assert!(matches!(
        last.1,
        NamedGroup::X25519MLKEM768 | NamedGroup::X25519
    ));
    let classic = shake(&world, to, &[SECP256R1], both).unwrap();
    assert_eq!(classic.1, NamedGroup::secp256r1);
    let older = shake(&world, to, &[X25519], &[&rustls::version::TLS12]).unwrap();
    assert_eq!(older.0, ProtocolVersion::TLSv1_2);
    assert!(older.2.starts_with("TLS_ECDHE_"), "{}", older.2);
}

/// What OpenSSL says of a handshake with these options; nothing where it is not installed.
fn openssl(to: SocketAddr, options: &[&str]) -> Option<(bool, String)> {
    let done = Command::new("openssl")
        .args(["s_client", "-connect", &to.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let agreed = !text.contains("Cipher is (NONE)") && text.contains("Cipher is ");
    Some((agreed, text))
}

#[test]
fn old_versions_and_old_suites_are_refused() {
    let world = World::new();
    let served = Served::start(&world, &["--offline", "--tls"]);
    let to = served.client.0;
    // Everything that OpenSSL can still be made to offer, weak keys and all.
    let lax = ["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"];
    let refused: [&[&str]; 8] = [
        &["-tls1", lax[0], lax[1]],
        &["-tls1_1", lax[0], lax[1]],
        &[
            "-tls1_2",
            "-cipher",
            "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384",
        ],
        &[
            "-tls1_2",
            "-cipher",
            "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA",
        ],
        &[
            "-tls1_2",
            "-cipher",
            "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA",
        ],
        &["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "eNULL:aNULL:@SECLEVEL=0"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
    ];
    for options in refused {
        match openssl(to, options) {
            None => return println!("skipped: openssl is not installed"),
            Some((agreed, text)) => assert!(!agreed, "{options:?}\n{text}"),
        }
    }
    for (options, suite) in [
        (&["-tls1_3"][..], "TLS_AES_256_GCM_SHA384"),
        (&["-tls1_2"][..], "ECDHE-ECDSA-"),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"][..],
            "ECDHE-ECDSA-CHACHA20",
        ),
    ] {
        let (agreed, text) = openssl(to, options).unwrap();
        assert!(agreed && text.contains(suite), "{options:?}\n{text}");
    }
}

#[test]
fn beyond_loopback_there_is_no_plain_http_unless_somebody_spells_it_out() {
    let world = World::new();
    let everywhere = ["--listen", "0.0.0.0:0", "--offline"];
    let start = |more: &[&str]| {
        // The later of two `--listen` would be refused: this one has its own.
        let data = world.data();
        let mut child = Command::new(env!("CARGO_BIN_EXE_zeuged"))
            .args(["serve", "--data", data.to_str().unwrap()])
            .args([&everywhere, more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 64];
        let count = child.stdout.take().unwrap().read(&mut line).unwrap();
        let line = String::from_utf8_lossy(&line[..count]).trim().to_owned();
        let (scheme, port) = (line.contains("https://"), line.rsplit(':').next().unwrap());
        (child, scheme, port.parse::<u16>().unwrap())
    };
    let (mut child, is_tls, port) = start(&[]);
    assert!(is_tls);
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let plain = raw(
        to,
        b"GET /healthz HTTP/1.1\r\nhost: w1\r\n\r\n",
        Duration::from_secs(3),
    );
    assert!(!plain.starts_with(b"HTTP/"), "{plain:?}");
    let certificate = std::fs::read(world.data().join("tls/cert.pem")).unwrap();
    assert!(get_over_tls(to, &certificate, "/healthz").ends_with(b"ok\n"));
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, is_tls, port) = start(&["--dangerous-plain-http"]);
    assert!(!is_tls);
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(crate::common::Client(to).get("/healthz").unwrap(), b"ok\n");
    child.kill().unwrap();
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    child.wait().unwrap();
    assert!(log.contains("DANGEROUS: plain HTTP"), "{log}");
}

#[test]
fn half_handshakes_hold_up_nobody() {
    let world = World::new();
    let served = Served::start(&world, &["--offline", "--tls"]);
    let certificate = std::fs::read(world.data().join("tls/cert.pem")).unwrap();
    let mut held = Vec::new();
    for _ in 0..zeuge_server::limits::SOURCE_CONNECTIONS_MAX - 24 {
        if let Ok(mut stream) = TcpStream::connect(served.client.0) {
            // The head of a record that never comes.
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]);
            held.push(stream);
        }
    }
    let answer = get_over_tls(served.client.0, &certificate, "/healthz");
    assert!(answer.ends_with(b"ok\n"));
}
