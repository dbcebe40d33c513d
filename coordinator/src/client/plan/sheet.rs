//! A plan in each format, written cell by cell.

use std::io::{self, Write};

use serde_json::{Value, json};
use swath_core::price::Price;
use swath_core::sweep::{Expansion, GridAxis};
use swath_core::view::SCHEMA_VERSION;

use super::{Planned, price};
use swath_report::{Format, Listing, ListingColumn, Style, counted, parameter};

/// What all files of a plan come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) cells: u64,
    pub(crate) jobs: u64,
    /// Each job once, however many files need it.
    pub(crate) distinct_jobs: u64,
    pub(crate) known: u64,
    pub(crate) measured: u64,
    /// Over the new jobs whose budget is in epochs.
    pub(crate) epochs: u64,
    /// Of the jobs that are not measured.
    pub(crate) price: Price,
    /// Slots that would take a job.
    pub(crate) slots: u32,
}

/// Writes a plan.
#[derive(Debug)]
pub(crate) struct Sheet {
    format: Format,
    /// More than one file.
    many: bool,
    /// Every axis of every file: the columns of CSV.
    axes: Vec<String>,
    /// The columns of the sweep that is being written, with their widths.
    columns: Vec<(String, usize)>,
    sweep: String,
    /// The cells of this sweep, for the formats that need them all at once.
    listing: Listing,
    /// Sweeps, and cells of this sweep, written so far.
    sweeps: u64,
    cells: u64,
}

const TAIL: [(&str, usize); 3] = [("cell", 12), ("jobs", 5), ("known", 5)];

