//! The rules of Google's endorsements that can be found broken, each with what was found and wanted.

pub use crate::broken::Difference;

crate::broken::rules! {
    Google, "A rule of Google's firmware endorsements that does not hold.":
    /// `google.endorsement.measurement`: the endorsement is of other firmware.
    MeasurementNotListed = "google.endorsement.measurement": "the endorsement does not list this measurement";
    /// `google.endorsement.issuer`: the root did not certify the signer.
    NotIssued = "google.endorsement.issuer": "Google's root did not certify the signer";
    /// `google.endorsement.validity`: a certificate is not in force at the instant.
    OutOfWindow = "google.endorsement.validity": "a certificate of the endorsement is not in force";
    /// `google.endorsement.root`: the pinned root is not there.
    RootNotPinned = "google.endorsement.root": "the endorsement does not come with Google's pinned root";
    /// `google.endorsement.signature`: the signer did not sign the endorsement.
    SignatureBad = "google.endorsement.signature": "the endorsement was not signed by its key";
    /// `google.endorsement.usage`: the certificate is not one for signing documents.
    SignerUsage = "google.endorsement.usage": "the certificate is not one for signing documents";
}
