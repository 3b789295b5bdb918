//! TCB Info (version 3) and QE Identity (version 2), in Intel's order of members.
//!
//! Text is written by hand: what is signed is bytes, and a lie may say a name twice. Never decides
//! which platform is good; that is the table of levels in `tell`.

use aws_lc_rs::signature::EcdsaKeyPair;
use zeuge_evidence::UnixTime;

use super::{quote::Tee, sign};
use crate::x509_write::Window;

/// tcbEvaluationDataNumber of the documents in force.
pub(super) const EVALUATION_NUMBER: u32 = 20;
/// The number of the documents that are served early: a recovery that the others leave time for.
pub(super) const EARLY_NUMBER: u32 = 21;
/// Which security versions a platform of today has.
pub(super) const COMPONENTS: [u8; 16] = [7, 7, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0];
/// Those of a platform that nobody has updated.
pub(super) const OLD_COMPONENTS: [u8; 16] = [5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0];
/// PCESVN of a platform of today.
pub(super) const PCE_SVN: u16 = 13;
/// TEE_TCB_SVN of a TD that was launched under the newest module of major version 1.
pub(super) const TEE_TCB_SVN: [u8; 16] = [5, 1, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// SVN of the outdated module of major version 1.
pub(super) const OLD_MODULE_SVN: u8 = 3;
/// SVN of the quoting enclaves of today.
pub(super) const QE_SVN: u16 = 8;

/// A platform's level.
#[derive(Clone)]
pub(super) struct Level {
    pub(super) sgx: [u8; 16],
    pub(super) pce_svn: u16,
    pub(super) tdx: [u8; 16],
    pub(super) date: &'static str,
    pub(super) status: &'static str,
    pub(super) advisories: &'static [&'static str],
}

/// A level of a TDX module or of a quoting enclave.
#[derive(Clone)]
pub(super) struct SvnLevel {
    pub(super) svn: u16,
    pub(super) date: &'static str,
    pub(super) status: &'static str,
    pub(super) advisories: &'static [&'static str],
}

/// What both documents say of themselves.
#[derive(Clone)]
pub(super) struct Issue {
    pub(super) version: u32,
    pub(super) window: Window,
    pub(super) number: u32,
    /// A member that stands twice.
    pub(super) twice: bool,
}

impl Issue {
    fn dates(&self) -> String {
        format!(
            r#""issueDate":"{}","nextUpdate":"{}""#,
            self.window.from, self.window.to
        )
    }
}

/// A TCB Info before it is signed.
pub(super) struct TcbInfo {
    pub(super) issue: Issue,
    pub(super) tee: Tee,
    pub(super) fmspc: [u8; 6],
    pub(super) pce_id: [u8; 2],
    /// Levels of the TDX modules of major versions 1 and 3; only for TDX.
    pub(super) module_levels: Vec<SvnLevel>,
    pub(super) levels: Vec<Level>,
}

impl TcbInfo {
    /// What Intel would say about a platform with this FMSPC.
    pub(super) fn new(tee: Tee, fmspc: [u8; 6], window: Window) -> Self {
        let level = |sgx, pce_svn, module, microcode, date, status, advisories| {
            let mut tdx = [0; 16];
            (tdx[0], tdx[2]) = (module, microcode);
            Level {
                sgx,
                pce_svn,
                tdx,
                date,
                status,
                advisories,
            }
        };
        let old: &[&str] = &["INTEL-SA-00960", "INTEL-SA-00982"];
        let mut oldest = OLD_COMPONENTS;
        (oldest[0], oldest[1]) = (3, 3);
        Self {
            issue: Issue {
                version: 3,
                window,
                number: EVALUATION_NUMBER,
                twice: false,
            },
            tee,
            fmspc,
            pce_id: [0, 0],
            module_levels: vec![
                SvnLevel {
                    svn: 5,
                    date: "2025-08-13T00:00:00Z",
                    status: "UpToDate",
                    advisories: &[],
                },
                SvnLevel {
                    svn: u16::from(OLD_MODULE_SVN),
                    date: "2024-03-13T00:00:00Z",
                    status: "OutOfDate",
                    advisories: &["INTEL-SA-01099"],
                },
            ],
            levels: vec![
                level(
                    COMPONENTS,
                    PCE_SVN,
                    5,
                    6,
                    "2025-08-13T00:00:00Z",
                    "UpToDate",
                    &[],
                ),
                level(
                    OLD_COMPONENTS,
                    11,
                    5,
                    5,
                    "2024-03-13T00:00:00Z",
                    "OutOfDate",
                    &[],
                ),
                level(oldest, 5, 3, 4, "2018-01-04T00:00:00Z", "OutOfDate", old),
            ],
        }
    }

