//! A toy maker of confidential machines, with **one lie per check**.
//!
//! [`ToyAmd`] has random roots, certifies chips, keeps revocation lists, answers like AMD's key
//! service and writes reports of every version for Milan, Genoa and Turin. [`ToyIntel`] certifies
//! platforms, signs TCB Info and QE Identity, answers like Intel's provisioning service and writes
//! quotes of SGX and TDX. [`ToyNitro`] signs documents of enclaves as AWS's hypervisor does, [`ToyAzure`] puts a paravisor in front of either, [`ToyGoogle`] endorses firmware. [`ToyTpm`] certifies EKs and AKs, opens credentials, and tells of a boot
//! in quotes and logs. [`Lie`], [`IntelLie`], [`TpmLie`], [`AzureLie`], [`GoogleLie`] and [`NitroLie`] name what they can lie about: each lie
//! breaks one rule and keeps all others, so that a test can see that this one check catches it and that
//! no other does.
//!
//! **This is a toy.** Nothing real trusts it: its roots are made at random, are in no program, and
//! count only where somebody names its trust file after `--dangerous-trust-sim`. It is never
//! shipped, and nothing but tests and demonstrations depends on it.
#![forbid(unsafe_code)]

mod amd;
pub mod azure;
mod der_write;
pub mod google;
mod intel;
mod lies;
pub mod nitro;
mod resign;
pub mod tpm;
mod uefi_write;
mod x509_write;

pub use amd::{Answer, Product, REPORT_BYTES, ReportSpec, Signer, Tcb, ToyAmd, ToyEvidence};
pub use azure::{AzureCpu, AzureLie, AzureSpec, ToyAzure, ToyAzureEvidence};
pub use google::{EndorsementSpec, GoogleLie, ToyGoogle};
pub use intel::boot_log as td_boot;
pub use intel::{
    Certification, IntelLie, IntelSwap, PckCa, PcsAnswer, QuoteForm, QuoteSpec, RatlsForm,
    RatlsLie, Tee, ToyIntel, ToyQuote,
};
pub use lies::{Lie, Room};
pub use nitro::{NitroLie, NitroSpec, ToyNitro, ToyNitroDocument};
pub use tpm::{ToyTpm, ToyTpmQuote, TpmLie, TpmSpec};
pub use zeuge_evidence::UnixTime;
