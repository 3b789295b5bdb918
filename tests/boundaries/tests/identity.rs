//! What a toy writes is what the readers read, whatever the machine says: written and read again,
//! in every wrapping, are the same bytes and the same fields.

use proptest::prelude::*;
use zeuge_evidence::{UnixTime, dcap, snp};
use zeuge_sim::{Product, QuoteForm, QuoteSpec, ReportSpec, Signer, Tcb, ToyAmd, ToyIntel};

const NOW: UnixTime = UnixTime(1_772_323_200);

fn tcb() -> impl Strategy<Value = Tcb> {
    any::<[u8; 5]>().prop_map(|[fmc, boot_loader, tee, snp, microcode]| Tcb {
        fmc,
        boot_loader,
        tee,
        snp,
        microcode,
    })
}

prop_compose! {
    fn report()(
        product in prop::sample::select(&Product::ALL[..]),
        signer in prop::sample::select(&Signer::ALL[..]),
        version in 2_u32..=5,
        numbers in any::<(u32, u64, u32, u64, u64)>(),
        ids in any::<([u8; 16], [u8; 16], [u8; 32], [u8; 32])>(),
        report_data in prop::array::uniform32(any::<(u8, u8)>()),
        digests in prop::array::uniform16(any::<[u8; 9]>()),
        (current_tcb, committed_tcb, reported_tcb, launch_tcb) in (tcb(), tcb(), tcb(), tcb()),
        chip in any::<[u8; 8]>(),
        firmware in any::<[u8; 3]>(),
    ) -> ReportSpec {
        let (guest_svn, policy, vmpl, platform_info, mitigations) = numbers;
        let (family_id, image_id, host_data, report_id) = ids;
        let digests = digests.concat();
        let part = |number: usize| digests[48 * number..48 * (number + 1)].try_into().expect("48");
        let mut report_bytes = [0; 64];
        for (two, (left, right)) in report_bytes.chunks_exact_mut(2).zip(report_data) {
            two.copy_from_slice(&[left, right]);
        }
        let mut chip_id = product.chip(chip[0]);
        chip_id[..8].copy_from_slice(&chip);
        // A product's layout has no FMC where it has no place for one.
        let fits = |tcb: Tcb| match product {
            Product::Turin => tcb,
            Product::Milan | Product::Genoa => Tcb { fmc: 0, ..tcb },
        };
        ReportSpec {
            version,
            signer,
            guest_svn,
            policy: policy | (1 << 17),
            family_id,
            image_id,
            vmpl,
            platform_info,
            current_tcb: fits(current_tcb),
            committed_tcb: fits(committed_tcb),
            reported_tcb: fits(reported_tcb),
            launch_tcb: fits(launch_tcb),
            report_data: report_bytes,
            measurement: part(0),
            host_data,
            id_key_digest: part(1),
            author_key_digest: part(2),
            report_id,
            chip_id,
            firmware,
            mitigations,
            ..ReportSpec::new(product)
        }
    }
}

