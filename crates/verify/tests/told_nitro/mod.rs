//! What the tests of lies about Nitro need: the toy's trust, its machines, and the way from a told
//! file to what is proven.

use zeuge_evidence::{UnixTime, nitro::Signed};
use zeuge_sim::{NitroLie, NitroSpec, ToyNitro, ToyNitroDocument};
use zeuge_verify::{
    Anchors, Error,
    crypto::AWS_LC,
    nitro::{Demand, NitroFacts, nitro},
};

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);

/// An enclave, and an instance with a NitroTPM.
pub(crate) fn machines() -> impl Iterator<Item = NitroSpec> {
    [false, true].into_iter().map(NitroSpec::new)
}

/// The toy's root.
pub(crate) fn trusted() -> Anchors {
    Anchors::dangerous_sim(&ToyNitro::shared().trust_file()).expect("a good trust file")
}

/// Verifies a told document at its instant.
pub(crate) fn prove(
    told: &ToyNitroDocument,
    demand: Demand<'_>,
    anchors: &Anchors,
) -> Result<(NitroFacts, Vec<&'static str>), Error> {
    let signed = Signed::parse(&told.file)?;
    let verified = nitro(&signed, demand, anchors, told.at, &AWS_LC)?;
    Ok((verified.fact().clone(), verified.trail().passed().to_vec()))
}

/// The id of the check that caught this lie of this machine, if one did. User data is demanded
/// where it is lied about, the nonce otherwise.
pub(crate) fn caught(lie: Option<NitroLie>, spec: &NitroSpec) -> Result<(), &'static str> {
    let told = ToyNitro::shared().tell(lie, spec, NOW);
    let demand = match lie {
        Some(NitroLie::UserData) => Demand::UserData(&told.user_data),
        _ => Demand::Nonce(&told.nonce),
    };
    prove(&told, demand, &trusted())
        .map(|_| ())
        .map_err(|error| error.check())
}
