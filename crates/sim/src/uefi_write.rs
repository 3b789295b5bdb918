//! Data of boot records as firmware, boot loaders and Linux' EFI stub write it (UEFI 2.10, TCG PC
//! Client Platform Firmware Profile), for the logs of TPMs and of trust domains.

/// `EFI_GLOBAL_VARIABLE`.
const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// Tag of the initial file system.
pub(crate) const INITRD_TAG: u32 = 0x8f3b_22ec;
/// Tag of the kernel's command line.
pub(crate) const LOAD_OPTIONS_TAG: u32 = 0x8f3b_22ed;

/// A text in UTF-16.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// How many bytes these are, in four.
pub(crate) fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// `UEFI_VARIABLE_DATA` of a global variable.
pub(crate) fn variable(name: &str, content: &[u8]) -> Vec<u8> {
    let mut out = GLOBAL.to_vec();
    out.extend((name.len() as u64).to_le_bytes());
    out.extend((content.len() as u64).to_le_bytes());
    out.extend(utf16(name));
    out.extend(content);
    out
}

/// `UEFI_IMAGE_LOAD_EVENT` with a file path.
pub(crate) fn image(path: &str) -> Vec<u8> {
    let name = utf16(&format!("{path}\0"));
    let node = u16::try_from(name.len() + 4).unwrap_or(u16::MAX);
    let mut device_path = vec![4, 4];
    device_path.extend(node.to_le_bytes());
    device_path.extend(name);
    device_path.extend([0x7f, 0xff, 4, 0]);
    let mut out = vec![0; 24];
    out.extend((device_path.len() as u64).to_le_bytes());
    out.extend(device_path);
    out
}

/// `PCClientTaggedEvent` of Linux' EFI stub: the digest is of what the text names, not of the text.
pub(crate) fn tagged(tag: u32, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    [&tag.to_le_bytes()[..], &length(text), text].concat()
}
