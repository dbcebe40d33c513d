use std::collections::BTreeMap;

use super::price::{document, sentence};
use super::*;

use swath_model::message::Known;
use swath_model::needs::Lack;
use swath_report::Format;
use swath_results::fit::{Fit, Memory};
use swath_results::price::{Price, Source};

const SMALL: &str = "\
[sweep]
name = \"small\"
title = \"A small sweep\"
replicates = 2

[fixed]
trainer.command = [\"python3\", \"train.py\"]

[[grid]]
params.width = [1, 20]
params.depth = [3]
";

/// The plan of files with these texts, as text.
fn plan_of(format: Format, texts: &[&str]) -> String {
    plan_with(format, texts, None)
}

/// The same where a coordinator said what each cell needs.
fn plan_with(format: Format, texts: &[&str], estimate: Option<&Estimate>) -> String {
    let read = |path: &str| Err(format!("no file {path}"));
    let files: Vec<_> = texts
        .iter()
        .map(|text| swath_sweep::SweepFile::parse("small.toml", text, &read).unwrap())
        .collect();
    let expansions: Vec<_> = files.iter().map(|file| expand(file).unwrap()).collect();
    let mut sheet = Sheet::new(format, &expansions);
    sheet.shows_estimates = estimate.is_some();
    let nothing = Estimate::default();
    let estimate = estimate.unwrap_or(&nothing);
    let mut out = Vec::new();
    let mut distinct = Distinct::default();
    let mut totals = Totals::default();
    sheet.open(&mut out).unwrap();
    for expansion in &expansions {
        let replicates = expansion.file().replicates;
        sheet.begin(&mut out, expansion).unwrap();
        for cell in expansion.cells() {
            let _before = distinct.see(cell.digest, replicates);
            let jobs = cell.jobs(replicates).map(|job| (job, None)).collect();
            let planned = Planned { cell, jobs };
            totals.add(&planned);
            totals.see(estimate);
            let jobs = planned.jobs.len() as u64;
            totals.price.add(jobs, 1, estimate.seconds);
            sheet.cell(&mut out, &planned, estimate).unwrap();
        }
        sheet.end(&mut out).unwrap();
    }
    totals.distinct_jobs = distinct.jobs();
    totals.slots = 2;
    sheet.close(&mut out, &totals).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_for_reading() {
    insta::assert_snapshot!(plan_of(Format::Table, &[SMALL]));
}

/// A value may be a text of any length and of any letters.
#[test]
fn a_row_is_readable_whatever_its_values_are() {
    let long = "x".repeat(70_000);
    let values = format!("params.x = [\"{long}\", \"\\u001b[31mred\", \"训练 集\", 1]");
    let text = SMALL
        .replace("params.width = [1, 20]", &values)
        .replace("A small sweep", "\\u001b[2J\\u202egone");
    let plan = plan_of(Format::Table, &[&text]);
    assert!(plan.contains("\\u{1b}[2J\\u{202e}gone"), "{plan}");
    assert!(
        plan.contains("xxx…  3") || plan.contains("xxx~  3"),
        "{plan}"
    );
    assert!(plan.contains("\\u{1b}[31mred "), "{plan}");
    let rows = plan.lines().skip(2).take(4);
    let widths: Vec<usize> = rows.map(swath_report::width).collect();
    assert!(
        widths.iter().all(|it| *it == widths[0]),
        "{widths:?}\n{plan}"
    );
    assert!(plan_of(Format::Csv, &[&text]).contains(&long));
}

#[test]
fn every_file_format_is_whole() {
    let formats = [Format::Csv, Format::Markdown, Format::Latex, Format::Ids];
    let texts = formats.map(|format| plan_of(format, &[SMALL]));
    insta::assert_snapshot!(texts.join("---\n"));
}

#[test]
fn what_cells_need_stands_beside_them() {
    let probed = Estimate {
        seconds: Some((4000.0, Source::Probe)),
        step_seconds: Some(0.0123),
        device: "NVIDIA H100".to_owned(),
        memory: Memory::Bytes(3e9),
        fit: Fit::Fits,
        probeable: false,
    };
    let large = Estimate {
        seconds: None,
        step_seconds: None,
        memory: Memory::RanOut("NVIDIA T4".to_owned()),
        fit: Fit::TooLarge("its probe ran out of memory on NVIDIA T4".to_owned()),
        ..probed.clone()
    };
    let published = Estimate {
        seconds: Some((7.0, Source::Published)),
        ..Estimate::default()
    };
    let texts = [&probed, &large, &published].map(|estimate| {
        [Format::Table, Format::Csv, Format::Markdown, Format::Jsonl]
            .map(|format| plan_with(format, &[SMALL], Some(estimate)))
            .join("\n")
    });
    insta::assert_snapshot!(texts.join("---\n"));
}

#[test]
fn json_has_the_keys_of_the_contract() {
    let text = plan_of(Format::Json, &[SMALL]);
    let plan: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = plan.keys().map(String::as_str).collect();
    assert_eq!(keys, ["cells", "schema_version", "sweep", "totals"]);
    assert_eq!(
        plan["totals"],
        serde_json::json!({"cells": 2, "jobs": 4, "distinct_jobs": 4})
    );
    let cell = &plan["cells"][0];
    assert_eq!(cell["spec"]["params"]["width"], 1);
    assert_eq!(cell["jobs"][1]["replicate"], 2);
    assert_eq!(cell["jobs"][1]["known"], false);
}

#[test]
fn several_files_count_each_job_once() {
    let grown = SMALL
        .replace("[1, 20]", "[20, 40]")
        .replace("replicates = 2", "replicates = 3");
    let text = plan_of(Format::Json, &[SMALL, &grown]);
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["sweeps"].as_array().unwrap().len(), 2);
    // Three cells; the one in both files needs three replicates.
    let totals = serde_json::json!({"cells": 4, "jobs": 10, "distinct_jobs": 8});
    assert_eq!(plan["totals"], totals);
}

#[test]
fn every_line_of_jsonl_stands_alone() {
    let text = plan_of(Format::Jsonl, &[SMALL]);
    for line in text.lines() {
        let cell: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(cell["schema_version"], 1);
        assert_eq!(cell["sweep"], "small");
    }
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn known_jobs_cost_no_epochs() {
    let read = |path: &str| Err(format!("no file {path}"));
    let training = "\
dataset.name = \"cifar10\"
model.name = \"resnet_preact\"
model.depth = 20
optimizer.lr = 0.1
epochs = 10";
    let text = SMALL
        .replace("trainer.command = [\"python3\", \"train.py\"]", training)
        .replace(
            "params.width = [1, 20]\nparams.depth = [3]",
            "batch_size = [128]",
        );
    let file = swath_sweep::SweepFile::parse("small.toml", &text, &read).unwrap();
    let expansion = expand(&file).unwrap();
    let cell = expansion.cells().next().unwrap();
    let known = Known {
        state: StateName::Failed,
        fault: None,
    };
    let known = [Some(known), None, None];
    let jobs = cell.jobs(3).zip(known).collect();
    let mut totals = Totals::default();
    totals.add(&Planned { cell, jobs });
    assert_eq!((totals.jobs, totals.known, totals.epochs), (3, 1, 20));
}

#[test]
fn no_time_is_told_where_nobody_could_run_the_jobs() {
    let lack = Lack::Program {
        program: "sh".to_owned(),
    };
    let mut price = Price::default();
    price.add(4, 1, None);
    let told = |price: &Price, lack| sentence(price, 2, lack).unwrap_or_default();
    assert_eq!(told(&price, None), "");
    insta::assert_snapshot!(told(&price, Some(&lack)), @"it would wait: no active worker may run `sh`; start one with `--allow-command sh`");
    let mut price = Price::default();
    price.add(2, 1, Some((1800.0, Source::Jobs)));
    assert!(told(&price, None).ends_with(" on 2 slots"));
    insta::assert_snapshot!(told(&price, Some(&lack)), @"1.00 device-hours to go (2 jobs from what similar jobs took here), but some would wait: no active worker may run `sh`; start one with `--allow-command sh`");
    let text = document(&price, 2, Some(&lack));
    assert_eq!(text["eta_seconds"], serde_json::Value::Null);
    assert_eq!(text["lack"]["program"], "sh");
    assert!(document(&price, 2, None)["eta_seconds"].is_number());
}
