//! The only room that calls the makers: endorsements by name in, certificates and lists out.
//!
//! *Flow*: what `verify` says it needs → the cache → at most one request per key to the maker or a
//! mirror → held against what was asked for → the cache → a heap for `verify`.
//!
//! *Guarantees*: nothing is kept that the pinned roots do not vouch for; a revocation list older
//! than one already seen from the same issuer is refused, also after a restart; a list past its
//! end is never handed out unless the configuration says so in words; a maker that asks for a
//! pause gets it; everything that is read has a limit.
//!
//! *Assumptions*: the caller brings the instant, the roots and the name of whoever asks. The
//! folder belongs to this program alone; several processes may share it.
//!
//! *Caveats*: being handed out is not being believed: `verify` checks everything again. Addresses
//! come from the configuration alone, never from evidence, and redirects are not followed.
#![forbid(unsafe_code)]

mod address;
mod back_off;
mod budget;
mod bundle;
mod cache;
mod content;
mod disk;
mod fetch;
mod forecast;
mod http;
mod intel;
mod mark;
mod obtain;
mod pcs;
mod problem;
mod prove;
mod quote;
mod wanted;
mod warm;

pub use address::{BaseUrl, Pcs, Sources};
pub use back_off::retry_after_secs;
pub use budget::{ASKING_MAX, Allowance};
pub use bundle::{BUNDLE_BYTES_MAX, BUNDLE_SCHEMA, Imported};
pub use cache::{EntryStatus, Status};
pub use fetch::{Answer, Fetcher, Got, Unreachable};
pub use forecast::ChannelFacts;
pub use http::{BadTls, HttpFetcher};
pub use intel::Seen;
pub use mark::Mark;
pub use obtain::{Ages, Collateral, HeldAge, Obtained, Outcome, State};
pub use pcs::{Channel, PckRequest, PcsId};
pub use problem::{CacheError, Problem};
pub use prove::{Proof, Question};
pub use quote::{QuoteProof, QuoteQuestion};
pub use wanted::Wanted;

/// The ids of all checks of this room, by the file that owns them.
pub const CHECKS: &[&[&str]] = &[problem::CHECKS];
