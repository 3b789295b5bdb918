//! What one witness takes from the world at most, in one place; `docs/limits.md` is its table, and
//! a test holds the two together.
//!
//! Numbers only; who keeps them stands beside each.

use std::time::Duration;

use zeuge_protocol::api::BODY_BYTES_MAX;
use zeuge_protocol::document::DOCUMENT_BYTES_MAX;
use zeuge_protocol::waiver::WAIVER_BYTES_MAX;

use crate::enrolment::REQUEST_BYTES_MAX;
use crate::secrets::UPLOAD_BYTES_MAX;
use crate::stops::STOP_BYTES_MAX;

/// Handles that are kept free for the database, tiles, the archive and the makers.
pub const HANDLES_KEPT: u64 = 512;
/// Connections at once, where the machine allows as many handles; the longest idle one goes when
/// another comes. Kept by [`crate::door`], as those that follow.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Connections of one source: a proxy before many agents needs some.
pub const SOURCE_CONNECTIONS_MAX: usize = 1024;
/// TLS handshakes under way at once; the longest under way goes when another comes.
pub const HANDSHAKES_MAX: usize = 1024;
/// How long a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may be idle, and how long the head of a request may take in all.
pub const HEAD: Duration = Duration::from_secs(20);
/// The longest head of a request in bytes: a path and a token are well below 1 KiB.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields of one request.
pub const HEADERS_MAX: usize = 64;
/// How long a body may take in all. Kept by [`crate::load`], as those that follow.
pub const BODY: Duration = Duration::from_secs(30);
/// How long a body may stand still between two pieces.
pub const BODY_PAUSE: Duration = Duration::from_secs(5);
/// How long a client may take nothing of an answer.
pub const ANSWER_PAUSE: Duration = Duration::from_secs(10);
/// Bytes of answers that the kernel keeps for one client. Its own measure grows to megabytes, which
/// times all connections is more than a machine has, and whoever asks without reading gets them filled.
pub const ANSWER_BYTES_KEPT: usize = 64 * 1024;
/// Bytes of bodies at once, arriving or under way.
pub const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same of one source: the longest document twice.
pub const SOURCE_BODIES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Requests under way at all.
pub const REQUESTS_MAX: usize = 512;
/// Requests under way from one source; an agent needs one, a proxy before many agents some.
pub const SOURCE_REQUESTS_MAX: usize = 64;
/// Requests and connections that one source may begin in a second when `serve` is not told
/// otherwise; twice as many at once after a pause.
pub const SOURCE_PER_SECOND: u32 = 500;
/// Sources that are told apart; further ones share one account.
pub const SOURCES_MAX: usize = 16_384;
/// The longest request for a challenge in bytes, and the longest body where none is wanted.
pub const CHALLENGE_BYTES_MAX: usize = 1024;
/// The longest description of a tenant or token: 32 owners with their keys.
pub const TENANT_BYTES_MAX: usize = 64 * 1024;
/// The longest checkpoint that somebody shows in bytes: a receipt holds an entry of 64 KiB at most,
/// in base64, and a path.
pub const HELD_BYTES_MAX: usize = 256 * 1024;
/// Appraisals under way at once: each holds a bundle of some MiB at worst and a processor.
pub const APPRAISALS_MAX: usize = 64;
/// Appraisals of one source under way at once.
pub const SOURCE_APPRAISALS_MAX: usize = 32;
/// Threads for work that waits for disk or processor: every appraisal, and what is short.
pub const THREADS_MAX: usize = APPRAISALS_MAX + 32;

