//! Inputs that are as long as a reader allows and cost it the most: many small parts, deep nesting,
//! lengths that promise more than there is. Memory is counted; the bounds stand in the functions of
//! the boundaries. Also: every seed, changed at random and in its lengths.

#![expect(clippy::print_stderr, reason = "a failing input must be named")]

use zeuge_boundaries::{TARGETS, by_name, meter::Counting, seeds};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn run(target: &str, name: &str, bytes: &[u8]) {
    eprintln!("{target}: {name}, {} bytes", bytes.len());
    (by_name(target).expect("a boundary").run)(bytes);
}

/// `head`, then `part` as often as fits into `limit` with `tail` behind it.
fn filled(head: &[u8], part: &[u8], tail: &[u8], limit: usize) -> Vec<u8> {
    let mut out = head.to_vec();
    while out.len() + part.len() + tail.len() <= limit {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(tail);
    out
}

/// The same with numbered parts, each unlike the others.
fn numbered(head: &[u8], part: impl Fn(usize) -> Vec<u8>, tail: &[u8], limit: usize) -> Vec<u8> {
    let mut out = head.to_vec();
    for number in 0.. {
        let part = part(number);
        if out.len() + part.len() + tail.len() > limit {
            break;
        }
        out.extend(part);
    }
    out.extend_from_slice(tail);
    out
}

/// JSON that costs a tree much: many small values, arrays, members; deep; long.
fn json(limit: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("numbers", filled(b"{\"a\":[0", b",0", b"]}", limit)),
        ("arrays", filled(b"{\"a\":[[]", b",[]", b"]}", limit)),
        ("objects", filled(b"{\"a\":[{}", b",{\"\":0}", b"]}", limit)),
        ("strings", filled(b"{\"a\":[\"\"", b",\"\"", b"]}", limit)),
        (
            "members",
            numbered(
                b"{\"quote\":\"AAAA\"",
                |number| format!(",\"{number}\":0").into(),
                b"}",
                limit,
            ),
        ),
        (
            "members of one name",
            filled(b"{\"quote\":\"AAAA\"", b",\"a\":0", b"}", limit),
        ),
        ("deep arrays", filled(b"{\"a\":", b"[", b"", limit)),
        ("deep objects", filled(b"", b"{\"a\":", b"", limit)),
        ("one string", filled(b"{\"a\":\"", b"a", b"\"}", limit)),
        ("escapes", filled(b"{\"a\":\"", b"\\u00e9", b"\"}", limit)),
        ("too long", filled(b"{", b" ", b"", limit + 1)),
    ]
}

#[test]
fn json_of_any_shape_stays_within_its_bound() {
    for (target, limit) in [
        ("snp-json", 512 * KIB),
        ("quote-forms", 4 * MIB),
        ("tpm-bundle", 16 * MIB),
        ("bundle", 4 * MIB),
        ("document", 8 * MIB),
        ("api", 6 * MIB),
        ("endorsements", 8 * MIB),
        ("trust-file", MIB),
        ("kind", 8 * MIB),
    ] {
        for (name, bytes) in json(limit) {
            run(target, name, &bytes);
        }
    }
    // A bundle of ours is read only with its type in it.
    let head = br#"{"__cmwc_t":"tag:zeuge.invalid,2026:bundle#1","a":[0"#;
    run(
        "bundle",
        "numbers in a bundle",
        &filled(head, b",0", b"]}", 4 * MIB),
    );
}

