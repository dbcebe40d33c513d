//! Grants as a worker gets them: with their specs, as many as fit into a message.

use std::sync::Arc;

use swath_model::id::Owner;
use swath_model::limits::GRANTS_BYTES_MAX;
use swath_model::message::{Grant, Held};
use swath_model::spec::job_text;
use swath_store::Result;

use crate::Engine;
use crate::ledger::{Draft, Ledger, Wanted};

/// What a grant takes beside its spec and its launch, in bytes.
const BESIDE_BYTES: usize = 512;

impl Engine {
    /// Grants with their specs. Those that do not fit into a message wait again
    /// before the worker hears of them. If a caller does not get that far, it
    /// repeats its request.
    pub(crate) async fn write_out(
        &self,
        owner: Owner,
        mut drafts: Vec<Draft>,
    ) -> Result<Vec<Grant>> {
        let cells: Vec<_> = drafts.iter().map(|draft| draft.cell).collect();
        let specs = self.specs.of(&*self.store, &cells).await?;
        let fitting = fitting(&drafts, &specs);
        let surplus: Vec<Held> = drafts.drain(fitting..).map(|draft| draft.held).collect();
        if !surplus.is_empty() {
            let work = move |ledger: &mut Ledger, now| {
                ledger.put_back(now, &owner, &surplus);
                Ok(())
            };
            self.run(None, Wanted::Nothing, work).await?;
        }
        let grants = drafts.into_iter().zip(specs);
        let grants = grants.map(|(draft, spec)| Grant {
            held: draft.held,
            // A submit refuses cells whose text has no room for a seed.
            spec: job_text(&spec, draft.digest, draft.replicate).unwrap_or_default(),
            placement: draft.placement,
            replicate: draft.replicate,
            launch: draft.launch,
        });
        Ok(grants.collect())
    }
}

/// How many grants fit into one message; the first one does however large it is.
fn fitting(drafts: &[Draft], specs: &[Arc<str>]) -> usize {
    let mut bytes = 0;
    let fits = |(draft, spec): &(&Draft, &Arc<str>)| {
        bytes += spec.len() + draft.launch.bytes() + BESIDE_BYTES;
        bytes <= GRANTS_BYTES_MAX
    };
    let count = drafts.iter().zip(specs).take_while(fits).count();
    count.max(1).min(drafts.len())
}
