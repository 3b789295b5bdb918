//! The offline bundle: one JSON file that carries a cache to where no maker can be reached.
//!
//! ```json
//! {"schema":"zeuge.collateral-bundle.v1","created_at":"2026-03-01T00:00:00Z",
//!  "members":[{"key":"amd/crl/Milan/vcek","fetched_at":"…","sha256":"hex","data":"base64"}]}
//! ```
//! The hashes find damage; they prove nothing, and need not: every member is held against the
//! pinned roots and the marks before it is kept.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use zeuge_verify::UnixTime;

use crate::{
    Problem, Wanted,
    cache::{ENTRIES_MAX, Held, hash},
};

/// The schema of a bundle.
pub const BUNDLE_SCHEMA: &str = "zeuge.collateral-bundle.v1";
/// Ten thousand certificates of 2 KiB in base64 and their names.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What came of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Keys that are now in the cache.
    pub kept: Vec<String>,
    /// Keys that are not, each with the reason.
    pub refused: Vec<(String, Problem)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    schema: String,
    created_at: String,
    members: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    key: String,
    fetched_at: String,
    sha256: String,
    data: String,
}

/// A member that is what the bundle says of it, not yet held against any root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) wanted: Wanted,
    pub(crate) fetched_at: UnixTime,
    pub(crate) bytes: Vec<u8>,
}

/// Writes a bundle.
pub(crate) fn write(held: &[(Wanted, Held)], now: UnixTime) -> Result<Vec<u8>, Problem> {
    let members = held.iter().map(|(wanted, held)| Member {
        key: wanted.key(),
        fetched_at: UnixTime(held.entry.fetched_at).to_string(),
        sha256: hash(&held.bytes),
        data: BASE64_STANDARD.encode(&held.bytes),
    });
    let bundle = Bundle {
        schema: BUNDLE_SCHEMA.to_owned(),
        created_at: now.to_string(),
        members: members.collect(),
    };
    serde_json::to_vec(&bundle).map_err(|error| broken("bundle", &error.to_string(), BUNDLE_SCHEMA))
}

/// Reads a bundle: what vouches comes first.
///
/// # Errors
/// `collateral.bundle` for another form, a hash that differs or a key that is unknown or twice;
/// `collateral.size` for more bytes than a bundle has.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Read>, Problem> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(Problem::Size {
            bytes_max: BUNDLE_BYTES_MAX,
        });
    }
    let bundle: Bundle = serde_json::from_slice(bytes)
        .map_err(|error| broken("bundle", &error.to_string(), BUNDLE_SCHEMA))?;
    if bundle.schema != BUNDLE_SCHEMA {
        return Err(broken("bundle", &bundle.schema, BUNDLE_SCHEMA));
    }
    if UnixTime::parse_rfc3339(&bundle.created_at).is_none() {
        return Err(broken("bundle", &bundle.created_at, "an instant"));
    }
    if bundle.members.len() > ENTRIES_MAX {
        let found = format!("{} members", bundle.members.len());
        return Err(broken("bundle", &found, &format!("at most {ENTRIES_MAX}")));
    }
    let mut members = Vec::new();
    let mut keys = std::collections::BTreeSet::new();
    for member in bundle.members {
        if !keys.insert(member.key.clone()) {
            return Err(broken(
                &member.key,
                "the key a second time",
                "each key once",
            ));
        }
        members.push(read_member(&member)?);
    }
    members.sort_by_key(|member| member.wanted.rank());
    Ok(members)
}

fn read_member(member: &Member) -> Result<Read, Problem> {
    let refuse = |found: &str, wanted: &str| broken(&member.key, found, wanted);
    let wanted = Wanted::parse(&member.key)
        .ok_or_else(|| refuse("an unknown key", "a key as amd/crl/Milan/vcek"))?;
    let fetched_at = UnixTime::parse_rfc3339(&member.fetched_at)
        .ok_or_else(|| refuse(&member.fetched_at, "an instant"))?;
    let bytes = BASE64_STANDARD
        .decode(&member.data)
        .map_err(|error| refuse(&error.to_string(), "base64"))?;
    let bytes_max = wanted.bytes_max();
    if bytes.len() > bytes_max {
        return Err(Problem::Size { bytes_max });
    }
    let found = hash(&bytes);
    if found != member.sha256 {
        return Err(refuse(&found, &member.sha256));
    }
    Ok(Read {
        wanted,
        fetched_at,
        bytes,
    })
}

fn broken(member: &str, found: &str, wanted: &str) -> Problem {
    Problem::Bundle {
        member: member.to_owned(),
        found: found.to_owned(),
        wanted: wanted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"{"schema":"zeuge.collateral-bundle.v1","created_at":"2026-03-01T00:00:00Z","members":[{"key":"amd/crl/Milan/vcek","fetched_at":"2026-03-01T00:00:00Z","sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","data":"YWJj"}]}"#;

    #[test]
    fn a_whole_bundle_is_read() {
        let members = read(DATA.as_bytes()).unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].bytes, b"abc");
    }

    #[test]
    fn damage_of_any_kind_is_found() {
        let member = &DATA[DATA.find('[').unwrap() + 1..DATA.len() - 2];
        for (from, to) in [
            ("bundle.v1", "bundle.v2"),
            ("YWJj", "YWJk"),
            ("YWJj", "Y!Jj"),
            ("Milan", "Rome"),
            ("2026-03-01T00:00:00Z\",\"m", "today\",\"m"),
            ("\"data\"", "\"date\""),
            (member, &format!("{member},{member}")),
        ] {
            let damaged = DATA.replace(from, to);
            let problem = read(damaged.as_bytes()).unwrap_err();
            assert_eq!(problem.check(), "collateral.bundle", "{from} {to}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
