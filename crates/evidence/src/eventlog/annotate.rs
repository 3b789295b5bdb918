//! A log for people, record by record: the tree behind `zeuge inspect`.
//!
//! Made from the parsed log alone; claims nothing. Long data is cut and says so.

use super::{Event, EventKind, EventLog, Form, uefi};
use crate::annotate::Node;

const SPEC: &str = "TCG PC Client Firmware Profile §10";
/// Bytes of data that are printed; a tree is for people.
const PRINTED_MAX: usize = 256;

/// The records of a log, one node each.
#[must_use]
pub fn annotate(log: &EventLog<'_>) -> Node {
    let mut children = Vec::new();
    if let Form::CryptoAgile {
        platform_class,
        version: (major, minor, errata),
        algorithms,
        ..
    } = &log.form
    {
        let banks: Vec<String> = algorithms
            .iter()
            .map(|(bank, size)| format!("{bank} ({size} bytes)"))
            .collect();
        let length = log.events.first().map_or(log.end, |event| event.offset);
        children.push(
            Node::field("Spec ID Event03", 0, length, banks.join(", ")).meaning(format!(
                "platform class {platform_class}, version {major}.{minor}, errata {errata}"
            )),
        );
    }
    let old = log.form == Form::Sha1Only;
    let records = log.events.iter().enumerate();
    children.extend(records.map(|(index, event)| record(index, event, old)));
    Node::group("event log", 0, log.end, children).spec(SPEC)
}

fn record(index: usize, event: &Event<'_>, old: bool) -> Node {
    let mut children = Vec::new();
    // Register, type and count stand before the digests, an algorithm number before each; in the
    // old form register and type, and nothing before the one digest.
    let (head, number) = if old { (8, 0) } else { (12, 2) };
    let mut at = event.offset.saturating_add(head);
    for (bank, digest) in &event.digests {
        at = at.saturating_add(number);
        children.push(Node::bytes(bank.to_string(), at, digest));
        at = at.saturating_add(digest.len());
    }
    let end = event.offset.saturating_add(event.length);
    let data_at = end.saturating_sub(event.data.len());
    let shown = event.data.get(..PRINTED_MAX).unwrap_or(event.data);
    let mut data = Node::field("data", data_at, event.data.len(), hex::encode(shown));
    if shown.len() < event.data.len() {
        data = data.meaning(format!("the first {PRINTED_MAX} bytes"));
    }
    children.push(data);
    let register = match event.register {
        u32::MAX => "no register".to_owned(),
        register => format!("register {register}"),
    };
    let name = format!("event {index}: {register}, {}", event.kind);
    Node::group(name, event.offset, event.length, children).meaning(describe(event))
}

/// What a record is about, in the log's own words: a variable's name, a path, a sentence. Empty
/// where the log has no words for it. A label, believed by nobody.
#[must_use]
pub fn describe(event: &Event<'_>) -> String {
    match event.kind {
        EventKind::VARIABLE_DRIVER_CONFIG
        | EventKind::VARIABLE_BOOT
        | EventKind::VARIABLE_BOOT2
        | EventKind::VARIABLE_AUTHORITY => uefi::Variable::read(event.data)
            .map_or_else(String::new, |variable| {
                format!("variable {} ({} bytes)", variable.name, variable.data.len())
            }),
        EventKind::BOOT_SERVICES_APPLICATION
        | EventKind::BOOT_SERVICES_DRIVER
        | EventKind::RUNTIME_SERVICES_DRIVER => uefi::image_path(event.data).unwrap_or_default(),
        EventKind::SEPARATOR => "the end of the firmware's part of this register".to_owned(),
        EventKind::IPL | EventKind::EFI_ACTION => printable(event.data),
        _ => String::new(),
    }
}

fn printable(data: &[u8]) -> String {
    let data = data.get(..PRINTED_MAX).unwrap_or(data);
    let text = match data {
        [first, 0, ..] if *first != 0 => uefi::utf16(data),
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventlog::tests::log;

    #[test]
    fn the_digest_of_an_old_record_is_shown_where_it_stands() {
        let mut bytes = vec![0; 8];
        bytes.extend([5; 20]);
        bytes.extend([0; 4]);
        bytes[4] = 8;
        let tree = annotate(&EventLog::parse_tpm(&bytes).unwrap());
        let digest = &tree.children[0].children[0];
        assert_eq!((digest.offset, digest.length), (8, 20));
    }

    #[test]
    fn every_record_has_a_node_whose_data_ends_with_it() {
        let bytes = log(&[(8, 0x0d, b"grub_cmd: boot\0"), (0, 4, &[0; 4])]);
        let tree = annotate(&EventLog::parse_tpm(&bytes).unwrap());
        let last = tree.children.last().unwrap();
        assert_eq!(last.name, "event 1: register 0, EV_SEPARATOR");
        let data = last.children.last().unwrap();
        assert_eq!(data.offset + data.length, bytes.len());
        assert_eq!(tree.children.len(), 3);
    }
}
