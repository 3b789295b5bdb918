//! Until when nodes' certificates count, read from requests that were signed, each once.

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Controller;
use crate::join::{CLIENT_SIGNER, NODE_USER};
use crate::{belief, certificate, pkcs10};

impl Controller {
    /// Remembers the end of certificates that were signed since the last look.
    pub(super) async fn certificates(&mut self) {
        let requests = self.requests.state();
        // Requests go after an hour; what is known about those that went is not needed.
        let there = requests.iter().map(|it| it.name_any()).collect();
        self.signed = self.signed.intersection(&there).cloned().collect();
        for csr in requests {
            let signed = csr.status.as_ref().and_then(|it| it.certificate.as_ref());
            let of_client = csr.spec.signer_name == CLIENT_SIGNER;
            let Some(signed) =
                signed.filter(|_| of_client && !self.signed.contains(&csr.name_any()))
            else {
                continue;
            };
            let until = certificate::validity(&signed.0).map(|it| it.until);
            let asked = pkcs10::read(&csr.spec.request.0).ok();
            let name = asked.and_then(|it| it.common_names.into_iter().next());
            let node = name.as_deref().and_then(|it| it.strip_prefix(NODE_USER));
            let memory = node.and_then(|it| self.memories.get(&ObjectRef::new(it)));
            if let (Some(until), Some(memory)) = (until, memory) {
                let mut memory = (*memory).clone();
                let mut status = memory.status.take().unwrap_or_default();
                let known = belief::seconds(status.certificate_until.as_ref());
                status.certificate_until = known.max(Some(until)).and_then(belief::time);
                memory.status = Some(status);
                if known < Some(until)
                    && let Err(error) = self.remember(&memory).await
                {
                    // Somebody wrote in between: the next pass tries again.
                    tracing::debug!(node = memory.name_any(), %error, "not remembered");
                    continue;
                }
            }
            self.signed.insert(csr.name_any());
        }
    }
}
