//! `zeuged recover`: opens a new log that names the last good checkpoint of a lost one, and says what
//! people must do next.
//!
//! Decides nothing itself; that is [`crate::recovery`].

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Format, Recover};
use crate::limits::HELD_BYTES_MAX;
use crate::recovery::{self, Recovered};

/// The checkpoints and receipts of these files.
pub(super) fn held(paths: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    let limit = u64::try_from(HELD_BYTES_MAX).unwrap_or(u64::MAX);
    let held = paths.iter().map(|path| {
        match fs::metadata(path).map(|meta| meta.len()) {
            Ok(length) if length <= limit => fs::read(path),
            Ok(_) => Err(io::Error::other("too long for a checkpoint or receipt")),
            Err(error) => Err(error),
        }
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    });
    held.collect()
}

/// Recovers a folder and prints what was found and what is next.
#[expect(clippy::print_stdout, reason = "a program for the terminal")]
pub(super) fn recover(recover: &Recover) -> io::Result<()> {
    let done = recovery::recover(&recover.data, &held(&recover.held_checkpoint)?)?;
    if recover.format == Format::Json {
        println!(
            "{}",
            serde_json::to_string(&done).map_err(io::Error::other)?
        );
        return Ok(());
    }
    let Recovered {
        from,
        size,
        root,
        origin,
        vkey,
        because,
        lost,
        ..
    } = done;
    println!("The log {from} ended: {because}.");
    println!("Its last good checkpoint has {size} entries and the root\n  {root}");
    for (size, root) in lost {
        println!("Not continued: a checkpoint of {size} entries with the root\n  {root}");
    }
    println!("\nThe log {origin} continues it. Its key:\n  {vkey}\n");
    println!("Next:");
    println!("  1. Owners bring the owner set, policies, registries, reference values and rules");
    println!("     anew, with the next versions (zeuge apply); nothing is released before.");
    println!(
        "  2. Owners look whether secrets came back that they had deleted (zeuge secret list)."
    );
    println!("  3. The configuration of agents gets the new log_key, and rules its new digest.");
    println!("  4. The tokens of tenants were taken away: make new ones.");
    println!("  zeuged serve --data {}", recover.data.display());
    Ok(())
}
