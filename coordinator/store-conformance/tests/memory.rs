//! The suite over rows in memory.

use swath_core::policy::Policy;
use swath_store_conformance::MemoryStore;

async fn fresh(_policy: Policy) -> (MemoryStore, ()) {
    (MemoryStore::new(), ())
}

swath_store_conformance::conformance_suite!(fresh);
