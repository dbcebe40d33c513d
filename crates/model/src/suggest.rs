//! The valid name that is nearest to a misspelt one.

/// Longer names, in bytes, are like no other: to compare two takes as many steps as
/// the product of their lengths.
const COMPARED_BYTES_MAX: usize = 128;
/// So many candidates are looked at.
const COMPARED_MAX: usize = 1000;

/// The candidate nearest to `name`, if one is near enough to be what was meant.
///
/// The distance counts inserted, removed, changed and swapped characters; up to
/// a third of the name may be wrong. Only the first thousand candidates count, and
/// no names of more than 128 bytes.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_compared = |name: &str| name.len() <= COMPARED_BYTES_MAX;
    if !is_compared(name) {
        return None;
    }
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .take(COMPARED_MAX)
        .filter(|candidate| is_compared(candidate))
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The candidate that `name` means: the one whose last part it is (`lr` is
/// `optimizer.lr`, `acc` is `val/acc`), or the [`nearest`] one, as a whole or by
/// its last part.
pub fn meant<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    fn last(path: &str) -> &str {
        path.rsplit(['.', '/']).next().unwrap_or(path)
    }
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let all = || candidates.iter().copied();
    let tail = last(name);
    let ends = |path: &str| {
        let before = path.strip_suffix(name);
        before.is_some_and(|it| it.ends_with(['.', '/']))
    };
    let whole = all().find(|it| ends(it));
    let same = whole.or_else(|| all().find(|it| last(it) == tail));
    let by_tail = || {
        let near = nearest(tail, all().map(last))?;
        all().find(|it| last(it) == near)
    };
    same.or_else(|| nearest(name, all())).or_else(by_tail)
}

/// Says which name was meant and what names there are, as the end of a sentence
/// that says that there is none of this name.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    there: &str,
) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let all = listed(candidates.iter().copied(), LISTED_MOST);
    match meant(name, candidates) {
        Some(near) => format!("did you mean `{near}`? {there} {all}"),
        None => format!("{there} {all}"),
    }
}

/// The most names that a sentence lists.
const LISTED_MOST: usize = 20;

/// What of `values` is meant by `text`, as the end of a sentence that says it is none of them: the nearest number,
/// or the nearest text.
pub fn nearest_value(text: &str, values: &[String]) -> String {
    let as_number = |text: &str| text.parse::<f64>().ok();
    let near = match as_number(text) {
        Some(number) => {
            let far = |value: &&String| {
                as_number(value).map_or(f64::INFINITY, |value| (value - number).abs())
            };
            let nearest = values.iter().min_by(|a, b| far(a).total_cmp(&far(b)));
            nearest.map(String::as_str)
        }
        None => nearest(text, values.iter().map(String::as_str)),
    };
    let all = listed(values.iter().map(String::as_str), 8);
    match near {
        Some(near) if values.len() > 1 => format!("the nearest is `{near}` of {all}"),
        _ => format!("it has {all}"),
    }
}

/// Names, each once, at most `most` of them.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>, most: usize) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
        if seen.len() > most {
            break;
        }
    }
    let more = seen.len() > most;
    seen.truncate(most);
    let text: Vec<String> = seen.iter().map(|name| format!("`{name}`")).collect();
    format!("{}{}", text.join(", "), if more { " …" } else { "" })
}

/// Damerau's distance, restricted to swaps of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let width = right.len() + 1;
    let mut rows = vec![0; (left.len() + 1) * width];
    for i in 0..=left.len() {
        for j in 0..width {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = usize::from(left[i - 1] != right[j - 1]);
                let mut best = (rows[(i - 1) * width + j] + 1)
                    .min(rows[i * width + j - 1] + 1)
                    .min(rows[(i - 1) * width + j - 1] + changed);
                let swapped =
                    i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                if swapped {
                    best = best.min(rows[(i - 2) * width + j - 2] + 1);
                }
                best
            };
        }
    }
    rows[rows.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_and_lists_take_no_time() {
        let long = "a".repeat(8 << 20);
        assert_eq!(nearest(&long, ["a"]), None);
        assert_eq!(nearest("b", [&*long, "a"]), Some("a"));
        let endless = std::iter::repeat("something");
        assert_eq!(nearest("else", endless), None);
    }

    #[test]
    fn finds_what_was_meant() {
        let keys = ["batch_size", "epochs", "optimizer.lr"];
        assert_eq!(nearest("batch_szie", keys), Some("batch_size"));
        assert_eq!(nearest("epoch", keys), Some("epochs"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(meant("lr", keys), Some("optimizer.lr"));
        assert_eq!(meant("params.lr", keys), Some("optimizer.lr"));
        assert_eq!(meant("batchsize", keys), Some("batch_size"));
        assert_eq!(meant("acc", ["loss", "val/acc"]), Some("val/acc"));
        assert_eq!(
            meant("val/acc", ["train/acc", "metrics.val/acc"]),
            Some("metrics.val/acc")
        );
        assert_eq!(meant("accc", ["loss", "val/acc"]), Some("val/acc"));
        assert_eq!(meant("colour", keys), None);
        assert_eq!(
            did_you_mean("lr", keys, "its axes are"),
            "did you mean `optimizer.lr`? its axes are `batch_size`, `epochs`, `optimizer.lr`"
        );
    }
}
