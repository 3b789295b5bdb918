//! What the tests of lies about Azure need: the toy's trust, its machines, and the way from a told
//! file to what is proven.

use zeuge_evidence::{UnixTime, azure::Evidence};
use zeuge_sim::{AzureCpu, AzureLie, AzureSpec, Product, ToyAzure, ToyAzureEvidence};
use zeuge_verify::{
    Anchors, Endorsements, Error,
    azure::{ALL_PCRS, AzureFacts, Context, Demand, verify},
    crypto::AWS_LC,
    tpm::{Nonce, Selection},
};

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);

/// Machines on every silicon that Azure has, in every version of the JSON and of the header.
pub(crate) fn machines() -> impl Iterator<Item = AzureSpec> {
    [
        (AzureCpu::Snp(Product::Milan), 1, 0),
        (AzureCpu::Snp(Product::Genoa), 2, 1),
        (AzureCpu::Snp(Product::Milan), 2, 2),
        (AzureCpu::Tdx, 2, 0),
        (AzureCpu::Tdx, 2, 2),
    ]
    .into_iter()
    .map(|(cpu, header, json)| AzureSpec {
        header,
        json,
        ..AzureSpec::new(cpu)
    })
}

/// The toys' roots, of the silicon that this lie needs.
pub(crate) fn trusted(spec: &AzureSpec, lie: Option<AzureLie>) -> Anchors {
    let cpu = match lie {
        Some(AzureLie::TdReport | AzureLie::TdQuoteAvailable | AzureLie::TdQuoteReport) => {
            AzureCpu::Tdx
        }
        Some(AzureLie::QuoteAvailable | AzureLie::GuestBoot) if spec.cpu == AzureCpu::Tdx => {
            AzureCpu::Snp(Product::Milan)
        }
        _ => spec.cpu,
    };
    Anchors::dangerous_sim(&ToyAzure::shared().trust_file(cpu)).expect("a good trust file")
}

/// Verifies a told file at its instant, with the AK beside the quote as our own agent sends it.
pub(crate) fn prove(
    told: &ToyAzureEvidence,
    anchors: &Anchors,
    nonce: Nonce<'_>,
) -> Result<(AzureFacts, Vec<&'static str>), Error> {
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let mut evidence = Evidence::read(&told.file)?;
    if let Some(quote) = &mut evidence.quote {
        quote.ak_public = Some(told.ak_public.clone());
    }
    let demand = Demand {
        nonce,
        user_data: None,
        selection: Selection::Exactly(&ALL_PCRS),
        previous: None,
        held: None,
        ima_signers: &[],
    };
    let context = Context {
        endorsements: &heap,
        anchors,
        at: told.at,
        crypto: &AWS_LC,
    };
    let verified = verify(&evidence, &demand, context)?;
    Ok((verified.fact().clone(), verified.trail().passed().to_vec()))
}

/// The id of the check that caught this lie of this machine, if one did.
pub(crate) fn caught(lie: Option<AzureLie>, spec: &AzureSpec) -> Result<(), &'static str> {
    let told = ToyAzure::shared().tell(lie, spec, NOW);
    prove(&told, &trusted(spec, lie), Nonce::Exact(&told.nonce))
        .map(|_| ())
        .map_err(|error| error.check())
}