prop_compose! {
    fn platform()(
        form in prop::sample::select(&QuoteForm::ALL[..]),
        numbers in any::<(u16, u64, u64, u64)>(),
        ids in any::<([u8; 6], [u8; 16], [u8; 16], [u8; 16])>(),
        enclave in any::<([u8; 32], [u8; 32])>(),
        rtmr in any::<[u8; 32]>(),
        mr_td in any::<[u8; 32]>(),
        report_data in any::<([u8; 32], [u8; 32])>(),
    ) -> QuoteSpec {
        let (pce_svn, td_attributes, xfam, sgx_flags) = numbers;
        let (fmspc, ppid, components, tee_tcb_svn) = ids;
        let wide = |bytes: [u8; 32]| {
            let mut out = [bytes[0]; 48];
            out[16..].copy_from_slice(&bytes);
            out
        };
        let mut both = [0; 64];
        both[..32].copy_from_slice(&report_data.0);
        both[32..].copy_from_slice(&report_data.1);
        QuoteSpec {
            fmspc,
            ppid,
            components,
            pce_svn,
            tee_tcb_svn,
            td_attributes,
            xfam,
            mr_td: wide(mr_td),
            rtmr: [wide(rtmr), wide(mr_td), [0; 48], [7; 48]],
            sgx_flags,
            mr_enclave: enclave.0,
            mr_signer: enclave.1,
            report_data: both,
            ..QuoteSpec::new(form)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_report_is_read_as_it_was_written_in_every_wrapping(spec in report()) {
        let told = ToyAmd::shared().tell(None, &spec, NOW);
        let report = snp::Report::parse(&told.report).expect("an honest report");
        prop_assert_eq!(&report.bytes()[..], &told.report);
        let claims = &report.claims;
        prop_assert_eq!(claims.version, spec.version);
        prop_assert_eq!(claims.guest_svn, spec.guest_svn);
        prop_assert_eq!(claims.policy.0, spec.policy);
        prop_assert_eq!((claims.family_id, claims.image_id), (spec.family_id, spec.image_id));
        prop_assert_eq!((claims.vmpl, claims.platform_info.0), (spec.vmpl, spec.platform_info));
        prop_assert_eq!(claims.report_data, spec.report_data);
        prop_assert_eq!((claims.measurement, claims.host_data), (spec.measurement, spec.host_data));
        prop_assert_eq!(claims.id_key_digest, spec.id_key_digest);
        prop_assert_eq!(claims.author_key_digest, spec.author_key_digest);
        prop_assert_eq!(claims.report_id, spec.report_id);
        let tcb = |tcb: Tcb| tcb.bytes(spec.product);
        prop_assert_eq!(claims.current_tcb.0, tcb(spec.current_tcb));
        prop_assert_eq!(claims.committed_tcb.0, tcb(spec.committed_tcb));
        prop_assert_eq!(claims.reported_tcb.0, tcb(spec.reported_tcb));
        prop_assert_eq!(claims.launch_tcb.0, tcb(spec.launch_tcb));
        let chip = if spec.signer == Signer::Vcek { spec.chip_id } else { [0; 64] };
        prop_assert_eq!(claims.chip_id, chip);
        prop_assert_eq!(claims.mitigations.is_some(), spec.version == 5);
        prop_assert_eq!(claims.cpuid.is_some(), spec.version >= 3);
        let mut wrapped = vec![told.report.clone(), told.table_file(), told.json_file()];
        // The message of go-sev-guest has no place for CPUID of version 2, nor for a product of
        // none; its other fields stand in every version.
        wrapped.push(told.protobuf_file());
        for file in wrapped {
            let evidence = snp::Evidence::read(&file).expect("a file that the toy wrote");
            prop_assert_eq!(&evidence.report, &told.report);
        }
    }

    #[test]
    fn a_quote_is_read_as_it_was_written_in_every_wrapping(spec in platform()) {
        let told = ToyIntel::shared().tell(None, &spec, NOW);
        let quote = dcap::Quote::parse(&told.quote).expect("an honest quote");
        prop_assert_eq!(*quote.report_data(), spec.report_data);
        match &quote.body {
            dcap::Body::Sgx(enclave) => {
                prop_assert_eq!(enclave.mr_enclave, spec.mr_enclave);
                prop_assert_eq!(enclave.mr_signer, spec.mr_signer);
            }
            dcap::Body::Tdx(domain) => {
                prop_assert_eq!(domain.mr_td, spec.mr_td);
                prop_assert_eq!(domain.rtmr, spec.rtmr);
                prop_assert_eq!(domain.td_attributes.0, spec.td_attributes);
                prop_assert_eq!(domain.xfam.0, spec.xfam);
                prop_assert_eq!(domain.tee_tcb_svn, spec.tee_tcb_svn);
            }
        }
        let mut wrapped = vec![told.quote.clone(), told.json_file()];
        if spec.form == QuoteForm::Tdx4 {
            wrapped.push(told.protobuf_file());
        }
        for file in wrapped {
            let evidence = dcap::Evidence::read(&file).expect("a file that the toy wrote");
            prop_assert_eq!(&evidence.quote, &told.quote);
        }
    }
}
