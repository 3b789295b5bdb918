//! What kind of machine this is, in plain words.
//!
//! A hint for people and scripts, never evidence: everything here can be faked by whoever runs
//! the machine, and only a verified report counts. Asks the kernel and the CPU, changes nothing.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::device::{CONFIGFS, NSM, ROOT, SEV_GUEST, TDX_GUEST, provider_name, td};
use crate::error::printable;
use crate::tpm::Behind;

/// The longest attribute that is read.
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;
const DEVICES: [&str; 6] = [
    SEV_GUEST,
    TDX_GUEST,
    "/dev/sgx_enclave",
    "/dev/tpmrm0",
    "/dev/tpm0",
    NSM,
];
/// CPU flags that say something about isolation.
const FLAGS: [&str; 7] = [
    "hypervisor",
    "sev",
    "sev_es",
    "sev_snp",
    "tdx_guest",
    "sgx",
    "tdx_host_platform",
];

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    /// CPU vendor and model, as the kernel names them.
    pub(crate) cpu: String,
    /// Those CPU flags that say something about isolation.
    pub(crate) flags: Vec<String>,
    /// The hypervisor's signature, such as `KVMKVMKVM`; empty when none announces itself.
    pub(crate) hypervisor: String,
    /// Hyper-V's isolation type where it announces one: `none vbs snp tdx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hyperv_isolation: Option<&'static str>,
    /// Whether the CPU announces a TDX guest.
    pub(crate) cpuid_tdx: bool,
    /// Devices that exist.
    pub(crate) devices: Vec<&'static str>,
    /// Whether configfs-tsm is there.
    pub(crate) configfs_tsm: bool,
    /// Its provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    /// Why configfs-tsm did not answer, where it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
    /// What the firmware says whose machine it is; believed by nobody.
    pub(crate) maker: Vec<String>,
    /// Whether the firmware left the log of a trust domain's boot (CCEL).
    pub(crate) boot_log: bool,
    /// Whether the kernel lets software extend RTMR3.
    pub(crate) rtmr3: bool,
}

/// What the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A confidential VM of AMD SEV-SNP.
    SevSnp,
    /// A confidential VM of Intel TDX.
    Tdx,
    /// A confidential VM behind a paravisor.
    Paravisor,
    /// A confidential VM of a maker that this version does not read.
    OtherConfidential,
    /// A VM without protection from its hypervisor.
    OrdinaryVm,
    /// No hypervisor.
    BareMetal,
}

/// Whose machine the firmware says that it is. A hint, like everything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cloud {
    /// Amazon's EC2.
    Aws,
    /// Microsoft's Azure; Hyper-V elsewhere has no such asset tag.
    Azure,
    /// Google's Compute Engine.
    Google,
}

/// What the provider puts between the guest and the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layer {
    /// Nothing: the guest asks the CPU itself.
    None,
    /// AWS's hypervisor, which speaks for enclaves and, through NitroTPM, for instances.
    NitroHypervisor,
    /// A paravisor at the highest privilege inside the machine, with a virtual TPM.
    Paravisor,
    /// Nobody can tell.
    Unknown,
}

/// The asset tag of every machine of Azure's.
const AZURE_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

/// The answer of `detect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Detected {
    /// Always `zeuge.agent-detect.v1`.
    pub(crate) schema: &'static str,
    /// What it is.
    pub(crate) kind: Kind,
    /// Whose cloud it is in, where the firmware names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cloud: Option<Cloud>,
    /// What the provider puts before the CPU.
    pub(crate) layer: Layer,
    /// Whether this program can attest it.
    pub(crate) attestable: bool,
    /// The explanation, a few sentences.
    pub(crate) explanation: Vec<String>,
    /// What was found.
    pub(crate) facts: Facts,
}

/// Looks at this machine.
pub(crate) fn detect() -> Detected {
    explain(gather())
}