#[test]
fn toml_of_any_shape_stays_within_its_bound() {
    let shapes = [
        (
            "keys",
            numbered(b"", |number| format!("a{number}=0\n").into(), b"", MIB),
        ),
        (
            "tables",
            numbered(b"", |number| format!("[a{number}]\n").into(), b"", MIB),
        ),
        ("a list of tables", filled(b"", b"[[a]]\n", b"", MIB)),
        ("numbers", filled(b"a=[0", b",0", b"]\n", MIB)),
        ("inline tables", filled(b"a=[{}", b",{}", b"]\n", MIB)),
        ("deep lists", filled(b"a=", b"[", b"", MIB)),
        ("deep inline tables", filled(b"a=", b"{a=", b"", MIB)),
        ("a deep key", filled(b"a", b".a", b"=0\n", MIB)),
        (
            "many deep keys",
            numbered(
                b"",
                |number| format!("k{number}{}=0\n", ".a".repeat(60)).into(),
                b"",
                MIB,
            ),
        ),
        ("a deep table", filled(b"[a", b".a", b"]\n", MIB)),
        ("a long text", filled(b"schema=\"", b"a", b"\"\n", MIB)),
        ("too long", filled(b"", b"\n", b"", MIB + 1)),
    ];
    for (name, bytes) in shapes {
        for target in [
            "policy",
            "reference-values",
            "release-rule",
            "hardware",
            "knowledge",
            "tpm-roots",
        ] {
            run(target, name, &bytes);
        }
    }
}

/// An element of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let number = length.to_be_bytes();
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    let head = match (length, number) {
        (0..128, _) => vec![tag, number.last().copied().unwrap_or(0)],
        (_, number) => {
            let count = u8::try_from(number.len()).expect("at most eight");
            [&[tag, 0x80 | count], number].concat()
        }
    };
    [head, content.to_vec()].concat()
}

/// A certificate with these names and extensions; every other part is as small as may be.
fn certificate(names: &[u8], extensions: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]));
    let instant = der(0x17, b"260101000000Z");
    let point = der(0x03, &[&[0, 4][..], &[1; 64]].concat());
    let key = der(0x30, &[algorithm.clone(), point].concat());
    let extensions = match extensions {
        [] => Vec::new(),
        list => der(0xa3, &der(0x30, list)),
    };
    let body = [
        der(0xa0, &[2, 1, 2]),
        vec![2, 1, 1],
        algorithm.clone(),
        der(0x30, names),
        der(0x30, &[instant.clone(), instant].concat()),
        der(0x30, names),
        key,
        extensions,
    ]
    .concat();
    der(
        0x30,
        &[der(0x30, &body), algorithm, der(0x03, &[0, 1])].concat(),
    )
}

#[test]
fn certificates_of_many_parts_stay_within_their_bounds() {
    let attribute = attribute();
    let crowded = der(
        0x31,
        &der(0x30, &[der(0x06, &[0x55, 4, 3]), der(0x0c, b"")].concat()).repeat(900),
    );
    let numbered_extension = |number: usize| {
        let [low, high, ..] = number.to_le_bytes();
        let oid = [
            0x55,
            0x1d,
            0x80 | (high & 0x7f).max(1),
            0x80 | (low >> 1),
            low & 1,
        ];
        der(0x30, &[der(0x06, &oid), der(0x04, b"")].concat())
    };
    for bytes in [
        certificate(&attribute.repeat(5), &[]),
        certificate(&attribute.repeat(1200), &[]),
        certificate(&crowded, &[]),
        certificate(
            &attribute,
            &numbered(b"", numbered_extension, b"", 30 * KIB),
        ),
        certificate(
            &attribute,
            &filled(b"", &numbered_extension(3), b"", 30 * KIB),
        ),
        certificate(
            &attribute,
            &der(
                0x30,
                &[
                    der(0x06, &[0x55, 0x1d, 0x11]),
                    der(
                        0x04,
                        &der(0x30, &der(0xa4, &der(0x30, &attribute.repeat(1500)))),
                    ),
                ]
                .concat(),
            ),
        ),
        filled(&[0x30, 0x82, 0x7f, 0xf0], &[0x30, 0x80], b"", 32 * KIB),
        filled(b"", &[0x30, 0x82, 0x7f, 0xf0], b"", 32 * KIB),
        filled(b"", b"\x30", b"", 32 * KIB + 1),
    ] {
        run("certificate", "many parts", &bytes);
        run("ek", "many parts", &bytes[..bytes.len().min(32 * KIB)]);
        run("tpm-public", "many parts", &bytes);
    }
}

