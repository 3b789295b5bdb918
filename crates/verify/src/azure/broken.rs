//! The rules of Azure's evidence that can be found broken, each with what was found and wanted.

pub use crate::broken::Difference;

crate::broken::rules! {
    Azure, "A link between challenge, virtual TPM, claims and report that does not hold.":
    /// `azure.ak.claimed`: the key beside the quote is not the one that the claims name.
    AkClaimed = "azure.ak.claimed": "the key beside the quote is not the one in the claims";
    /// `azure.ak.signer`: another machine's key signed the quote, for another question.
    AkSigner = "azure.ak.signer": "the quote was signed in another machine than the report's";
    /// `azure.claims.hash`: the report was made for other claims.
    ClaimsHash = "azure.claims.hash": "the report was made for other runtime claims";
    /// `azure.report.machine`: the machine that answers is not the one that the report is about.
    ReportMachine = "azure.report.machine": "the report is of another machine than the one that answers";
    /// `azure.td-quote.report`: the quote is of another trust domain than the TDREPORT.
    TdQuoteReport = "azure.td-quote.report": "the TD quote is of another machine than the HCL report";
    /// `azure.user-data`: the report was not made for this session.
    UserData = "azure.user-data": "the HCL report was not made for this session";
}