fn gather() -> Facts {
    let cpuinfo = attribute("/proc/cpuinfo");
    let field = |name: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim() == name);
        found.map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
    let (hypervisor, hyperv_isolation, cpuid_tdx) = cpuid::ask();
    let (provider, trouble) = match provider_name() {
        Ok(provider) => (provider.map(|name| printable(name.trim_end(), 64)), None),
        Err(error) => (None, Some(error.because)),
    };
    let maker = ["sys_vendor", "product_name", "chassis_asset_tag"]
        .iter()
        .map(|name| attribute(&format!("/sys/class/dmi/id/{name}")))
        .map(|text| printable(text.trim(), 80))
        .filter(|text| !text.is_empty())
        .collect();
    let names = ["vendor_id", "model name"].map(|name| field(name).unwrap_or_default());
    Facts {
        cpu: printable(names.join(" ").trim(), 120),
        flags: FLAGS
            .iter()
            .filter(|flag| flags.contains(flag))
            .map(|flag| (*flag).to_owned())
            .collect(),
        hypervisor,
        hyperv_isolation,
        cpuid_tdx,
        devices: DEVICES
            .into_iter()
            .filter(|device| Path::new(device).exists())
            .collect(),
        configfs_tsm: Path::new(CONFIGFS).is_dir(),
        provider,
        trouble,
        maker,
        boot_log: matches!(td::event_log(Path::new(ROOT)), Ok(Some(_))),
        rtmr3: td::can_close(Path::new(ROOT)),
    }
}

/// What seems to speak for this machine in the CPU's place: Hyper-V announces a paravisor, or there
/// is the module of an enclave. A NitroTPM looks like any TPM and is never guessed.
pub(crate) fn behind_what() -> Option<Behind> {
    if Path::new(NSM).exists() {
        return Some(Behind::Nitro);
    }
    let (_, isolation, _) = cpuid::ask();
    matches!(isolation, Some("snp" | "tdx")).then_some(Behind::Azure)
}

/// The command line that the kernel was started with; empty where it does not say.
pub(crate) fn command_line() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

