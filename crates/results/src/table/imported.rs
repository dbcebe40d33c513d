//! What a table says about imported numbers.

use std::collections::BTreeSet;

use swath_model::import::Imported;
use swath_model::job::StateName;
use swath_model::text::counted;
use swath_model::view::CellResults;

use super::Results;

/// How many ranges of lines a footnote lists.
const RANGES_MAX: usize = 12;

/// Which cells rest on imported numbers, and the footnotes that say so. Cells
/// share a footnote if everything but the line of the file is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Marked {
    pub(super) texts: Vec<String>,
    /// For each cell the index of its text.
    pub(super) of: Vec<Option<usize>>,
}

/// How many runs of a cell are imported, and how many runs it has.
pub(super) fn share(cell: &CellResults) -> [u32; 2] {
    let mut share = [0, 0];
    let succeeded = |it: &&swath_model::view::ReplicateResult| it.state == StateName::Succeeded;
    for it in cell.replicates.iter().filter(succeeded) {
        share[0] += u32::from(it.imported.is_some());
        share[1] += 1;
    }
    share
}

/// The imported numbers of a cell, each once, however many runs it stands for.
pub(super) fn numbers(cell: &CellResults) -> Vec<&Imported> {
    // Each with the runs that it still has to stand for.
    let mut numbers: Vec<(&Imported, u32)> = Vec::new();
    let imported = cell.replicates.iter();
    for it in imported.filter_map(|it| it.imported.as_deref()) {
        let known = numbers.iter_mut();
        let mut known = known.filter(|(known, left)| *left > 0 && *known == it);
        match known.next() {
            Some((_, left)) => *left -= 1,
            None => numbers.push((it, it.runs.saturating_sub(1))),
        }
    }
    numbers.into_iter().map(|(number, _)| number).collect()
}

/// Numbers of a cell that come from one file and are alike in what they stand
/// for.
#[derive(Debug)]
struct Part<'a> {
    source: &'a str,
    file: &'a str,
    /// How many runs each number stands for.
    runs: u32,
    count: u64,
    lines: BTreeSet<u32>,
}

impl Part<'_> {
    fn is_like(&self, other: &Part<'_>) -> bool {
        let key = (self.source, self.file, self.runs, self.count);
        key == (other.source, other.file, other.runs, other.count)
    }

    fn text(&self) -> String {
        let what = match (self.runs, self.count) {
            (1, count) => counted(count, "run"),
            (runs, 1) => format!("the median of {runs} runs that are not known one by one"),
            (runs, count) => {
                format!("{count} medians of {runs} runs each that are not known one by one")
            }
        };
        let place = format!("{}:{}", self.file, ranges(&self.lines));
        if self.file.ends_with(self.source) {
            format!("{what}, from {place}")
        } else {
            format!("{what}, from {} ({place})", self.source)
        }
    }
}

/// What a footnote says about some cells.
#[derive(Debug)]
struct Note<'a> {
    /// See [`share`].
    share: [u32; 2],
    parts: Vec<Part<'a>>,
}

impl Note<'_> {
    fn is_like(&self, other: &Note<'_>) -> bool {
        let is_whole = |it: &Self| it.share[0] == it.share[1];
        let of_all = is_whole(self) && other.share[0] == other.share[1];
        (of_all || self.share == other.share)
            && self.parts.len() == other.parts.len()
            && (self.parts.iter().zip(&other.parts)).all(|(one, other)| one.is_like(other))
    }

    fn text(&self) -> String {
        let [imported, of] = self.share;
        let which = if imported == of {
            "Imported, not trained here".to_owned()
        } else {
            format!("{imported} of {of} runs imported, not trained here")
        };
        let parts: Vec<String> = self.parts.iter().map(Part::text).collect();
        format!("{which}: {}", parts.join("; "))
    }
}

impl Marked {
    pub(super) fn of(results: &Results) -> Self {
        let mut notes: Vec<Note<'_>> = Vec::new();
        let of = results.cells.iter().map(|cell| {
            let note = note(cell)?;
            let known = notes.iter_mut().position(|it| it.is_like(&note));
            let Some(at) = known else {
                notes.push(note);
                return Some(notes.len() - 1);
            };
            for (known, part) in notes[at].parts.iter_mut().zip(note.parts) {
                known.lines.extend(part.lines);
            }
            Some(at)
        });
        let of = of.collect();
        Self {
            texts: notes.iter().map(Note::text).collect(),
            of,
        }
    }
}

fn note(cell: &CellResults) -> Option<Note<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for number in numbers(cell) {
        let (source, file) = (number.source.as_str(), number.file.as_str());
        let known = parts
            .iter_mut()
            .find(|it| (it.source, it.file, it.runs) == (source, file, number.runs));
        match known {
            Some(part) => {
                part.count += 1;
                part.lines.insert(number.line);
            }
            None => parts.push(Part {
                source,
                file,
                runs: number.runs,
                count: 1,
                lines: BTreeSet::from([number.line]),
            }),
        }
    }
    (!parts.is_empty()).then(|| Note {
        share: share(cell),
        parts,
    })
}

/// Rising numbers in short form: `2-5, 7`.
fn ranges(lines: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<[u32; 2]> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == *line => *last = *line,
            _ => ranges.push([*line; 2]),
        }
    }
    let more = ranges.len() > RANGES_MAX;
    let shown = ranges.iter().take(RANGES_MAX).map(|[first, last]| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    if more {
        format!("{text} and more")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_in_short() {
        let text = |lines: &[u32]| ranges(&lines.iter().copied().collect());
        assert_eq!(text(&[2]), "2");
        assert_eq!(text(&[9, 3, 2, 4, 8]), "2-4, 8-9");
        let odd: Vec<u32> = (0..20).map(|it| 2 * it).collect();
        assert!(text(&odd).ends_with(", 22 and more"), "{}", text(&odd));
    }
}
