//! The agent on an instance of AWS's: a stand-in for its NitroTPM answers the one command that only
//! such a TPM knows, and the owner's program verifies the document.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use zeuge_evidence::UnixTime;
use zeuge_sim::{NitroSpec, ToyNitro};

const NOW: UnixTime = UnixTime(1_772_323_200);
const AT: &str = "2026-03-01T00:00:00Z";
const NONCE: &str = "00112233445566778899aabbccddeeff";

/// One command.
fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 10];
    stream.read_exact(&mut bytes).ok()?;
    let length = u32::from_be_bytes(bytes[2..6].try_into().expect("four bytes"));
    bytes.resize(usize::try_from(length).expect("small"), 0);
    stream.read_exact(&mut bytes[10..]).ok()?;
    Some(bytes)
}

/// An answer; with parameters where there were sessions.
fn answer(code: u32, sessions: bool, parameters: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if sessions && code == 0 {
        body.extend(
            u32::try_from(parameters.len())
                .expect("short")
                .to_be_bytes(),
        );
    }
    body.extend(parameters);
    if sessions && code == 0 {
        body.extend([0, 0, 1, 0, 0]);
    }
    let tag: u16 = if sessions && code == 0 {
        0x8002
    } else {
        0x8001
    };
    let length = u32::try_from(body.len() + 10).expect("short");
    [
        &tag.to_be_bytes()[..],
        &length.to_be_bytes(),
        &code.to_be_bytes(),
        &body,
    ]
    .concat()
}

/// The byte string behind a name in a request.
fn field(request: &[u8], name: &[u8]) -> Vec<u8> {
    let at = request.windows(name.len()).position(|part| part == name);
    let rest = &request[at.expect("the name") + name.len()..];
    match rest {
        [0x59, high, low, rest @ ..] => {
            rest[..usize::from(u16::from_be_bytes([*high, *low]))].to_vec()
        }
        _ => Vec::new(),
    }
}

/// A TPM with one NV index, which knows AWS's command if it is a NitroTPM. Tells at its end whether
/// the index was removed.
fn tpm(at: &Path, is_nitro: bool) -> std::thread::JoinHandle<bool> {
    let listener = UnixListener::bind(at).expect("a socket");
    std::thread::spawn(move || {
        let (mut guest, _) = listener.accept().expect("the agent");
        let mut index: Option<Vec<u8>> = None;
        while let Some(command) = message(&mut guest) {
            let code = u32::from_be_bytes(command[6..10].try_into().expect("four"));
            let out = match (code, &mut index) {
                (0x12a, held @ None) => {
                    // The size stands at the end of the index's public part.
                    let size = command.last_chunk::<2>().expect("a size");
                    *held = Some(vec![0xff; usize::from(u16::from_be_bytes(*size))]);
                    answer(0, true, &[])
                }
                (0x122, held @ Some(_)) => {
                    *held = None;
                    answer(0, true, &[])
                }
                (0x137, Some(held)) => {
                    let length = usize::from(u16::from_be_bytes([command[31], command[32]]));
                    let offset = command.last_chunk::<2>().expect("an offset");
                    let offset = usize::from(u16::from_be_bytes(*offset));
                    held[offset..offset + length].copy_from_slice(&command[33..33 + length]);
                    answer(0, true, &[])
                }
                (0x2000_0001, Some(held)) if is_nitro => {
                    let spec = NitroSpec {
                        nonce: field(held, b"\x65nonce"),
                        user_data: field(held, b"\x69user_data"),
                        ..NitroSpec::new(true)
                    };
                    let file = ToyNitro::shared().tell(None, &spec, NOW).file;
                    let mut said = b"\xa1\x6bAttestation\xa1\x68document\x59".to_vec();
                    said.extend(u16::try_from(file.len()).expect("short").to_be_bytes());
                    said.extend(file);
                    held[..said.len()].copy_from_slice(&said);
                    answer(0, true, &[])
                }
                (0x169, Some(held)) => {
                    let mut public = vec![0; 12];
                    public.extend(u16::try_from(held.len()).expect("short").to_be_bytes());
                    let sized = [&[0, 14][..], &public].concat();
                    answer(0, false, &sized)
                }
                (0x14e, Some(held)) => {
                    let end = command.len();
                    let number =
                        |at: usize| usize::from(u16::from_be_bytes([command[at], command[at + 1]]));
                    let (length, offset) = (number(end - 4), number(end - 2));
                    let part = &held[offset..offset + length];
                    let sized = [&command[end - 4..end - 2], part].concat();
                    answer(0, true, &sized)
                }
                // TPM_RC_COMMAND_CODE, or no such index.
                _ => answer(0x143, false, &[]),
            };
            guest.write_all(&out).expect("written");
        }
        index.is_none()
    })
}

fn agent() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_zeuge")).with_file_name("zeuge-agent");
    if !path.exists() {
        println!("skipped: zeuge-agent is not built (cargo build -p zeuge-agent)");
        return None;
    }
    Some(path)
}

fn asked(agent: &Path, socket: &Path) -> Output {
    Command::new(agent)
        .args(["nitro", "--nonce", NONCE, "--user-data", &"5a".repeat(64)])
        .arg("--tpm-socket")
        .arg(socket)
        .output()
        .expect("the agent runs")
}

#[test]
fn the_document_of_a_nitro_tpm_is_fetched_and_believed_and_nothing_is_left_behind() {
    let Some(agent) = agent() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let server = tpm(&at("sock"), true);
    let output = asked(&agent, &at("sock"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(server.join().expect("it ends"), "the index is removed");
    fs::write(at("document.cbor"), output.stdout).expect("a file");
    fs::write(at("trust.json"), ToyNitro::shared().trust_file()).expect("a file");
    for (option, value, code) in [
        ("--nonce", NONCE.to_owned(), 10),
        ("--report-data", "5a".repeat(64), 10),
        ("--nonce", "ff".repeat(16), 3),
    ] {
        let verdict = Command::new(env!("CARGO_BIN_EXE_zeuge"))
            .args(["verify", "--kind", "nitro", "--hardware-only", "--at", AT])
            .args(["--format", "json", option, &value])
            .arg("--dangerous-trust-sim")
            .args([at("trust.json"), at("document.cbor")])
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&verdict.stdout).into_owned();
        assert_eq!(verdict.status.code(), Some(code), "{option}: {said}");
    }
}

#[test]
fn a_tpm_that_is_no_nitro_tpm_is_named_and_left_as_it_was() {
    let Some(agent) = agent() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("sock");
    let server = tpm(&socket, false);
    let output = asked(&agent, &socket);
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("NitroTPM's request answers 0x143"), "{told}");
    assert!(server.join().expect("it ends"), "the index is removed");
}
