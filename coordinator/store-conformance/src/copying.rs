//! What must hold of a whole store at the end: it is sound, and its contents
//! can be copied to another one and back.

use async_trait::async_trait;
use swath_model::policy::Policy;

use crate::bench::Bench;
use crate::{
    CellKey, Census, MemoryStore, Names, Page, PageKey, Part, Result, Snapshot, Start, Store,
    StoreError, StoredCell, copy, finishing, importing, judging, policy, reading, recovering,
    replicating, runtime, shipping, verify,
};

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

/// Verifies a store and returns what it holds.
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

/// Copies what scenarios leave behind into stores from `make` and back. The
/// copy is interrupted after every page.
///
/// # Panics
///
/// When a copy is not the same.
pub fn copies_go_on_where_they_were<S, G>(make: impl AsyncFn() -> Option<(S, G)>)
where
    S: Store,
{
    let run = async {
        for scenario in 0..SCENARIOS {
            let Some((to, _guard)) = make().await else {
                return;
            };
            let from = left_by(scenario).await;
            let wanted = Census::take(&mut *from.snapshot().await.unwrap(), &mut |_, _| {}).await;
            let wanted = wanted.unwrap();
            assert_eq!(cut_off_and_repeated(&from, &to).await, wanted);
            assert_eq!(sound(&to, &policy()).await, wanted);
            let back = MemoryStore::new();
            assert_eq!(copied(&to, &back).await, wanted);
            assert_eq!(sound(&back, &policy()).await, wanted);
            to.close().await.unwrap();
        }
    };
    runtime().block_on(run);
}

const SCENARIOS: u32 = 9;

/// What some scenarios leave behind: rows of every kind.
async fn left_by(scenario: u32) -> MemoryStore {
    let store = MemoryStore::new();
    let mut bench = Bench::start(store.clone(), policy(), false).await;
    match scenario {
        0 => finishing::a_finish_after_a_newer_grant_is_stale(&mut bench).await,
        1 => importing::an_import_can_be_repeated_and_replaced(&mut bench).await,
        2 => replicating::a_settled_sweep_is_finished(&mut bench).await,
        3 => replicating::a_round_gives_each_cell_its_next_replicate(&mut bench).await,
        4 => reading::logs_go_on_after_a_position(&mut bench).await,
        5 => reading::observations_keep_every_field(&mut bench).await,
        6 => recovering::the_last_requests_are_kept(&mut bench).await,
        7 => shipping::files_without_a_sweep_go_after_a_day(&mut bench).await,
        _ => judging::faults_on_three_workers_end_a_job(&mut bench).await,
    }
    store
}

/// Copies page by page, and starts the copy again after each page. Other stores
/// are refused meanwhile, and no engine begins with half a copy.
async fn cut_off_and_repeated(from: &MemoryStore, to: &dyn Store) -> Census {
    let term = to.lead("a copy").await.unwrap();
    let mut other = MemoryStore::new().snapshot().await.unwrap();
    for _ in 0..10_000 {
        let mut some = CutOff {
            inner: from.snapshot().await.unwrap(),
            pages: 1,
        };
        match copy::copy(&mut some, to, term, &mut |_, _| {}).await {
            Ok(census) => return census,
            Err(StoreError::NotFound(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if to.copying().await.unwrap().is_some() {
            assert!(to.start().await.is_err());
            let refused = copy::copy(&mut *other, to, term, &mut |_, _| {}).await;
            assert!(matches!(refused, Err(StoreError::Conflict(_))));
        }
    }
    panic!("the copy never ends");
}

/// A snapshot of small pages that cannot be read any more after some pages with
/// rows.
struct CutOff {
    inner: Box<dyn Snapshot>,
    pages: u32,
}

#[async_trait]
impl Snapshot for CutOff {
    async fn start(&mut self) -> Result<Start> {
        self.inner.start().await
    }

    async fn load(&mut self, names: &Names) -> Result<Vec<StoredCell>> {
        self.inner.load(names).await
    }

    async fn specs(&mut self, cells: &[CellKey]) -> Result<Vec<String>> {
        self.inner.specs(cells).await
    }

    async fn page(&mut self, part: Part, after: PageKey, limit: u32) -> Result<Page> {
        // The comparison at the end begins at the first row again.
        if part == Part::Sweeps && after == PageKey::FIRST && self.pages == 0 {
            self.pages = u32::MAX;
        }
        let page = self.inner.page(part, after, limit.min(2)).await?;
        if page.last.is_none() {
            return Ok(page);
        }
        let left = self.pages.checked_sub(1);
        self.pages = left.ok_or_else(|| StoreError::NotFound("more".to_owned()))?;
        Ok(page)
    }

    async fn damage(&mut self) -> Result<Vec<String>> {
        self.inner.damage().await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.inner.close().await
    }
}