/// The longest body that a path takes, in bytes.
#[must_use]
pub fn body_max(path: &str) -> usize {
    match path {
        "/v1/appraisals" | "/v1/releases" => BODY_BYTES_MAX,
        "/v1/secrets" => UPLOAD_BYTES_MAX,
        "/v1/checkpoints" => HELD_BYTES_MAX,
        "/v1/stops" => STOP_BYTES_MAX,
        "/v1/waivers" => WAIVER_BYTES_MAX,
        _ if path.starts_with("/v1/documents/") => DOCUMENT_BYTES_MAX,
        _ if path.starts_with("/v1/enrolments") => REQUEST_BYTES_MAX,
        _ if path.starts_with("/v1/tenants") => TENANT_BYTES_MAX,
        _ => CHALLENGE_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{denials, enrolment, feed, http, session, tenants};
    use zeuge_protocol::{bundle, cbor, manifest, request};

    /// Every number of the table, as the code has it.
    fn table() -> Vec<(&'static str, u64)> {
        let secs = |time: Duration| time.as_secs();
        let count = |number: usize| u64::try_from(number).unwrap();
        vec![
            ("HANDLES_KEPT", HANDLES_KEPT),
            ("CONNECTIONS_MAX", count(CONNECTIONS_MAX)),
            ("SOURCE_CONNECTIONS_MAX", count(SOURCE_CONNECTIONS_MAX)),
            ("HANDSHAKES_MAX", count(HANDSHAKES_MAX)),
            ("HANDSHAKE", secs(HANDSHAKE)),
            ("HEAD", secs(HEAD)),
            ("HEAD_BYTES_MAX", count(HEAD_BYTES_MAX)),
            ("HEADERS_MAX", count(HEADERS_MAX)),
            ("BODY", secs(BODY)),
            ("BODY_PAUSE", secs(BODY_PAUSE)),
            ("ANSWER_PAUSE", secs(ANSWER_PAUSE)),
            ("ANSWER_BYTES_KEPT", count(ANSWER_BYTES_KEPT)),
            ("BODIES_BYTES_MAX", count(BODIES_BYTES_MAX)),
            ("SOURCE_BODIES_BYTES_MAX", count(SOURCE_BODIES_BYTES_MAX)),
            ("REQUESTS_MAX", count(REQUESTS_MAX)),
            ("SOURCE_REQUESTS_MAX", count(SOURCE_REQUESTS_MAX)),
            ("SOURCE_PER_SECOND", u64::from(SOURCE_PER_SECOND)),
            ("SOURCES_MAX", count(SOURCES_MAX)),
            ("APPRAISALS_MAX", count(APPRAISALS_MAX)),
            ("SOURCE_APPRAISALS_MAX", count(SOURCE_APPRAISALS_MAX)),
            ("ASKING_MAX", count(zeuge_collateral::ASKING_MAX)),
            ("THREADS_MAX", count(THREADS_MAX)),
            ("CHALLENGE_BYTES_MAX", count(CHALLENGE_BYTES_MAX)),
            ("BODY_BYTES_MAX", count(BODY_BYTES_MAX)),
            ("DOCUMENT_BYTES_MAX", count(DOCUMENT_BYTES_MAX)),
            ("UPLOAD_BYTES_MAX", count(UPLOAD_BYTES_MAX)),
            ("REQUEST_BYTES_MAX", count(REQUEST_BYTES_MAX)),
            ("TENANT_BYTES_MAX", count(TENANT_BYTES_MAX)),
            ("HELD_BYTES_MAX", count(HELD_BYTES_MAX)),
            ("WAIVER_BYTES_MAX", count(WAIVER_BYTES_MAX)),
            ("STOP_BYTES_MAX", count(STOP_BYTES_MAX)),
            ("BUNDLE_BYTES_MAX", count(bundle::BUNDLE_BYTES_MAX)),
            ("MEMBERS_MAX", count(bundle::MEMBERS_MAX)),
            ("DEPTH_MAX", count(cbor::DEPTH_MAX)),
            ("ITEMS_MAX", count(cbor::ITEMS_MAX)),
            ("SECRET_BYTES_MAX", count(manifest::SECRET_BYTES_MAX)),
            ("SECRETS_MAX", count(request::SECRETS_MAX)),
            ("CHALLENGE_SECS", u64::from(session::CHALLENGE_SECS)),
            ("ROWS_MAX", u64::from(http::ROWS_MAX)),
            ("TOKENS_MAX", count(tenants::TOKENS_MAX)),
            ("STOPPED_MAX", count(crate::stops::STOPPED_MAX)),
            ("WAITING_MAX", count(enrolment::WAITING_MAX)),
            ("FOLLOWERS_MAX", count(feed::FOLLOWERS_MAX)),
            ("FOLLOWERS_OF_ONE_MAX", count(feed::FOLLOWERS_OF_ONE_MAX)),
            ("QUEUE_MAX", count(feed::QUEUE_MAX)),
            ("DENIAL_SOURCES_MAX", count(denials::SOURCES_MAX)),
        ]
    }

    #[test]
    fn the_documented_table_is_that_of_the_code() {
        let page = include_str!("../../../docs/limits.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let told: Vec<(&str, u64)> = rows
            .map(|row| {
                let (name, rest) = row.split_once("` | ").unwrap();
                let number = rest.split_once(' ').unwrap().0.replace(',', "");
                (name, number.parse().unwrap())
            })
            .collect();
        assert_eq!(told, table());
    }

    #[test]
    fn every_duration_is_whole_seconds_as_the_table_tells_them() {
        for time in [HANDSHAKE, HEAD, BODY, BODY_PAUSE, ANSWER_PAUSE] {
            assert_eq!(time.subsec_nanos(), 0);
        }
    }
}
