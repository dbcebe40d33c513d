//! A plan in each format, written cell by cell.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Value, json};
use swath_model::needs::Lack;
use swath_model::text::measured;
use swath_model::view::SCHEMA_VERSION;
use swath_results::fit::{Fit, Memory, gibibytes};
use swath_results::price::{Price, Source};
use swath_sweep::{Expansion, GridAxis, SweepFile};

use super::cell::Planned;
use super::ground::Estimate;
use super::price;
use swath_report::{
    Format, Listing, ListingColumn, Style, clipped, counted, csv_record, duration, padded,
    parameter, visible, width,
};

/// What all files of a plan come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) cells: u64,
    pub(crate) jobs: u64,
    /// Each job once, however many files need it.
    pub(crate) distinct_jobs: u64,
    /// Jobs with every replicate that results may ask for.
    pub(crate) most_jobs: u64,
    /// What the jobs beyond `jobs` would take, in seconds of one slot.
    pub(crate) more_seconds: f64,
    pub(crate) known: u64,
    pub(crate) measured: u64,
    /// Epochs of the new jobs whose budget is in epochs.
    pub(crate) epochs: u64,
    /// The price of the jobs that are not measured.
    pub(crate) price: Price,
    /// Slots that would take a job.
    pub(crate) slots: u32,
    /// What comes closest, where no worker at work can run some of the jobs.
    pub(crate) lack: Option<Lack>,
    /// Cells that fit in memory, that do not, and about which nobody knows.
    pub(crate) fit: u64,
    pub(crate) too_large: u64,
    pub(crate) fit_unknown: u64,
    /// Cells without a measured time for which a probe would give one.
    pub(crate) probeable: u64,
}

/// Writes a plan.
#[derive(Debug)]
pub(crate) struct Sheet {
    format: Format,
    /// Whether somebody could be asked what cells need.
    pub(crate) shows_estimates: bool,
    /// Whether the plan is of more than one file.
    many: bool,
    /// Every axis of every file: the columns of CSV.
    axes: Vec<String>,
    /// The columns of the sweep that is being written, with their widths.
    columns: Vec<Column>,
    sweep: String,
    /// The cells of this sweep, for the formats that need them all at once.
    listing: Listing,
    /// Sweeps, and cells of this sweep, written so far.
    sweeps: u64,
    cells: u64,
}