fn attribute(path: &str) -> String {
    let mut bytes = fs::read(path).unwrap_or_default();
    bytes.truncate(ATTRIBUTE_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn kind(facts: &Facts) -> Kind {
    let device = |name: &str| facts.devices.contains(&name);
    match facts.provider.as_deref() {
        Some("sev_guest") => return Kind::SevSnp,
        Some("tdx_guest") => return Kind::Tdx,
        Some(_) => return Kind::OtherConfidential,
        None => {}
    }
    if device(SEV_GUEST) {
        return Kind::SevSnp;
    }
    if device(TDX_GUEST) || facts.cpuid_tdx {
        return Kind::Tdx;
    }
    if matches!(facts.hyperv_isolation, Some("snp" | "tdx")) {
        return Kind::Paravisor;
    }
    if facts.flags.iter().any(|flag| flag == "hypervisor") || !facts.hypervisor.is_empty() {
        return Kind::OrdinaryVm;
    }
    Kind::BareMetal
}

fn cloud(facts: &Facts) -> Option<Cloud> {
    let says = |text: &str| facts.maker.iter().any(|line| line.starts_with(text));
    if says("Amazon EC2") {
        Some(Cloud::Aws)
    } else if says("Google") {
        Some(Cloud::Google)
    } else if says(AZURE_TAG) {
        Some(Cloud::Azure)
    } else {
        None
    }
}

fn layer(kind: Kind, facts: &Facts) -> Layer {
    match kind {
        Kind::Paravisor => Layer::Paravisor,
        Kind::SevSnp | Kind::Tdx => Layer::None,
        // Only an enclave has this module, whatever its CPU shows of the hypervisor.
        _ if facts.devices.contains(&NSM) => Layer::NitroHypervisor,
        Kind::BareMetal => Layer::None,
        _ if cloud(facts) == Some(Cloud::Aws) => Layer::NitroHypervisor,
        Kind::OtherConfidential | Kind::OrdinaryVm => Layer::Unknown,
    }
}

/// What whoever is in front of the CPU can do, and how its machines are looked at.
fn behind(cloud: Option<Cloud>, layer: Layer) -> Option<&'static str> {
    match (layer, cloud) {
        (Layer::Paravisor, _) => Some(
            "The paravisor can read all memory of this machine and write every register of its \
             virtual TPM. Its report lies in NV index 0x01400001, its key at 0x81000003: \
             zeuge-agent attest --behind azure shows both to a witness, zeuge-agent tpm azure \
             prints them for zeuge verify --kind azure.",
        ),
        (Layer::NitroHypervisor, _) => Some(
            "AWS's hypervisor speaks for this machine, and no CPU: zeuge-agent attest --behind nitro \
             shows its document to a witness (of an enclave, or of an instance with NitroTPM), \
             zeuge-agent nitro prints it for zeuge verify --kind nitro.",
        ),
        (Layer::None, Some(Cloud::Aws)) => Some(
            "At AWS a key of AWS's signs the CPU's reports (VLEK): which chip it is stays unknown.",
        ),
        (Layer::None, Some(Cloud::Google)) => {
            Some("At Google the virtual TPM runs in the host, outside the encrypted machine.")
        }
        _ => None,
    }
}

fn explain(facts: Facts) -> Detected {
    let kind = kind(&facts);
    let (cloud, layer) = (cloud(&facts), layer(kind, &facts));
    let device = |name: &str| facts.devices.contains(&name);
    let through_device = kind == Kind::SevSnp && device(SEV_GUEST);
    let is_cpu = matches!(kind, Kind::SevSnp | Kind::Tdx);
    let attestable = match kind {
        Kind::Paravisor => device("/dev/tpmrm0"),
        _ => is_cpu && (facts.provider.is_some() || through_device) || device(NSM),
    };
    let mut explanation = vec![opening(kind, &facts)];
    match (kind, attestable) {
        (Kind::SevSnp | Kind::Tdx, true) => explanation.push(format!(
            "It can be attested, through {}.",
            if facts.provider.is_some() {
                CONFIGFS
            } else {
                SEV_GUEST
            }
        )),
        (Kind::Tdx, false) if device(TDX_GUEST) => explanation.push(format!(
            "{TDX_GUEST} gives a report that only this CPU can check. It can be attested where the \
             host runs Intel's quoting service on vsock, or with a kernel of 6.7 or newer, which \
             asks that service itself."
        )),
        (Kind::SevSnp | Kind::Tdx, false) => explanation.push(format!(
            "It cannot be attested as it stands: {CONFIGFS} gives nothing. It needs a kernel of \
             6.7 or newer with TSM_REPORTS, configfs mounted, and root."
        )),
        _ => {}
    }
    if kind == Kind::Tdx {
        let log = match facts.boot_log {
            true => "The log of its boot (CCEL) goes beside the quote",
            false => "Its firmware left no log of the boot (CCEL)",
        };
        let mark = if facts.rtmr3 { "can" } else { "cannot" };
        explanation.push(format!(
            "{log}; this kernel {mark} mark the end of the boot in RTMR3."
        ));
    }
    explanation.extend(behind(cloud, layer).map(str::to_owned));
    if let Some(trouble) = &facts.trouble {
        explanation.push(format!(
            "configfs-tsm is there and does not answer: {trouble}."
        ));
    }
    explanation.push(if device("/dev/tpmrm0") || device("/dev/tpm0") {
        "There is a TPM; its quotes go to a witness with --tpm.".to_owned()
    } else {
        "There is no TPM.".to_owned()
    });
    explanation.push(
        "This is what the machine says of itself, and no evidence: only a verified report is."
            .to_owned(),
    );
    Detected {
        schema: "zeuge.agent-detect.v1",
        kind,
        cloud,
        layer,
        attestable,
        explanation,
        facts,
    }
}

fn opening(kind: Kind, facts: &Facts) -> String {
    match kind {
        Kind::SevSnp => {
            "This is a confidential VM: AMD SEV-SNP encrypts its memory against the hypervisor."
                .into()
        }
        Kind::Tdx => {
            "This is a confidential VM: Intel TDX encrypts its memory against the hypervisor."
                .into()
        }
        Kind::Paravisor => format!(
            "This is a confidential VM ({}) behind a paravisor, which keeps the CPU's interface to \
             itself and speaks for this machine by a virtual TPM.",
            facts.hyperv_isolation.unwrap_or_default()
        ),
        Kind::OtherConfidential => format!(
            "This is a confidential VM of another kind ({}). This version cannot attest it.",
            facts.provider.as_deref().unwrap_or_default()
        ),
        Kind::OrdinaryVm => format!(
            "This is an ordinary VM{}: whoever runs its hypervisor can read and change its memory, \
             and nothing here can prove otherwise. It cannot be attested.",
            match facts.hypervisor.as_str() {
                "" => String::new(),
                name => format!(" ({name})"),
            }
        ),
        Kind::BareMetal => "This looks like bare metal: no hypervisor announces itself, and there \
                            is no confidential VM to attest. Whoever holds the machine can read \
                            its memory."
            .into(),
    }
}

impl Detected {
    /// The answer for people.
    pub(crate) fn text(&self) -> String {
        let facts = &self.facts;
        let list = |items: &[&str]| match items.join(", ") {
            text if text.is_empty() => "none".to_owned(),
            text => text,
        };
        let strings =
            |items: &[String]| list(&items.iter().map(String::as_str).collect::<Vec<_>>());
        let provider = match (&facts.provider, facts.configfs_tsm) {
            (Some(provider), _) => provider.clone(),
            (None, true) => "there, without a provider".to_owned(),
            (None, false) => "not there".to_owned(),
        };
        let hypervisor = [&facts.hypervisor].map(String::as_str);
        let hypervisor = if facts.hypervisor.is_empty() {
            &[][..]
        } else {
            &hypervisor[..]
        };
        format!(
            "{}\n\nCPU           {}\nCPU flags     {}\nHypervisor    {}\nconfigfs-tsm  {provider}\n\
             Devices       {}\nFirmware says {}\n",
            self.explanation.join("\n"),
            facts.cpu,
            strings(&facts.flags),
            list(hypervisor),
            list(&facts.devices),
            strings(&facts.maker),
        )
    }
}

#[cfg(target_arch = "x86_64")]
mod cpuid {
    use std::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

    /// The hypervisor's signature, Hyper-V's isolation type, and whether this is a TDX guest.
    pub(super) fn ask() -> (String, Option<&'static str>, bool) {
        let highest = __cpuid(0).eax;
        let tdx = highest >= 0x21 && {
            let leaf = __cpuid_count(0x21, 0);
            text([leaf.ebx, leaf.edx, leaf.ecx]) == "IntelTDX"
        };
        // Leaf 1, ECX bit 31: a hypervisor answers the leaves from 0x40000000 on.
        if __cpuid(1).ecx >> 31 == 0 {
            return (String::new(), None, tdx);
        }
        let CpuidResult { eax, ebx, ecx, edx } = __cpuid(0x4000_0000);
        let name = text([ebx, ecx, edx]);
        let isolation = (name == "Microsoft Hv" && eax >= 0x4000_000c).then(|| {
            match __cpuid(0x4000_000c).ebx & 0xf {
                0 => "none",
                1 => "vbs",
                2 => "snp",
                3 => "tdx",
                _ => "unknown",
            }
        });
        (name, isolation, tdx)
    }

    fn text(words: [u32; 3]) -> String {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let text: String = bytes
            .iter()
            .filter(|byte| byte.is_ascii_graphic() || **byte == b' ')
            .map(|byte| char::from(*byte))
            .collect();
        text.trim().to_owned()
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod cpuid {
    /// Other processors have no such leaves.
    pub(super) fn ask() -> (String, Option<&'static str>, bool) {
        (String::new(), None, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_without_protection_is_called_an_ordinary_vm() {
        let detected = explain(Facts {
            flags: vec!["hypervisor".into()],
            hypervisor: "KVMKVMKVM".into(),
            ..Facts::default()
        });
        assert_eq!(
            (detected.kind, detected.attestable),
            (Kind::OrdinaryVm, false)
        );
        assert!(
            detected
                .text()
                .starts_with("This is an ordinary VM (KVMKVMKVM): whoever")
        );
    }

    #[test]
    fn a_machine_without_a_hypervisor_is_called_bare_metal_even_with_sev() {
        let detected = explain(Facts {
            flags: vec!["sev".into(), "sev_snp".into()],
            ..Facts::default()
        });
        assert_eq!(detected.kind, Kind::BareMetal);
        assert!(detected.text().contains("bare metal"));
    }

    #[test]
    fn the_kernel_s_provider_counts_before_everything_else() {
        let with = |provider: &str| {
            explain(Facts {
                flags: vec!["hypervisor".into()],
                provider: Some(provider.into()),
                ..Facts::default()
            })
        };
        let snp = with("sev_guest");
        assert_eq!((snp.kind, snp.attestable), (Kind::SevSnp, true));
        assert_eq!(with("tdx_guest").kind, Kind::Tdx);
        let other = with("arm_cca_guest");
        assert_eq!(
            (other.kind, other.attestable),
            (Kind::OtherConfidential, false)
        );
        assert!(other.explanation[0].contains("arm_cca_guest"));
    }

    #[test]
    fn cloud_and_layer_are_named_from_what_machines_there_say() {
        let machine = |maker: &str, facts: Facts| {
            let detected = explain(Facts {
                maker: vec![maker.to_owned()],
                flags: vec!["hypervisor".into()],
                ..facts
            });
            (
                detected.cloud,
                detected.layer,
                detected.explanation.join(" "),
            )
        };
        let azure = Facts {
            hyperv_isolation: Some("tdx"),
            ..Facts::default()
        };
        let (cloud, layer, text) = machine(AZURE_TAG, azure);
        assert_eq!((cloud, layer), (Some(Cloud::Azure), Layer::Paravisor));
        assert!(text.contains("0x01400001"), "{text}");
        let snp = || Facts {
            provider: Some("sev_guest".into()),
            ..Facts::default()
        };
        let (cloud, layer, text) = machine("Amazon EC2", snp());
        assert_eq!((cloud, layer), (Some(Cloud::Aws), Layer::None));
        assert!(text.contains("VLEK"), "{text}");
        let (cloud, layer, _) = machine("Google Compute Engine", snp());
        assert_eq!((cloud, layer), (Some(Cloud::Google), Layer::None));
        let (cloud, layer, text) = machine("Amazon EC2", Facts::default());
        assert_eq!((cloud, layer), (Some(Cloud::Aws), Layer::NitroHypervisor));
        assert!(text.contains("--kind nitro"), "{text}");
        let (cloud, layer, _) = machine("QEMU", Facts::default());
        assert_eq!((cloud, layer), (None, Layer::Unknown));
    }

    #[test]
    fn a_paravisor_and_a_bare_device_are_told_apart() {
        let paravisor = explain(Facts {
            hyperv_isolation: Some("snp"),
            ..Facts::default()
        });
        assert_eq!(
            (paravisor.kind, paravisor.attestable),
            (Kind::Paravisor, false)
        );
        let device = explain(Facts {
            devices: vec![SEV_GUEST],
            ..Facts::default()
        });
        assert_eq!((device.kind, device.attestable), (Kind::SevSnp, true));
        let tdx = explain(Facts {
            devices: vec![TDX_GUEST],
            boot_log: true,
            ..Facts::default()
        });
        // Whether the host has a quoting service is not known before it is asked.
        assert_eq!((tdx.kind, tdx.attestable), (Kind::Tdx, false));
        let text = tdx.text();
        for part in [
            "only this CPU can check",
            "(CCEL) goes beside the quote",
            "cannot mark the end of the boot in RTMR3",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
