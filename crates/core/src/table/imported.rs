//! What a table says of numbers from elsewhere.

use std::collections::BTreeMap;

use super::Results;
use crate::summary::text::counted;

/// A sentence per source: how many runs are its, in how many cells, and
/// whether they are medians whose single runs nobody told.
pub(super) fn notes(results: &Results) -> impl Iterator<Item = String> {
    #[derive(Default)]
    struct Count {
        runs: u64,
        cells: u64,
        of_medians: u64,
    }
    let mut by_source: BTreeMap<(&str, &str), Count> = BTreeMap::new();
    for cell in &results.cells {
        let mut seen = Vec::new();
        for it in cell.replicates.iter().filter_map(|it| it.imported.as_ref()) {
            let source = (it.source.as_str(), it.file.as_str());
            let count = by_source.entry(source).or_default();
            count.runs += 1;
            count.of_medians += u64::from(it.runs > 1);
            if !seen.contains(&source) {
                seen.push(source);
                count.cells += 1;
            }
        }
    }
    let texts = by_source.into_iter().map(|((source, file), count)| {
        let (runs, cells) = (counted(count.runs, "run"), counted(count.cells, "cell"));
        let verb = if count.runs == 1 { "is" } else { "are" };
        let from = if file.ends_with(source) {
            file.to_owned()
        } else {
            format!("{source} ({file})")
        };
        let medians = match count.of_medians {
            0 => String::new(),
            count => format!(
                "; of {}, only the median is known, which stands for each",
                counted(count, "run")
            ),
        };
        format!("{runs} in {cells} {verb} imported from {from}, not trained here{medians}")
    });
    texts.collect::<Vec<_>>().into_iter()
}
