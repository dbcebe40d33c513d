//! What must hold of a whole store at the end of everything: it is sound, and
//! what it holds can be copied to another one and back.

use swath_core::policy::Policy;

use crate::{Census, MemoryStore, Store, copy, verify};

/// Verifies what a store holds, copies it to another one of plain rows, and
/// verifies that.
///
/// # Panics
///
/// When something is wrong with either.
pub async fn verify_and_copy(store: &dyn Store, policy: &Policy) {
    let wanted = sound(store, policy).await;
    let copy = MemoryStore::new();
    assert_eq!(copied(store, &copy).await, wanted);
    assert_eq!(sound(&copy, policy).await, wanted);
}

/// Verifies a store and says what it holds.
///
/// # Panics
///
/// When something is wrong with it.
pub async fn sound(store: &dyn Store, policy: &Policy) -> Census {
    let mut snapshot = store.snapshot().await.unwrap();
    let verified = verify::verify(&mut *snapshot, policy, &mut |_, _| {}).await;
    snapshot.close().await.unwrap();
    let verified = verified.unwrap();
    assert_eq!(verified.findings, []);
    verified.census
}

/// Copies everything of a store to an empty one.
///
/// # Panics
///
/// When that fails.
pub async fn copied(from: &dyn Store, to: &dyn Store) -> Census {
    let mut snapshot = from.snapshot().await.unwrap();
    let term = to.lead("a copy").await.unwrap();
    let census = copy::copy(&mut *snapshot, to, term, &mut |_, _| {}).await;
    snapshot.close().await.unwrap();
    census.unwrap()
}
