//! The suite over rows in memory.

use swath_model::policy::Policy;
use swath_store_conformance::MemoryStore;

async fn fresh(_policy: Policy) -> (MemoryStore, ()) {
    (MemoryStore::new(), ())
}

swath_store_conformance::conformance_suite!(fresh);

#[test]
fn copies_go_on_where_they_were() {
    swath_store_conformance::copying::copies_go_on_where_they_were(async || {
        Some((swath_store_conformance::MemoryStore::new(), ()))
    });
}