/// An attribute of a name, as short as may be.
fn attribute() -> Vec<u8> {
    let parts = [der(0x06, &[0x55, 4, 3]), der(0x0c, b"")].concat();
    der(0x31, &der(0x30, &parts))
}

#[test]
fn a_revocation_list_of_many_entries_stays_within_its_bound() {
    let attribute = attribute();
    let algorithm = der(0x30, &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]));
    let instant = der(0x17, b"260101000000Z");
    let entry = |number: usize| {
        let serial = [&[1][..], &number.to_be_bytes()[4..]].concat();
        der(
            0x30,
            &[der(0x02, &serial), der(0x17, b"260101000000Z")].concat(),
        )
    };
    let entries = numbered(b"", entry, b"", 4 * MIB - 200);
    let body = [
        vec![2, 1, 1],
        algorithm.clone(),
        der(0x30, &attribute),
        instant.clone(),
        instant,
        der(0x30, &entries),
    ]
    .concat();
    let list = der(
        0x30,
        &[der(0x30, &body), algorithm, der(0x03, &[0, 1])].concat(),
    );
    // Asserting about every entry is quadratic: the reader alone, and a list of some entries.
    let (read, peak) = zeuge_boundaries::meter::peak(|| {
        zeuge_evidence::x509::RevocationList::parse(&list).map(|list| list.revoked.len())
    });
    assert!(
        read.as_ref().is_ok_and(|entries| *entries > 100_000),
        "{read:?}"
    );
    assert!(peak <= 32 * list.len(), "{peak} bytes for {}", list.len());
}

#[test]
fn logs_and_lists_of_many_entries_stay_within_their_bounds() {
    let all = seeds::all();
    let agile = &all["event-log/agile"];
    let head = &agile[..32 + 37];
    let digestless = [&[0; 4][..], &[1, 0, 0, 0], &[0; 4], &[0; 4]].concat();
    let event = [
        &[0; 4][..],
        &[1, 0, 0, 0],
        &[1, 0, 0, 0],
        &[0x0b, 0],
        &[6; 32],
        &[0; 4],
    ]
    .concat();
    run("event-log", "events", &filled(head, &event, b"", 4 * MIB));
    run(
        "event-log",
        "events without digests",
        &filled(head, &digestless, b"", 4 * MIB),
    );
    run(
        "event-log",
        "padding",
        &filled(head, &[0xff], b"", 4 * MIB + 1),
    );
    let sha1 = &all["event-log/sha1"];
    run(
        "event-log",
        "old events",
        &filled(
            sha1,
            &[&[0; 4][..], &[1, 0, 0, 0], &[5; 20], &[0; 4]].concat(),
            b"",
            4 * MIB,
        ),
    );
    // Algorithms without end in the header.
    let banks = [
        &agile[..28],
        &u32::to_le_bytes(0x10000)[..],
        b"Spec ID Event03\0",
        &[0, 0, 0, 0, 0, 2, 0, 2],
        &u32::to_le_bytes(0x3ff0),
    ]
    .concat();
    run(
        "event-log",
        "banks",
        &filled(&banks, &[0x0b, 0, 32, 0], b"", 256 * KIB),
    );
}

#[test]
fn lists_of_ima_with_many_entries_stay_within_their_bounds() {
    let all = seeds::all();
    let text = &all["ima/text"];
    let line = text
        .split_inclusive(|byte| *byte == b'\n')
        .next()
        .expect("a line");
    run("ima", "lines", &filled(b"", line, b"", 4 * MIB));
    run("ima", "empty lines", &filled(b"", b"\n", b"", 4 * MIB));
    run("ima", "one line", &filled(b"", b"a", b"\n", 4 * MIB));
    run(
        "ima",
        "entries",
        &filled(b"", &all["ima/binary"], b"", 4 * MIB),
    );
    let promise = [&10_u32.to_le_bytes()[..], &[1; 20], &u32::MAX.to_le_bytes()].concat();
    run("ima", "a name of 4 GiB", &promise);
}

