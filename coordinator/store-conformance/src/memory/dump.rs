//! All rows, page by page.

use async_trait::async_trait;

use super::failed;
use super::tables::{JobRec, Tables};
use crate::{
    CellKey, Changes, DroppedOutcome, LogGone, LostAttempt, Names, NewImport, NewJob,
    ObservationRow, Page, PageKey, Part, Result, Snapshot, Start, StoredCell,
};

/// The rows as they were when the snapshot was taken.
pub(super) struct Dump(pub(super) Tables);

#[async_trait]
impl Snapshot for Dump {
    async fn start(&mut self) -> Result<Start> {
        self.0.begin()
    }

    async fn load(&mut self, names: &Names) -> Result<Vec<StoredCell>> {
        Ok(self.0.load(names))
    }

    async fn specs(&mut self, cells: &[CellKey]) -> Result<Vec<String>> {
        self.0.specs(cells).map_err(failed)
    }

    async fn page(&mut self, part: Part, after: PageKey, limit: u32) -> Result<Page> {
        Ok(self.0.page(part, after, limit as usize))
    }

    async fn damage(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A row of a part: its place, and a function that adds it.
type Row<'a> = (PageKey, Box<dyn Fn(&mut Changes) + 'a>);

/// The rows of a part, in order.
type Rows<'a> = Vec<Row<'a>>;

/// The rows in the order in which they come, with keys that count them.
fn rows<'a, T: 'a>(all: impl IntoIterator<Item = T>, add: fn(&mut Changes, &T)) -> Rows<'a> {
    let row = |(place, row): (i64, T)| -> Row<'a> {
        (PageKey([place, 0, 0]), Box::new(move |all| add(all, &row)))
    };
    (0..).zip(all).map(row).collect()
}

impl Tables {
    fn page(&self, part: Part, after: PageKey, limit: usize) -> Page {
        let mut page = Page::default();
        let all = self.rows(part).into_iter();
        for (key, add) in all.filter(|(key, _)| *key > after).take(limit) {
            add(&mut page.rows);
            page.count += 1;
            page.last = Some(key);
        }
        page
    }

    fn rows(&self, part: Part) -> Rows<'_> {
        let sweeps = || self.sweeps.values();
        let jobs = || self.jobs.values();
        match part {
            Part::Sweeps => rows(sweeps(), |all, it| {
                all.new_sweeps.push(it.new.clone());
                all.sweeps.push(it.row.clone());
            }),
            Part::Inputs => rows(self.inputs.values(), |all, (it, _)| all.inputs.push(*it)),
            Part::Pieces => rows(
                self.inputs.values().flat_map(|(_, pieces)| pieces),
                |all, it| all.pieces.push((*it).clone()),
            ),
            Part::Shipped => rows(&self.shipped, |all, it| all.shipped.push(**it)),
            Part::Cells => rows(self.cells.values(), |all, it| {
                all.cells.push(it.new.clone());
            }),
            Part::SweepCells => rows(sweeps().flat_map(|it| &it.cells), |all, it| {
                all.sweep_cells.push((*it).clone());
            }),
            Part::Workers => rows(self.workers.values(), |all, it| {
                all.workers.push((*it).clone());
            }),
            Part::Jobs => rows(jobs(), |all, it| add_job(all, it)),
            Part::Late => {
                let mut late: Vec<_> = jobs().flat_map(|it| &it.late).collect();
                late.sort_by_key(|(came, _)| *came);
                rows(late, |all, (_, it)| all.late.push(it.clone()))
            }
            Part::Observations => rows(jobs().flat_map(observations), |all, it| {
                all.observations.push(it.clone());
            }),
            Part::Logs => rows(jobs().flat_map(|it| &it.logs), |all, it| {
                all.copied.get_or_insert_default().logs.push((*it).clone());
            }),
            Part::Requests => {
                let mut requests: Vec<_> = self.requests.iter().collect();
                // A database orders them as signed bits.
                requests.sort_by_key(|it| (it.worker, it.request as i64));
                rows(requests, |all, it| all.requests.push((*it).clone()))
            }
            Part::Replications => rows(
                sweeps().filter_map(|it| it.replication.as_ref()),
                |all, it| all.replications.push((*it).clone()),
            ),
            Part::Decisions => rows(sweeps().flat_map(|it| &it.decisions), |all, it| {
                all.decisions.push(**it);
            }),
            Part::Credentials => rows(self.credentials.values(), |all, it| {
                all.credentials.push((*it).clone());
            }),
            Part::Imports => {
                let mut imports: Vec<_> = self.imports.iter().collect();
                imports.sort_by_key(|(_, it)| it.came);
                rows(imports, |all, (key, it)| {
                    all.imports.push(NewImport {
                        sweep: key.0.clone(),
                        cell: key.1,
                        place: key.3,
                        number: it.number.clone(),
                        at: it.at,
                    });
                })
            }
        }
    }
}

fn add_job(all: &mut Changes, rec: &JobRec) {
    let row = &rec.row;
    all.new_jobs.push(NewJob {
        since: row.job.granted_at,
        ..rec.new
    });
    all.attempts.extend(rec.attempts.iter().map(|it| it.new));
    let dropped = rec.attempts.iter().filter_map(|it| {
        let (job, attempt) = (it.new.job, it.new.attempt);
        let at = it.forgotten?;
        Some(DroppedOutcome { job, attempt, at })
    });
    all.dropped.extend(dropped);
    let outcomes = rec.attempts.iter().filter_map(|it| it.outcome.clone());
    all.outcomes.extend(outcomes);
    let ends = rec.attempts.iter().filter_map(|it| it.end.clone());
    all.ends.extend(ends);
    let lost = rec.attempts.iter().filter_map(|it| {
        let (job, attempt) = (it.new.job, it.new.attempt);
        it.lost.map(|at| LostAttempt {
            job,
            attempt,
            at: Some(at),
        })
    });
    all.lost.extend(lost);
    if !row.is_as_made() {
        all.jobs.push(row.clone());
    }
    for it in rec.attempts.iter().filter(|it| it.log_gone > 0) {
        all.copied.get_or_insert_default().gone.push(LogGone {
            job: rec.new.key,
            attempt: it.new.attempt,
            sequence: it.log_gone,
        });
    }
}

fn observations(rec: &JobRec) -> impl Iterator<Item = ObservationRow> + '_ {
    rec.attempts.iter().flat_map(|it| {
        it.observations.values().map(|seen| ObservationRow {
            job: rec.new.key,
            attempt: it.new.attempt,
            observation: seen.clone(),
        })
    })
}
