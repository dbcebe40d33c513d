//! Names of columns as people say them.

/// Tables of the spec whose name adds nothing to the names of their keys.
const SILENT: [&str; 5] = [
    "optimizer.",
    "augmentation.",
    "loss.",
    "params.",
    "trainer.params.",
];

/// What people call a parameter or measure: `batch size` for `batch_size`,
/// `lr` for `optimizer.lr`, `schedule` for `schedule.name`.
pub fn label(path: &str) -> String {
    let named = path.strip_suffix(".name").unwrap_or(path);
    let short = SILENT
        .iter()
        .find_map(|prefix| named.strip_prefix(prefix))
        .unwrap_or(named);
    spaced(short)
}

/// The labels of `paths`; where two would be the same, both keep their whole
/// path.
pub(super) fn labels<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let paths: Vec<&str> = paths.collect();
    let short: Vec<String> = paths.iter().map(|path| label(path)).collect();
    let alike = |text: &String| short.iter().filter(|other| *other == text).count() > 1;
    let names = paths.iter().zip(&short);
    names
        .map(|(path, text)| {
            if alike(text) {
                spaced(path)
            } else {
                text.clone()
            }
        })
        .collect()
}

fn spaced(path: &str) -> String {
    path.replace(['.', '_'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_say() {
        for (path, text) in [
            ("batch_size", "batch size"),
            ("optimizer.lr", "lr"),
            ("optimizer.weight_decay", "weight decay"),
            ("schedule.name", "schedule"),
            ("schedule.min_lr", "schedule min lr"),
            ("augmentation.random_crop.padding", "random crop padding"),
            ("model.depth", "model depth"),
            ("optimizer.name", "optimizer"),
            ("params.width", "width"),
            ("best_test_error", "best test error"),
        ] {
            assert_eq!(label(path), text);
        }
    }

    #[test]
    fn names_that_collide_are_told_apart() {
        let names = labels(["params.lr", "optimizer.lr", "epochs"].into_iter());
        assert_eq!(names, ["params lr", "optimizer lr", "epochs"]);
    }
}