/// A longer value is cut off in the text; the other formats have it whole.
const COLUMNS_MOST: usize = 64;
const TAIL: [(&str, usize); 3] = [("cell", 12), ("jobs", 5), ("known", 5)];
/// Columns for what a cell needs; shown where somebody could be asked.
const ESTIMATES: [(&str, usize); 3] = [("step", 8), ("job", 9), ("memory", 8)];
/// The columns of a job in CSV before the axes.
const JOB: [&str; 6] = ["sweep", "cell", "replicate", "seed", "job", "known"];
/// What a cell needs, for programs: columns, and the keys of their document.
const RECORDS: [(&str, &str); 6] = [
    ("step_seconds", "step_seconds"),
    ("job_seconds", "job_seconds"),
    ("time_from", "from"),
    ("device", "device"),
    ("memory_bytes", "memory_bytes"),
    ("fits", "fits"),
];

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
            shows_estimates: false,
            many: expansions.len() > 1,
            axes,
            columns: Vec::new(),
            sweep: String::new(),
            listing: Listing::default(),
            sweeps: 0,
            cells: 0,
        }
    }

    /// Writes what comes before the first sweep.
    pub(crate) fn open(&self, out: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Json if self.many => {
                write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\"sweeps\":[")
            }
            Format::Json => write!(out, "{{\"schema_version\":{SCHEMA_VERSION},"),
            Format::Csv => {
                let axes = self.axes.iter().map(String::as_str);
                let names = JOB.into_iter().chain(axes);
                let names = names.chain(RECORDS.map(|(name, _)| name));
                csv_line(out, names.map(Cow::Borrowed))
            }
            _ => Ok(()),
        }
    }

    /// Writes what comes before the first cell of a sweep.
    pub(crate) fn begin(
        &mut self,
        out: &mut impl Write,
        expansion: &Expansion<'_>,
    ) -> io::Result<()> {
        let file = expansion.file();
        self.sweep.clone_from(&file.name);
        self.cells = 0;
        let axes = expansion.grid().axes.iter();
        self.columns = axes.map(|axis| Column::new(axis, file)).collect();
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
                let title = visible(&file.title);
                writeln!(out, "{gap}{} ({digest}): {title}", file.name)?;
                let names = self
                    .columns
                    .iter()
                    .map(|column| (column.name.clone(), column.width));
                let tail = self
                    .tail()
                    .map(|(name, width)| ((*name).to_owned(), *width));
                writeln!(out, "{}", line(names.chain(tail)))
            }
            Format::Markdown | Format::Latex | Format::Html => {
                self.listing = Listing::new("cells", self.headings());
                Ok(())
            }
            Format::Jsonl | Format::Csv | Format::Ids => Ok(()),
        }
    }

    /// The columns after the axes, with their widths.
    fn tail(&self) -> impl Iterator<Item = &'static (&'static str, usize)> {
        let estimates: &[_] = if self.shows_estimates {
            &ESTIMATES
        } else {
            &[]
        };
        TAIL.iter().chain(estimates)
    }

    pub(crate) fn cell(
        &mut self,
        out: &mut impl Write,
        planned: &Planned,
        estimate: &Estimate,
    ) -> io::Result<()> {
        self.cells += 1;
        match self.format {
            Format::Json => {
                if self.cells > 1 {
                    out.write_all(b",")?;
                }
                let document = self.document(planned, estimate);
                serde_json::to_writer(&mut *out, &document).map_err(io::Error::from)
            }
            Format::Jsonl => {
                let mut document = self.document(planned, estimate);
                document["schema_version"] = SCHEMA_VERSION.into();
                document["sweep"] = self.sweep.as_str().into();
                serde_json::to_writer(&mut *out, &document)?;
                writeln!(out)
            }
            Format::Csv => self.csv_rows(out, planned, estimate),
            Format::Ids => planned
                .jobs
                .iter()
                .try_for_each(|(job, _)| writeln!(out, "{}", job.digest)),
            Format::Table => writeln!(out, "{}", self.text_row(planned, estimate)),
            Format::Wide => {
                writeln!(out, "{}", self.text_row(planned, estimate))?;
                text_jobs(out, planned)
            }
            Format::Markdown | Format::Latex | Format::Html => {
                let fields = self.fields(planned, estimate);
                self.listing
                    .push(planned.cell.digest.to_string(), fields, Value::Null);
                Ok(())
            }
        }
    }

    /// Writes what comes after the last cell of a sweep.
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

    /// Writes what comes after the last sweep.
    pub(crate) fn close(&self, out: &mut impl Write, totals: &Totals) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let Totals {
                    cells,
                    jobs,
                    distinct_jobs,
                    most_jobs,
                    more_seconds,
                    ..
                } = totals;
                let price = &totals.price;
                let (slots, lack) = (totals.slots, totals.lack.as_ref());
                let memory = json!({
                    "cells_that_fit": totals.fit,
                    "cells_that_do_not": totals.too_large,
                    "cells_unknown": totals.fit_unknown,
                });
                let mut totals =
                    json!({"cells": cells, "jobs": jobs, "distinct_jobs": distinct_jobs});
                if price.priced() > 0 {
                    totals["price"] = price::document(price, slots, lack);
                }
                if most_jobs > distinct_jobs {
                    totals["most_jobs"] = (*most_jobs).into();
                    if price.priced() > 0 {
                        let most = price.seconds + more_seconds;
                        totals["price"]["most_device_seconds"] = most.into();
                    }
                }
                if self.shows_estimates {
                    totals["memory"] = memory;
                }
                let close = if self.many { "]," } else { "" };
                writeln!(out, "{close}\"totals\":{totals}}}")
            }
            Format::Table | Format::Wide => {
                writeln!(out, "\n{}", summary(totals, self.many))?;
                let most = (totals.price.seconds + totals.more_seconds) / 3600.0;
                let lack = totals.lack.as_ref();
                let price = price::sentence(&totals.price, totals.slots, lack).map(|price| {
                    if totals.more_seconds > 0.0 {
                        format!("{price}; up to {most:.2} device-hours, as results need")
                    } else {
                        price
                    }
                });
                let lines = price.into_iter().chain(self.memory_sentence(totals));
                lines
                    .into_iter()
                    .try_for_each(|line| writeln!(out, "{line}"))
            }
            _ => Ok(()),
        }
    }

    /// What is known about memory, in one line.
    fn memory_sentence(&self, totals: &Totals) -> Option<String> {
        if !self.shows_estimates {
            return None;
        }
        let counts = [
            (totals.too_large, "will not fit"),
            (totals.fit_unknown, "unknown"),
            (totals.fit, "fit"),
        ];
        let told = counts.into_iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = told
            .map(|(count, what)| format!("{} {what}", counted(count, "cell")))
            .collect();
        Some(format!("memory: {}", told.join(", ")))
    }

    /// The fields of a cell's row, in the order of the columns.
    fn fields(&self, planned: &Planned, estimate: &Estimate) -> Vec<String> {
        let axes = self
            .columns
            .iter()
            .map(|column| value(planned, &column.path));
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
        let estimates = self.shows_estimates.then(|| shown(estimate));
        let estimates = estimates.into_iter().flatten();
        axes.chain(tail).chain(estimates).collect()
    }

    fn text_row(&self, planned: &Planned, estimate: &Estimate) -> String {
        let columns = self.columns.iter().map(|column| &column.width);
        let widths = columns.chain(self.tail().map(|(_, width)| width));
        let fields = self.fields(planned, estimate);
        // The fields of the axes come first.
        let fields = fields.into_iter().enumerate().map(|(at, text)| {
            if at < self.columns.len() {
                short(&text)
            } else {
                text
            }
        });
        line(fields.zip(widths.copied()))
    }

    fn csv_rows(
        &self,
        out: &mut impl Write,
        planned: &Planned,
        estimate: &Estimate,
    ) -> io::Result<()> {
        let known = estimate.document();
        let records = RECORDS.map(|(_, key)| match &known[key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        for (job, known) in &planned.jobs {
            let fields = [
                self.sweep.clone(),
                planned.cell.digest.to_string(),
                job.replicate.to_string(),
                job.seed.to_string(),
                job.digest.to_string(),
                known.is_some().to_string(),
            ];
            let axes = self.axes.iter().map(|axis| value(planned, axis));
            let fields = fields.into_iter().chain(axes).map(Cow::Owned);
            csv_line(out, fields.chain(records.iter().map(Cow::from)))?;
        }
        Ok(())
    }

    /// A cell as programs get it.
    fn document(&self, planned: &Planned, estimate: &Estimate) -> Value {
        let mut document = plain_document(planned);
        if self.shows_estimates {
            document["estimate"] = estimate.document();
        }
        document
    }

    fn headings(&self) -> Vec<ListingColumn> {
        let axes = self
            .columns
            .iter()
            .map(|column| ListingColumn::number(&column.name));
        let tail = self.tail().map(|(name, _)| match *name {
            "cell" => ListingColumn::text(name),
            _ => ListingColumn::number(name),
        });
        axes.chain(tail).collect()
    }
}

/// The column of an axis.
#[derive(Debug)]
struct Column {
    path: String,
    /// What the file calls it.
    name: String,
    /// Wide enough for its name and all its values.
    width: usize,
}

impl Column {
    fn new(axis: &GridAxis, file: &SweepFile) -> Self {
        let bare = axis.path.strip_prefix("params.");
        let name = bare.filter(|_| file.program.is_some());
        let name = short(name.unwrap_or(&axis.path));
        let values = axis
            .values
            .iter()
            .map(|value| width(&short(&parameter(value))));
        Self {
            path: axis.path.clone(),
            width: values.chain([width(&name)]).max().unwrap_or(0),
            name,
        }
    }
}

fn short(text: &str) -> String {
    clipped(text, COLUMNS_MOST, Style::PIPE)
}

fn value(planned: &Planned, axis: &str) -> String {
    let mut axes = planned.cell.axes.iter();
    let found = axes.find(|(path, _)| path == axis).map(|(_, value)| value);
    found
        .or_else(|| planned.cell.spec.get(axis))
        .map(parameter)
        .unwrap_or_default()
}

fn line(fields: impl Iterator<Item = (String, usize)>) -> String {
    let fields = fields.map(|(text, width)| padded(&text, width));
    let fields: Vec<String> = fields.collect();
    fields.join("  ").trim_end().to_owned()
}

/// The times, and what is known about the memory, as people read them.
fn shown(estimate: &Estimate) -> [String; 3] {
    let dash = || "-".to_owned();
    let step = estimate.step_seconds.map_or_else(dash, step_time);
    let job = match estimate.seconds {
        Some((seconds, Source::Published)) => format!("~{}", duration(seconds)),
        Some((seconds, _)) => duration(seconds),
        None => dash(),
    };
    let memory = match &estimate.memory {
        Memory::Bytes(bytes) => gibibytes(*bytes),
        Memory::RanOut(_) | Memory::Unknown => dash(),
    };
    let memory = match &estimate.fit {
        Fit::TooLarge(why) => format!("will not fit: {why}"),
        Fit::Unknown(why) if !why.is_empty() => why.clone(),
        Fit::Fits | Fit::Unknown(_) => memory,
    };
    [step, job, memory]
}

/// Seconds of a step: `12.3 ms`, `1.88 s`.
fn step_time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", measured(seconds * 1000.0, 1))
    } else {
        format!("{seconds:.2} s")
    }
}

fn plain_document(planned: &Planned) -> Value {
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

/// The totals of the plan, in one line.
fn summary(totals: &Totals, many: bool) -> String {
    let mut parts = vec![counted(totals.cells, "cell"), counted(totals.jobs, "job")];
    if many {
        parts.push(format!("{} distinct", totals.distinct_jobs));
    }
    if totals.most_jobs > totals.distinct_jobs {
        parts.push(format!("up to {} as results need", totals.most_jobs));
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

fn csv_line<'a>(
    out: &mut impl Write,
    fields: impl Iterator<Item = Cow<'a, str>>,
) -> io::Result<()> {
    let mut line = String::new();
    csv_record(&mut line, fields);
    out.write_all(line.as_bytes())
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
