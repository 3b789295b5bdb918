//! The conversation of an agent and a witness as two state machines without I/O (STYLE 16).
//!
//! Events come in, effects go out; the doors carry them. A machine never waits, never sends,
//! never reads a clock: `now` and random bytes are arguments of every step. The witness's verdict
//! comes in as [`witness::Event::Judged`]; nothing here appraises.
//!
//! *Flow*: challenge → evidence over the binding → judge → one transaction that spends the
//! challenge and writes the leaf → release under that leaf → signed answer → owner's signature
//! and seal checked by the agent.
//!
//! *Guarantees*, each a function of the seeded scheduler in `session/tests.rs`: a challenge is
//! spent once; nothing is sealed without a leaf or for a refused verdict; an agent opens secrets
//! of its own challenge only, and only those that the owners signed; with a fair network every
//! session ends.
//!
//! *Assumptions*: the store that answers [`witness::Effect::Commit`] is atomic and durable.
//!
//! *Caveats*: one session speaks with one witness. Quorums come with k of n; until then a
//! manifest that demands one is refused as `manifest.quorum`.

pub mod agent;
pub mod witness;

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "session.busy",
    "session.incomplete",
    "session.refused",
    "session.release",
    "session.timeout",
];

#[cfg(test)]
mod tests;
