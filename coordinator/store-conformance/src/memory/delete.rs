//! Deletions, which must leave nothing behind that names what is gone.

use super::commit::{Refused, ensure};
use super::tables::Tables;
use crate::{CellKey, Deletion, DroppedCells, JobKey, SweepKey};

impl Tables {
    pub(super) fn delete(&mut self, deleted: Deletion) -> Refused {
        let Deletion {
            replications,
            sweep_cells,
            imports,
            jobs,
            cells,
            sweeps,
            inputs,
        } = deleted;
        for sweep in replications {
            let rec = self.sweep_mut(sweep)?;
            rec.replication = None;
            rec.decisions.clear();
        }
        for dropped in sweep_cells {
            self.drop_cells(&dropped)?;
        }
        for (name, cell) in imports {
            self.imports
                .retain(|(sweep, of, ..), _| *sweep != name || *of != cell);
        }
        self.requests.retain_mut(|request| {
            let before = request.grants.len();
            request.grants.retain(|(job, _)| !jobs.contains(job));
            before == 0 || !request.grants.is_empty()
        });
        for job in jobs {
            self.delete_job(job)?;
        }
        for cell in cells {
            self.delete_cell(cell)?;
        }
        for sweep in sweeps {
            self.delete_sweep(sweep)?;
        }
        inputs.into_iter().try_for_each(|it| self.delete_input(it))
    }

    fn drop_cells(&mut self, dropped: &DroppedCells) -> Refused {
        let key = dropped.sweep;
        let rec = self.sweep_mut(key)?;
        ensure(rec.new.label.deleting, || {
            format!("sweep {key} loses cells and is not being deleted")
        })?;
        let left = dropped.left as usize;
        let mut gone: Vec<CellKey> = rec.cells.split_off(left).iter().map(|it| it.cell).collect();
        rec.new.cells = dropped.left;
        for cell in &gone {
            self.cell_mut(*cell)?.holders.remove(&key);
        }
        let mut said = dropped.cells.clone();
        said.sort_unstable();
        gone.sort_unstable();
        ensure(said == gone, || {
            format!("sweep {key} loses {gone:?} and not {said:?}")
        })
    }

    fn delete_job(&mut self, key: JobKey) -> Refused {
        let rec = self.jobs.remove(&key);
        let rec = rec.ok_or_else(|| format!("job {key} is not there to be deleted"))?;
        self.job_keys.remove(&rec.new.digest);
        // It may come again, and is queued then.
        self.told.jobs.remove(&rec.new.digest);
        let (cell, replicate) = (rec.new.cell, rec.new.replicate.0);
        let holders = self.cell_mut(cell)?.holders.clone();
        let held = holders
            .iter()
            .any(|it| self.replicates_of(*it, cell) >= replicate);
        ensure(!held, || {
            format!("job {key} is deleted and a sweep holds it")
        })?;
        self.cell_mut(cell)?.jobs.retain(|job| *job != key);
        Ok(())
    }

    fn delete_cell(&mut self, key: CellKey) -> Refused {
        let rec = self.cells.remove(&key);
        let rec = rec.ok_or_else(|| format!("cell {key} is not there to be deleted"))?;
        self.cell_keys.remove(&rec.new.digest);
        let imported = self.imports.keys().any(|(_, cell, ..)| *cell == key);
        let free = rec.holders.is_empty() && rec.jobs.is_empty() && !imported;
        ensure(free, || {
            format!("cell {key} is deleted and something is of it")
        })
    }

    fn delete_sweep(&mut self, key: SweepKey) -> Refused {
        let rec = self.sweeps.remove(&key);
        let rec = rec.ok_or_else(|| format!("sweep {key} is not there to be deleted"))?;
        self.sweep_keys.remove(&rec.new.digest);
        self.shipped.retain(|row| row.sweep != key);
        let free = rec.new.label.deleting && rec.cells.is_empty() && rec.replication.is_none();
        ensure(free, || {
            format!("sweep {key} is deleted and something is of it")
        })
    }
}