    /// The same after the next recovery: what was up to date is not any more.
    pub(super) fn early(mut self) -> Self {
        self.issue.number = EARLY_NUMBER;
        let Some(present) = self.levels.first_mut() else {
            return self;
        };
        let mut next = present.clone();
        (next.sgx[0], next.sgx[1]) = (8, 8);
        next.date = "2026-02-11T00:00:00Z";
        (present.status, present.advisories) = ("OutOfDate", &["INTEL-SA-01313"]);
        self.levels.insert(0, next);
        self
    }

    /// The signed text.
    pub(super) fn text(&self) -> String {
        let twice = if self.issue.twice {
            r#""tcbType":0,"#
        } else {
            ""
        };
        let levels: Vec<String> = self.levels.iter().map(|level| self.level(level)).collect();
        format!(
            r#"{{"id":"{}","version":{},{},"fmspc":"{}","pceId":"{}","tcbType":0,{twice}"tcbEvaluationDataNumber":{},{}"tcbLevels":[{}]}}"#,
            self.tee.id(),
            self.issue.version,
            self.issue.dates(),
            hex::encode_upper(self.fmspc),
            hex::encode(self.pce_id),
            self.issue.number,
            self.modules(),
            levels.join(",")
        )
    }

    /// tdxModule and tdxModuleIdentities; nothing for SGX.
    fn modules(&self) -> String {
        if self.tee == Tee::Sgx {
            return String::new();
        }
        let module = format!(
            r#""mrsigner":"{}","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF""#,
            "00".repeat(48)
        );
        let levels = svn_levels(&self.module_levels);
        let identities = ["TDX_03", "TDX_01"]
            .map(|id| format!(r#"{{"id":"{id}",{module},"tcbLevels":{levels}}}"#))
            .join(",");
        format!(r#""tdxModule":{{{module}}},"tdxModuleIdentities":[{identities}],"#)
    }

    fn level(&self, level: &Level) -> String {
        let components = |svns: &[u8; 16]| {
            let parts: Vec<String> = svns
                .iter()
                .map(|svn| format!(r#"{{"svn":{svn}}}"#))
                .collect();
            parts.join(",")
        };
        let tdx = match self.tee {
            Tee::Sgx => String::new(),
            Tee::Tdx => format!(r#","tdxtcbcomponents":[{}]"#, components(&level.tdx)),
        };
        format!(
            r#"{{"tcb":{{"sgxtcbcomponents":[{}],"pcesvn":{}{tdx}}},{}}}"#,
            components(&level.sgx),
            level.pce_svn,
            judgement(level.date, level.status, level.advisories)
        )
    }
}

/// A QE Identity before it is signed.
pub(super) struct QeIdentity {
    pub(super) issue: Issue,
    pub(super) tee: Tee,
    pub(super) levels: Vec<SvnLevel>,
}

impl QeIdentity {
    /// The identity of the quoting enclave of today.
    pub(super) fn new(tee: Tee, window: Window) -> Self {
        Self {
            issue: Issue {
                version: 2,
                window,
                number: EVALUATION_NUMBER,
                twice: false,
            },
            tee,
            levels: vec![
                SvnLevel {
                    svn: QE_SVN,
                    date: "2025-08-13T00:00:00Z",
                    status: "UpToDate",
                    advisories: &[],
                },
                SvnLevel {
                    svn: 4,
                    date: "2021-11-10T00:00:00Z",
                    status: "OutOfDate",
                    advisories: &["INTEL-SA-00477"],
                },
            ],
        }
    }

    /// The signed text.
    pub(super) fn text(&self) -> String {
        let product = self.tee.qe_product();
        let twice = if self.issue.twice {
            format!(r#""isvprodid":{product},"#)
        } else {
            String::new()
        };
        format!(
            r#"{{"id":"{}","version":{},{},"tcbEvaluationDataNumber":{},"miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"{}",{twice}"isvprodid":{product},"tcbLevels":{}}}"#,
            self.tee.qe_id(),
            self.issue.version,
            self.issue.dates(),
            self.issue.number,
            hex::encode_upper(self.tee.qe_signer()),
            svn_levels(&self.levels)
        )
    }
}

fn svn_levels(levels: &[SvnLevel]) -> String {
    let levels: Vec<String> = levels
        .iter()
        .map(|level| {
            let judged = judgement(level.date, level.status, level.advisories);
            format!(r#"{{"tcb":{{"isvsvn":{}}},{judged}}}"#, level.svn)
        })
        .collect();
    format!("[{}]", levels.join(","))
}

/// tcbDate, tcbStatus and advisoryIDs, which is absent when there are none.
fn judgement(date: &str, status: &str, advisories: &[&str]) -> String {
    let listed = if advisories.is_empty() {
        String::new()
    } else {
        format!(r#","advisoryIDs":["{}"]"#, advisories.join("\",\""))
    };
    format!(r#""tcbDate":"{date}","tcbStatus":"{status}"{listed}"#)
}

/// How long after the recovery of the standard documents the next one came.
const EARLY_AFTER: i64 = 180 * crate::x509_write::DAY;

/// The numbers in force and when they came (tcbevaluationdatanumbers).
pub(super) fn evaluation_numbers(tee: Tee, window: Window, recovery: UnixTime) -> String {
    let number = |number: u32, at: UnixTime| {
        format!(
            r#"{{"tcbEvaluationDataNumber":{number},"tcbRecoveryEventDate":"{at}","tcbDate":"{at}"}}"#
        )
    };
    format!(
        r#"{{"id":"{}","version":1,"issueDate":"{}","nextUpdate":"{}","tcbEvalNumbers":[{},{}]}}"#,
        tee.id(),
        window.from,
        window.to,
        number(EVALUATION_NUMBER, recovery),
        number(EARLY_NUMBER, recovery.plus(EARLY_AFTER))
    )
}

/// `{"member":{…},"signature":"128 hex"}`, signed over the text as it stands there.
pub(crate) fn signed(member: &str, text: &str, key: &EcdsaKeyPair) -> String {
    let signature = hex::encode(sign(key, text.as_bytes()));
    format!(r#"{{"{member}":{text},"signature":"{signature}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_json_with_the_members_of_real_ones() {
        let window = Window {
            from: UnixTime(0),
            to: UnixTime(1),
        };
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let info = read(&TcbInfo::new(Tee::Tdx, [0xab; 6], window).text());
        assert_eq!(info["fmspc"], "ABABABABABAB");
        assert_eq!(info["tdxModuleIdentities"][1]["id"], "TDX_01");
        assert_eq!(
            info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"][15]["svn"],
            0
        );
        assert_eq!(info["tcbLevels"][0].get("advisoryIDs"), None);
        let info = read(&TcbInfo::new(Tee::Sgx, [0xab; 6], window).text());
        assert_eq!(info.get("tdxModule"), None);
        let identity = read(&QeIdentity::new(Tee::Tdx, window).text());
        assert_eq!(
            (&identity["id"], &identity["isvprodid"]),
            (&"TD_QE".into(), &2.into())
        );
        let numbers = read(&evaluation_numbers(Tee::Sgx, window, UnixTime(0)));
        assert_eq!(
            numbers["tcbEvalNumbers"][0]["tcbEvaluationDataNumber"],
            EVALUATION_NUMBER
        );
        let early = read(&TcbInfo::new(Tee::Tdx, [0xab; 6], window).early().text());
        assert_eq!(early["tcbEvaluationDataNumber"], EARLY_NUMBER);
        assert_eq!(early["tcbLevels"][1]["tcbStatus"], "OutOfDate");
    }
}