impl Sheet {
    pub(crate) fn new(format: Format, expansions: &[Expansion<'_>]) -> Self {
        let mut axes: Vec<String> = Vec::new();
        for axis in expansions
            .iter()
            .flat_map(|expansion| &expansion.grid().axes)
        {
            if !axes.contains(&axis.path) {
                axes.push(axis.path.clone());
            }
        }
        Self {
            format,
            many: expansions.len() > 1,
            axes,
            columns: Vec::new(),
            sweep: String::new(),
            listing: Listing::default(),
            sweeps: 0,
            cells: 0,
        }
    }

    /// Before the first sweep.
    pub(crate) fn open(&self, out: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Json if self.many => {
                write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\"sweeps\":[")
            }
            Format::Json => write!(out, "{{\"schema_version\":{SCHEMA_VERSION},"),
            Format::Csv => {
                write!(out, "sweep,cell,replicate,seed,job,known")?;
                for axis in &self.axes {
                    write!(out, ",{}", csv_field(axis))?;
                }
                writeln!(out)
            }
            _ => Ok(()),
        }
    }

    /// Before the first cell of a sweep.
    pub(crate) fn begin(
        &mut self,
        out: &mut impl Write,
        expansion: &Expansion<'_>,
    ) -> io::Result<()> {
        let file = expansion.file();
        self.sweep.clone_from(&file.name);
        self.cells = 0;
        self.columns = expansion.grid().axes.iter().map(column).collect();
        self.sweeps += 1;
        match self.format {
            Format::Json => {
                let comma = if self.sweeps > 1 { "," } else { "" };
                let open = if self.many { "{" } else { "" };
                write!(
                    out,
                    "{comma}{open}\"sweep\":{},\"cells\":[",
                    Value::from(&*self.sweep)
                )
            }
            Format::Table | Format::Wide => {
                let gap = if self.sweeps > 1 { "\n" } else { "" };
                let digest = expansion.digest().short();
                writeln!(out, "{gap}{} ({digest}): {}", file.name, file.title)?;
                let names = self
                    .columns
                    .iter()
                    .map(|(name, width)| format!("{name:<width$}"));
                let tail = TAIL.iter().map(|(name, width)| format!("{name:<width$}"));
                writeln!(out, "{}", line(names.chain(tail)))
            }
            Format::Markdown | Format::Latex | Format::Html => {
                self.listing = Listing::new("cells", self.headings());
                Ok(())
            }
            Format::Jsonl | Format::Csv | Format::Ids => Ok(()),
        }
    }

    pub(crate) fn cell(&mut self, out: &mut impl Write, planned: &Planned) -> io::Result<()> {
        self.cells += 1;
        match self.format {
            Format::Json => {
                if self.cells > 1 {
                    out.write_all(b",")?;
                }
                serde_json::to_writer(&mut *out, &document(planned)).map_err(io::Error::from)
            }
            Format::Jsonl => {
                let mut document = document(planned);
                document["schema_version"] = SCHEMA_VERSION.into();
                document["sweep"] = self.sweep.as_str().into();
                serde_json::to_writer(&mut *out, &document)?;
                writeln!(out)
            }
            Format::Csv => self.csv_rows(out, planned),
            Format::Ids => planned
                .jobs
                .iter()
                .try_for_each(|(job, _)| writeln!(out, "{}", job.digest)),
            Format::Table => writeln!(out, "{}", self.text_row(planned)),
            Format::Wide => {
                writeln!(out, "{}", self.text_row(planned))?;
                text_jobs(out, planned)
            }
            Format::Markdown | Format::Latex | Format::Html => {
                let fields = self.fields(planned);
                self.listing
                    .push(planned.cell.digest.to_string(), fields, Value::Null);
                Ok(())
            }
        }
    }

    /// After the last cell of a sweep.
    pub(crate) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Json => write!(out, "]{}", if self.many { "}" } else { "," }),
            Format::Markdown | Format::Latex | Format::Html => {
                let gap = if self.sweeps > 1 { "\n" } else { "" };
                write!(
                    out,
                    "{gap}{}",
                    self.listing.render(self.format, &Style::PIPE)
                )
            }
            _ => Ok(()),
        }
    }

    /// After the last sweep.
    pub(crate) fn close(&self, out: &mut impl Write, totals: &Totals) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let Totals {
                    cells,
                    jobs,
                    distinct_jobs,
                    ..
                } = totals;
                let price = &totals.price;
                let slots = totals.slots;
                let mut totals =
                    json!({"cells": cells, "jobs": jobs, "distinct_jobs": distinct_jobs});
                if price.measured + price.published > 0 {
                    totals["price"] = price::document(price, slots);
                }
                let close = if self.many { "]," } else { "" };
                writeln!(out, "{close}\"totals\":{totals}}}")
            }
            Format::Table | Format::Wide => {
                writeln!(out, "\n{}", summary(totals, self.many))?;
                match price::sentence(&totals.price, totals.slots) {
                    Some(price) => writeln!(out, "{price}"),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The fields of a cell's row, in the order of the columns.
    fn fields(&self, planned: &Planned) -> Vec<String> {
        let axes = self.columns.iter().map(|(name, _)| value(planned, name));
        let known = planned
            .jobs
            .iter()
            .filter(|(_, known)| known.is_some())
            .count();
        let tail = [
            planned.cell.digest.short(),
            planned.jobs.len().to_string(),
            known.to_string(),
        ];
        axes.chain(tail).collect()
    }

    fn text_row(&self, planned: &Planned) -> String {
        let columns = self.columns.iter().map(|(_, width)| width);
        let widths = columns.chain(TAIL.iter().map(|(_, width)| width));
        let fields = self.fields(planned);
        line(
            fields
                .iter()
                .zip(widths)
                .map(|(text, width)| format!("{text:<width$}")),
        )
    }

    fn csv_rows(&self, out: &mut impl Write, planned: &Planned) -> io::Result<()> {
        for (job, known) in &planned.jobs {
            let cell = planned.cell.digest;
            let (sweep, known) = (&self.sweep, known.is_some());
            write!(
                out,
                "{sweep},{cell},{},{},{},{known}",
                job.replicate, job.seed, job.digest
            )?;
            for axis in &self.axes {
                write!(out, ",{}", csv_field(&value(planned, axis)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn headings(&self) -> Vec<ListingColumn> {
        let axes = self
            .columns
            .iter()
            .map(|(name, _)| ListingColumn::number(name));
        let [cell, jobs, known] = TAIL.map(|(name, _)| name);
        let tail = [
            ListingColumn::text(cell),
            ListingColumn::number(jobs),
            ListingColumn::number(known),
        ];
        axes.chain(tail).collect()
    }
}

/// A column that is wide enough for its name and all its values.
fn column(axis: &GridAxis) -> (String, usize) {
    let values = axis
        .values
        .iter()
        .map(|value| parameter(value).chars().count());
    let width = values.chain([axis.path.chars().count()]).max().unwrap_or(0);
    (axis.path.clone(), width)
}

fn value(planned: &Planned, axis: &str) -> String {
    let mut axes = planned.cell.axes.iter();
    let found = axes.find(|(path, _)| path == axis).map(|(_, value)| value);
    found
        .or_else(|| planned.cell.spec.get(axis))
        .map(parameter)
        .unwrap_or_default()
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let fields: Vec<String> = fields.collect();
    fields.join("  ").trim_end().to_owned()
}

fn document(planned: &Planned) -> Value {
    let jobs = planned.jobs.iter().map(|(job, known)| {
        json!({
            "digest": job.digest,
            "replicate": job.replicate,
            "seed": job.seed,
            "known": known.is_some(),
        })
    });
    json!({
        "cell": planned.cell.digest,
        "spec": planned.cell.spec.cell_tree(),
        "jobs": jobs.collect::<Vec<_>>(),
    })
}

/// What the plan comes to, in one line.
fn summary(totals: &Totals, many: bool) -> String {
    let mut parts = vec![counted(totals.cells, "cell"), counted(totals.jobs, "job")];
    if many {
        parts.push(format!("{} distinct", totals.distinct_jobs));
    }
    parts.push(format!("{} known already", totals.known));
    if totals.measured > 0 {
        parts.push(format!("{} measured already", totals.measured));
    }
    if totals.epochs > 0 {
        parts.push(format!("{} of training", counted(totals.epochs, "epoch")));
    }
    parts.join(", ")
}

/// A field of a CSV line.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The jobs of a cell, under its row.
fn text_jobs(out: &mut impl Write, planned: &Planned) -> io::Result<()> {
    for (job, known) in &planned.jobs {
        let known = known.map_or("new", |known| known.state.name());
        let (digest, replicate) = (job.digest, job.replicate);
        writeln!(
            out,
            "  {digest}  replicate {replicate}  seed {}  {known}",
            job.seed
        )?;
    }
    Ok(())
}
