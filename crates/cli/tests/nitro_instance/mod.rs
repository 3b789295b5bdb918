//! A stand-in for the TPM of an instance at AWS: one NV index, PCR 8, and the command that only a
//! NitroTPM knows. Its documents are a toy's.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
};

use zeuge_evidence::UnixTime;
use zeuge_sim::{NitroLie, NitroSpec, ToyNitro};

/// Whose TPM it is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Nobody's in particular: it does not know AWS's command.
    Plain,
    /// A NitroTPM, honest or with this lie.
    Nitro(Option<NitroLie>),
}

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

/// Serves one program of the guest's, with this in PCR 8. Tells at its end whether the index was
/// removed.
pub(crate) fn tpm(
    at: &Path,
    kind: Kind,
    pcr_8: [u8; 32],
    now: UnixTime,
) -> std::thread::JoinHandle<bool> {
    let (is_nitro, lie) = match kind {
        Kind::Plain => (false, None),
        Kind::Nitro(lie) => (true, lie),
    };
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
                    let file = ToyNitro::shared().tell(lie, &spec, now).file;
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
                // TPM2_PCR_Read of one register: counter, selection as asked, one digest.
                (0x17e, _) => {
                    let digest = [&[0, 0, 0, 1, 0, 32][..], &pcr_8].concat();
                    answer(0, false, &[&[0; 4], &command[10..], &digest].concat())
                }
                // TPM_RC_COMMAND_CODE, or no such index.
                _ => answer(0x143, false, &[]),
            };
            guest.write_all(&out).expect("written");
        }
        index.is_none()
    })
}
