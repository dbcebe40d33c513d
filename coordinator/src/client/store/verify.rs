//! `store verify`.

use std::fmt::Write;

use serde_json::json;
use swath_model::view::SCHEMA_VERSION;
use swath_report::Format;
use swath_store::Census;
use swath_store::verify::Verified;

use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};
use crate::settings::Context;

pub(super) async fn verify(context: &Context) -> Outcome {
    let database = &context.database;
    let mut snapshot = super::snapshot(database).await?;
    let found = super::verified(context, &mut *snapshot).await;
    snapshot.close().await?;
    let found = found?;
    match context.format {
        Format::Table => context.printer.data(&text(&found))?,
        Format::Json => context.printer.data(&document(&found).to_string())?,
        _ => {
            return Err(Failure::usage(
                "`store verify` prints text, or a document with `-o json`",
            ));
        }
    }
    if found.is_sound() {
        return Ok(Exit::Ok);
    }
    let all = found.findings.len() as u64 + found.untold;
    Err(Failure::error(format!(
        "{database} is damaged: {}",
        swath_report::counted(all, "finding")
    ))
    .hint("restore it from a backup: see docs/databases.md; workers still have what they measured in the last 7 days"))
}

fn text(found: &Verified) -> String {
    let mut text = String::new();
    for finding in &found.findings {
        let _ = writeln!(text, "{finding}");
    }
    if found.untold > 0 {
        let _ = writeln!(text, "and {} more", found.untold);
    }
    if found.is_sound() {
        let _ = writeln!(text, "ok: {}", counts(&found.census));
        let _ = writeln!(text, "digest {}", found.census.digest());
    }
    text
}

/// What there is, in words.
pub(super) fn counts(census: &Census) -> String {
    let shown = census.counts().filter(|(_, count)| *count > 0);
    let shown: Vec<String> = shown
        .map(|(part, count)| format!("{} {count}", part.name()))
        .collect();
    if shown.is_empty() {
        return "nothing yet".to_owned();
    }
    shown.join(", ")
}

fn document(found: &Verified) -> serde_json::Value {
    let counts: serde_json::Map<String, serde_json::Value> = found
        .census
        .counts()
        .map(|(part, count)| (part.name().replace(' ', "_"), count.into()))
        .collect();
    let findings = found.findings.iter();
    let findings: Vec<_> = findings
        .map(|it| json!({ "at": it.at, "what": it.what }))
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "ok": found.is_sound(),
        "counts": counts,
        "digest": found.census.digest(),
        "findings": findings,
        "untold": found.untold,
    })
}