#[test]
fn variables_and_paths_of_many_parts_stay_within_their_bounds() {
    let entry = |size: u32, total: u32| {
        [
            &[0x26; 16][..],
            &total.to_le_bytes(),
            &0_u32.to_le_bytes(),
            &size.to_le_bytes(),
        ]
        .concat()
    };
    let one = [entry(16, 44), vec![7; 16]].concat();
    run("secure-boot", "small lists", &filled(b"", &one, b"", MIB));
    let fits = u32::try_from(28 + 16 * 65_000).expect("small");
    run(
        "secure-boot",
        "one list",
        &filled(&entry(16, fits), &[7; 16], b"", 28 + 16 * 65_000),
    );
    run("secure-boot", "a list of 4 GiB", &entry(u32::MAX, u32::MAX));
    let path = |name: &[u8]| {
        [
            &[4, 4][..],
            &u16::try_from(name.len() + 4).expect("short").to_le_bytes(),
            name,
        ]
        .concat()
    };
    run(
        "secure-boot",
        "a long path",
        &path(&[b'a', 0].repeat(30_000)),
    );
    run(
        "secure-boot",
        "many paths",
        &filled(b"", &path(&[b'a', 0]), b"", MIB),
    );
}

#[test]
fn binary_wrappings_of_many_parts_stay_within_their_bounds() {
    // Fields of protobuf: empty strings, numbers, lengths beyond the end.
    for (name, part) in [
        ("empty strings", &b"\x0a\x00"[..]),
        ("numbers", b"\x08\x00"),
        ("unknown fields", b"\x7a\x00"),
        ("nested", b"\x0a\x7f"),
        (
            "long varints",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
    ] {
        run(
            "snp-protobuf",
            name,
            &filled(b"\x0a\x00", part, b"", 256 * KIB),
        );
        run(
            "quote-forms",
            name,
            &filled(b"\x0a\x00", part, b"", 256 * KIB),
        );
        run("tpm-bundle", name, &filled(b"\x0a\x00", part, b"", MIB));
    }
}

#[test]
fn a_message_of_eight_quotes_with_one_large_log_stays_within_its_bound() {
    // The quotes share what lies beside them, but each bundle has its own copy.
    let all = seeds::all();
    let google = &all["tpm-bundle/google"];
    let quote_at = google
        .windows(2)
        .position(|two| two[0] == 0x12)
        .expect("field 2");
    let long = |number: u8, length: usize| {
        let mut out = vec![(number << 3) | 2];
        let mut rest = length;
        while rest >= 128 {
            out.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).expect("seven bits"));
        out.resize(out.len() + length, 7);
        out
    };
    let key = &google[..quote_at];
    let quote = &google[quote_at..];
    let shared = [
        key.to_vec(),
        quote.repeat(8),
        long(3, 8 * MIB),
        long(7, 4 * MIB),
    ]
    .concat();
    run("tpm-bundle", "eight quotes and one large log", &shared);
}

#[test]
fn tables_and_texts_of_many_parts_stay_within_their_bounds() {
    // A table of GUIDs whose lengths promise more than there is.
    let row = [
        &[0x63; 16][..],
        &u32::MAX.to_le_bytes(),
        &u32::MAX.to_le_bytes(),
    ]
    .concat();
    run("snp-table", "rows", &filled(b"", &row, b"", 128 * KIB));
    run("snp-table", "too long", &vec![1; 128 * KIB + 1]);
    run(
        "endorsements",
        "empty blocks of PEM",
        &filled(
            b"",
            b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            b"",
            8 * MIB,
        ),
    );
    run(
        "endorsements",
        "open blocks of PEM",
        &filled(b"", b"-----BEGIN CERTIFICATE-----\n", b"", MIB),
    );
    run("endorsements", "hex", &filled(b"", b"30", b"", 8 * MIB));
    run("quote-forms", "base64", &filled(b"", b"A", b"", 160 * KIB));
    let note = filled(
        b"log\n1\n",
        b"a\n",
        b"\n\xe2\x80\x94 log AAAAAAAA\n",
        256 * KIB,
    );
    run("checkpoint", "lines", &note);
    run(
        "checkpoint",
        "signatures",
        &filled(b"log\n\n", "— log AAAAAAAA\n".as_bytes(), b"", 256 * KIB),
    );
    run(
        "proof",
        "hashes",
        &filled(
            b"c2sp.org/tlog-proof@v1\nindex 0\n",
            b"AAAA\n",
            b"\n",
            300 * KIB,
        ),
    );
    run("tile", "empty entries", &[0; 1024]);
    run("token", "dots", &filled(b"", b".", b"", 64 * KIB));
    run(
        "cbor",
        "items",
        &filled(&[0x99, 0x10, 0x00], &[0x00], b"", 4099),
    );
    run(
        "cbor",
        "a promise",
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    );
    run(
        "cbor",
        "a long promise",
        &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    );
    run("cbor", "deep", &[0x81; 4096]);
    run("binding", "deep", &[0xa1; 4096]);
    run("leaf", "deep", &[0x81; 4096]);
}

