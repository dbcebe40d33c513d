//! The specs of granted cells. They are read from the store when they are
//! needed, and kept for a while, because the replicates of a cell are granted
//! one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use swath_store::{CellKey, Result, Store};

/// How many bytes of specs each generation keeps.
const BYTES_MAX: usize = 8 << 20;

/// Specs by cell.
#[derive(Debug, Default)]
pub(crate) struct Specs(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<CellKey, Arc<str>>,
    young_bytes: usize,
    /// The specs that were young before; they are dropped when the next
    /// generation grows old.
    old: HashMap<CellKey, Arc<str>>,
}

impl Generations {
    fn get(&mut self, cell: CellKey) -> Option<Arc<str>> {
        if let Some(spec) = self.young.get(&cell) {
            return Some(Arc::clone(spec));
        }
        let spec = self.old.remove(&cell)?;
        self.insert(cell, Arc::clone(&spec));
        Some(spec)
    }

    fn insert(&mut self, cell: CellKey, spec: Arc<str>) {
        if self.young_bytes > BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += spec.len();
        self.young.insert(cell, spec);
    }
}

impl Specs {
    /// The specs of these cells, in order.
    pub(crate) async fn of(&self, store: &dyn Store, cells: &[CellKey]) -> Result<Vec<Arc<str>>> {
        let mut specs: HashMap<CellKey, Arc<str>> = HashMap::new();
        let mut missing = Vec::new();
        self.with(|kept| {
            for &cell in cells {
                match kept.get(cell) {
                    Some(spec) => drop(specs.insert(cell, spec)),
                    None => missing.push(cell),
                }
            }
        });
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let read = store.specs(&missing).await?;
            self.with(|kept| {
                for (cell, spec) in missing.into_iter().zip(read) {
                    let spec: Arc<str> = spec.into();
                    kept.insert(cell, Arc::clone(&spec));
                    specs.insert(cell, spec);
                }
            });
        }
        let of = |cell: &CellKey| specs.get(cell).cloned().unwrap_or_else(|| "".into());
        Ok(cells.iter().map(of).collect())
    }

    fn with(&self, f: impl FnOnce(&mut Generations)) {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
