//! The rules of Nitro's documents that can be found broken, each with what was found and wanted.

pub use crate::broken::Difference;

crate::broken::rules! {
    Nitro, "A rule of AWS's attestation documents that does not hold.":
    /// `nitro.chain.signature`: an issuer did not sign the next certificate.
    ChainSignatureBad = "nitro.chain.signature": "an issuer did not sign the next certificate";
    /// `nitro.chain.issuer`: a certificate names another issuer than the one before it.
    IssuerDiffers = "nitro.chain.issuer": "a certificate names another issuer than the one before it";
    /// `nitro.leaf.key`: the signing key is of another kind.
    LeafKey = "nitro.leaf.key": "the signing key is of another kind";
    /// `nitro.leaf.usage`: the certificate is not one for signing documents.
    LeafUsage = "nitro.leaf.usage": "the certificate is not one for signing documents";
    /// `nitro.nonce`: the document answers another challenge.
    NonceDiffers = "nitro.nonce": "the document answers another challenge";
    /// `nitro.chain.authority`: an issuer may not certify keys.
    NotAuthority = "nitro.chain.authority": "an issuer may not certify keys";
    /// `nitro.chain.validity`: a certificate is not in force at the instant.
    OutOfWindow = "nitro.chain.validity": "a certificate is not in force";
    /// `nitro.root.pinned`: the chain does not begin with AWS's root.
    RootNotPinned = "nitro.root.pinned": "the chain does not begin with AWS's root";
    /// `nitro.signature`: the key did not sign the document.
    SignatureBad = "nitro.signature": "the document was not signed by its key";
    /// `nitro.timestamp`: the document is not from the life of its certificate.
    TimestampOutOfWindow = "nitro.timestamp": "the document is not from the life of its certificate";
    /// `nitro.user-data`: the document was made for another session.
    UserDataDiffers = "nitro.user-data": "the document was made for another session";
}