/// A small generator (xorshift): the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// Numbers that lengths are broken with.
const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0x81, 0x82, 0xfe, 0xff];

fn mutated(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len());
        match (dice.roll(6), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << dice.roll(8),
            (1, Some(byte)) => *byte = EDGES[dice.roll(8)],
            (2, Some(_)) => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            (3, _) => bytes.truncate(at),
            (4, Some(_)) => {
                let part = bytes[at..].iter().take(40).copied().collect::<Vec<u8>>();
                bytes.splice(at..at, part);
            }
            _ => drop(bytes.drain(at..(at + dice.roll(8)).min(bytes.len()))),
        }
    }
    bytes
}

#[test]
fn changed_seeds_stay_within_their_bounds() {
    let all = seeds::all();
    let mut dice = Dice(0x5eed_0003);
    for target in TARGETS {
        // What goes through signatures has its own tests.
        if target.name.ends_with("-told") || target.name == "intel-document" {
            continue;
        }
        let folder = format!("{}/", target.name);
        let seeds = all.iter().filter(|(name, _)| name.starts_with(&folder));
        for (name, seed) in seeds {
            for _ in 0..200 {
                let bytes = mutated(seed, &mut dice);
                let shown = hex::encode(&bytes[..bytes.len().min(2000)]);
                let run = || (target.run)(&bytes);
                let outcome = std::panic::catch_unwind(run);
                assert!(outcome.is_ok(), "{name} changed to {shown}");
            }
        }
    }
}

/// A heap of thousands of false leaves for the same chip: verification reads them all, tries few,
/// and keeps nothing of them but notes.
#[test]
fn a_verification_in_a_crowd_stays_within_its_bound() {
    use zeuge_evidence::{UnixTime, snp::Report};
    use zeuge_sim::{Product, ReportSpec, ToyAmd};
    use zeuge_verify::{Anchors, Binding, Endorsements, crypto::AWS_LC};

    let now = UnixTime(1_772_323_200);
    let toy = ToyAmd::shared();
    let told = toy.tell(None, &ReportSpec::new(Product::Milan), now);
    let mut heap = Endorsements::new();
    let mut held = 0;
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
        held += bytes.len();
    }
    let (_, leaf) = &told.endorsements[0];
    for number in 0_u32..3000 {
        let mut other = leaf.clone();
        let end = other.len();
        other[end - 4..].copy_from_slice(&number.to_le_bytes());
        held += other.len();
        heap.add("a crowd", &other);
    }
    let anchors = Anchors::dangerous_sim(&toy.trust_file(&[Product::Milan])).expect("a trust file");
    let binding = Binding::ReportData(told.expected_report_data);
    let report = Report::parse(&told.report).expect("an honest report");
    let verify = || zeuge_verify::snp(&report, &heap, &anchors, &binding, now, &AWS_LC);
    let (proven, peak) = zeuge_boundaries::meter::peak(verify);
    // Whether the true leaf is among those that are tried is not the question here.
    if let Ok(proven) = &proven {
        assert!(proven.fact().notes.len() < 200);
    }
    assert!(peak <= 4 * held, "{peak} bytes beside a heap of {held}");
}
