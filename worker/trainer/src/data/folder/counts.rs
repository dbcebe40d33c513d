//! A report of what was found in a folder.

use std::fmt::Write;

use super::super::Facts;

/// More classes than this are summed up.
const ROWS_MAX: usize = 20;

/// Images of a class: in the training and in the test set.
type Counts = [u64; 2];

/// The lines that report the size of a folder and of its classes.
pub(super) fn lines(facts: &Facts, train: &[i64], test: &[i64]) -> String {
    let mut counts = vec![[0; 2]; facts.class_names.len()];
    for (labels, split) in [(train, 0), (test, 1)] {
        for label in labels {
            counts[*label as usize][split] += 1;
        }
    }
    let mut text = format!(
        "{} training and {} test images of {}×{}×{} (channels×height×width) in {} classes",
        train.len(),
        test.len(),
        facts.channels,
        facts.height,
        facts.width,
        facts.classes
    );
    if counts.len() <= ROWS_MAX {
        table(&facts.class_names, &counts, &mut text);
    } else {
        summary(&facts.class_names, &counts, &mut text);
    }
    let without: Vec<&str> = facts
        .class_names
        .iter()
        .zip(&counts)
        .filter(|(_, count)| count[1] == 0)
        .map(|(name, _)| name.as_str())
        .collect();
    if let [first, ..] = without[..] {
        let _ = write!(
            text,
            "\nwarning: {} of the classes, `{first}` the first, have no test image: their errors \
             will not be measured",
            without.len()
        );
    }
    text
}

fn table(names: &[String], counts: &[Counts], text: &mut String) {
    let header = "class".len();
    let widest = names.iter().map(|name| name.chars().count());
    let width = widest.fold(header, usize::max);
    let _ = write!(text, "\n  {:width$}    train     test", "class");
    for (name, [train, test]) in names.iter().zip(counts) {
        let _ = write!(text, "\n  {name:width$} {train:>8} {test:>8}");
    }
}

fn summary(names: &[String], counts: &[Counts], text: &mut String) {
    for (split, what) in ["training", "test"].into_iter().enumerate() {
        let of_split = || {
            counts
                .iter()
                .zip(names)
                .map(|(count, name)| (count[split], name))
        };
        let least = of_split().min_by_key(|(count, _)| *count);
        let most = of_split().max_by_key(|(count, _)| *count);
        if let (Some((least, poor)), Some((most, rich))) = (least, most) {
            let _ = write!(
                text,
                "\n  {what} images per class: {least} (`{poor}`) to {most} (`{rich}`)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(classes: usize) -> Facts {
        Facts {
            channels: 1,
            height: 8,
            width: 9,
            classes: classes as i64,
            train_images: 0,
            mean: vec![0.5],
            std: vec![0.25],
            class_names: (0..classes).map(|class| format!("c{class}")).collect(),
        }
    }

    #[test]
    fn few_classes_are_a_table() {
        let text = lines(&facts(2), &[0, 0, 1], &[0]);
        assert_eq!(
            text,
            "3 training and 1 test images of 1×8×9 (channels×height×width) in 2 classes\n  \
             class    train     test\n  \
             c0           2        1\n  \
             c1           1        0\n\
             warning: 1 of the classes, `c1` the first, have no test image: their errors will not \
             be measured"
        );
    }

    #[test]
    fn many_classes_are_summed_up() {
        let train: Vec<i64> = (0..30).chain([7]).collect();
        let text = lines(&facts(30), &train, &(0..30).collect::<Vec<_>>());
        assert!(
            text.contains("training images per class: 1 (`c0`) to 2 (`c7`)"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3);
    }
}
