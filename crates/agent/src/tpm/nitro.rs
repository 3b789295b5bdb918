//! NitroTPM: AWS's hypervisor signs a document about this instance's registers, through a command
//! that only its TPM knows.
//!
//! The request goes through an NV index of our own, and so does the answer; the index is removed
//! afterwards. Never leaves it behind, never believes the document.

use super::channel::{Authority, Command};
use super::{NV_BYTES_MAX, Tpm};
use crate::error::Error;

/// AWS's command: answer the request in this index.
const NSM_REQUEST: u32 = 0x2000_0001;
/// The index of the exchange: one of the owner's, `zg` in its number.
const EXCHANGE: u32 = 0x0180_7a67;
/// TPMA_NV_AUTHWRITE, TPMA_NV_AUTHREAD, TPMA_NV_NO_DA.
const WITH_ITS_PASSWORD: u32 = 0x0204_0004;

impl Tpm {
    /// The hypervisor's answer to a request.
    ///
    /// # Errors
    /// `agent.tpm`, also where this is no NitroTPM.
    pub(crate) fn nitro(&mut self, request: &[u8]) -> Result<Vec<u8>, Error> {
        // What a program left that was killed in between.
        let _ = self.undefine(EXCHANGE);
        self.define(EXCHANGE, WITH_ITS_PASSWORD, NV_BYTES_MAX.to_be_bytes())?;
        let answer = self.exchange(request);
        self.undefine(EXCHANGE)?;
        answer
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>, Error> {
        self.write(EXCHANGE, EXCHANGE, request)?;
        let command = Command::new("NitroTPM's request", NSM_REQUEST)
            .authorised(EXCHANGE, Authority::Password)
            .handle(EXCHANGE);
        self.channel.run(&command, 0)?;
        self.nv(EXCHANGE)
    }
}
