//! A chart in text characters.

use swath_model::text::visible;

use crate::chart::{Body, Boxes, Chart, Grid, Heat, Row};
use crate::scale::Scale;

/// Columns and lines of the area.
const WIDTH_LEAST: usize = 24;
const WIDTH_MOST: usize = 96;
const LINES: usize = 18;
/// A letter per series.
const LETTERS: [char; 14] = [
    'o', 'x', '+', '*', '#', '@', '%', 'a', 'b', 'c', 'd', 'e', 'f', 'g',
];

/// The longest name beside a row or above a column: a parameter's value may be
/// a text of any length.
const NAME_MOST: usize = 40;

pub(crate) fn write(chart: &Chart, width: usize, unicode: bool) -> String {
    let mut out = String::new();
    put!(out, "{}\n\n", chart.title);
    let mut body = chart.body.clone();
    match &mut body {
        Body::Lines(grid) => {
            shorten(grid.series.iter_mut().map(|it| &mut it.name), unicode);
            lines(&mut out, chart, grid, width, unicode);
        }
        Body::Boxes(boxes) => {
            shorten(boxes.rows.iter_mut().map(|it| &mut it.name), unicode);
            rows(&mut out, chart, boxes, width, unicode);
        }
        Body::Heat(heat) => {
            shorten(heat.rows.iter_mut().chain(&mut heat.columns), unicode);
            table(&mut out, chart, heat);
        }
    }
    out.push('\n');
    for sentence in &chart.caption {
        wrapped(&mut out, sentence, " ", width);
    }
    // No line ends in a space, and no name reaches the terminal as a command.
    let lines: Vec<_> = out.lines().map(|line| visible(line.trim_end())).collect();
    lines.join("\n") + "\n"
}

fn shorten<'a>(names: impl Iterator<Item = &'a mut String>, unicode: bool) {
    for name in names {
        if let Some((end, _)) = name.char_indices().nth(NAME_MOST)
            && let Some((last, _)) = name[..end].char_indices().next_back()
        {
            name.truncate(last);
            name.push(if unicode { '…' } else { '~' });
        }
    }
}

/// Appends a text in lines of at most `width`, broken at `gap`; a longer word
/// stays whole.
fn wrapped(out: &mut String, text: &str, gap: &str, width: usize) {
    let mut used = 0;
    for word in text.split(gap) {
        let count = word.chars().count();
        if used > 0 && used + gap.len() + count > width {
            out.push('\n');
            used = 0;
        }
        if used > 0 {
            out.push_str(gap);
            used += gap.len();
        }
        out.push_str(word);
        used += count;
    }
    out.push('\n');
}

fn lines(out: &mut String, chart: &Chart, grid: &Grid, width: usize, unicode: bool) {
    let (across, up) = grid.numbers(&chart.x, &chart.y);
    let x = Scale::around(&across, chart.x.log, 0.03);
    let y = Scale::around(&up, chart.y.log, 0.05);
    let ticks = y.ticks(7);
    let margin = ticks.iter().map(|it| it.text.len()).max().unwrap_or(0);
    let columns = width
        .saturating_sub(margin + 3)
        .clamp(WIDTH_LEAST, WIDTH_MOST);
    let mut canvas = vec![vec![' '; columns]; LINES];
    let line_of = |share: f64| ((1.0 - share) * (LINES - 1) as f64).round() as usize;
    let column_of = |share: f64| (share * (columns - 1) as f64).round() as usize;
    // The first series in the legend lies on top.
    for series in grid.series.iter().rev() {
        let letter = if series.faint {
            '.'
        } else {
            LETTERS[series.look % LETTERS.len()]
        };
        let values = |point: &crate::chart::Point| -> Vec<f64> {
            let spread = if series.markers {
                &point.values[..]
            } else {
                &[]
            };
            spread.to_vec()
        };
        let mut put_at = |at: f64, value: f64, letter: char| {
            if let (Some(across), Some(up)) = (x.share(at), y.share(value)) {
                canvas[line_of(up)][column_of(across)] = letter;
            }
        };
        for point in &series.points {
            for value in values(point) {
                put_at(point.x, value, if unicode { '·' } else { '.' });
            }
        }
        for point in &series.points {
            if let Some(value) = point.y {
                put_at(point.x, value, letter);
            }
        }
    }
    let (bar, corner, rule) = if unicode {
        ('│', '└', '─')
    } else {
        ('|', '+', '-')
    };
    put!(out, "{}\n", chart.y.title);
    for (at, line) in canvas.iter().enumerate() {
        let tick = ticks
            .iter()
            .find(|tick| !tick.text.is_empty() && y.share(tick.at).map(line_of) == Some(at));
        let label = tick.map_or("", |tick| tick.text.as_str());
        let text: String = line.iter().collect();
        put!(out, "{label:>margin$} {bar}{}\n", text.trim_end());
    }
    let rules: String = std::iter::repeat_n(rule, columns).collect();
    put!(out, "{:margin$} {corner}{rules}\n", "");
    let mut labels = String::new();
    let ticks = if grid.ticks.is_empty() {
        x.ticks(7)
    } else {
        given(&grid.ticks)
    };
    for tick in ticks.iter().filter(|it| !it.text.is_empty()) {
        let Some(share) = x.share(tick.at) else {
            continue;
        };
        let begin = column_of(share).saturating_sub(tick.text.len() / 2);
        let begin = begin.min(columns.saturating_sub(tick.text.len()));
        if labels.is_empty() || begin > labels.len() {
            put!(labels, "{:1$}", "", begin - labels.len());
            labels.push_str(&tick.text);
        }
    }
    put!(out, "{:margin$}  {labels}\n", "");
    put!(out, "{:margin$}  {:^columns$}\n", "", chart.x.title);
    while out.ends_with(" \n") {
        out.truncate(out.len() - 2);
        out.push('\n');
    }
    legend(out, grid, width);
}

fn given(values: &[f64]) -> Vec<crate::scale::Tick> {
    let tick = |at: &f64| crate::scale::Tick {
        at: *at,
        text: swath_model::text::compact(*at),
    };
    values.iter().map(tick).collect()
}

fn legend(out: &mut String, grid: &Grid, width: usize) {
    let named: Vec<_> = grid
        .series
        .iter()
        .filter(|it| !it.name.is_empty())
        .collect();
    if named.is_empty() {
        return;
    }
    let names = named.iter().map(|series| {
        let letter = if series.faint {
            '.'
        } else {
            LETTERS[series.look % LETTERS.len()]
        };
        format!("{letter} {}", series.name)
    });
    let names: Vec<String> = names.collect();
    let head = if grid.legend.is_empty() {
        String::new()
    } else {
        format!("{}: ", grid.legend)
    };
    out.push('\n');
    wrapped(out, &format!("{head}{}", names.join("   ")), "   ", width);
}

fn rows(out: &mut String, chart: &Chart, boxes: &Boxes, width: usize, unicode: bool) {
    let values: Vec<f64> = boxes.rows.iter().flat_map(Row::numbers).collect();
    let scale = Scale::around(&values, chart.x.log, 0.02);
    let count = |text: &str| text.chars().count();
    let margin = boxes
        .rows
        .iter()
        .map(|it| count(&it.name))
        .max()
        .unwrap_or(0)
        .max(count(&boxes.legend));
    let widest = |text: fn(&Row) -> &str| {
        let counts = boxes.rows.iter().map(|it| count(text(it)));
        counts.max().unwrap_or(0)
    };
    let medians = widest(|it| it.median.as_ref().map_or("", |(_, text)| text));
    let notes = medians + 2 + widest(|it| &it.note);
    let columns = width
        .saturating_sub(margin + notes + 4)
        .clamp(WIDTH_LEAST, WIDTH_MOST);
    let (rule, end, middle, dot) = if unicode {
        ('─', '│', '┃', '·')
    } else {
        ('-', '|', '#', '.')
    };
    if !boxes.legend.is_empty() {
        put!(out, "{:>margin$}\n", boxes.legend);
    }
    for row in &boxes.rows {
        let mut line = vec![' '; columns];
        let place = |value: f64| {
            scale
                .share(value)
                .map(|it| (it * (columns - 1) as f64).round() as usize)
        };
        let ends = [row.values.first(), row.values.last()].map(|it| place(*it?));
        if let [Some(low), Some(high)] = ends {
            line[low..=high].fill(rule);
            for at in row.values.iter().filter_map(|it| place(*it)) {
                line[at] = dot;
            }
            line[low] = end;
            line[high] = end;
        }
        if let Some(at) = row.median.as_ref().and_then(|(median, _)| place(*median)) {
            line[at] = middle;
        }
        let line: String = line.iter().collect();
        let median = row.median.as_ref().map_or("", |(_, text)| text);
        put!(
            out,
            "{:>margin$}  {line}  {median:>medians$}  {}\n",
            row.name,
            row.note
        );
    }
    let mut labels = String::new();
    for tick in scale.ticks(6).iter().filter(|it| !it.text.is_empty()) {
        let Some(share) = scale.share(tick.at) else {
            continue;
        };
        let begin = (share * (columns - 1) as f64).round() as usize;
        let begin = begin
            .saturating_sub(tick.text.len() / 2)
            .min(columns.saturating_sub(tick.text.len()));
        if labels.is_empty() || begin > labels.len() {
            put!(labels, "{:1$}", "", begin - labels.len());
            labels.push_str(&tick.text);
        }
    }
    put!(
        out,
        "{:margin$}  {labels}\n{:margin$}  {}\n",
        "",
        "",
        chart.x.title
    );
}

fn table(out: &mut String, chart: &Chart, heat: &Heat) {
    let number = |cell: &crate::chart::Cell| {
        let mark = if cell.best { "*" } else { "" };
        match cell.value {
            Some(_) => format!("{}{mark}", cell.text),
            None => cell.note.clone(),
        }
    };
    // How many runs a number is from stands below it.
    let below = |cell: &crate::chart::Cell| match cell.value {
        Some(_) => cell.note.clone(),
        None => String::new(),
    };
    let count = |text: &str| text.chars().count();
    let body: Vec<Vec<String>> = heat
        .cells
        .iter()
        .map(|row| row.iter().map(number).collect())
        .collect();
    let notes: Vec<Vec<String>> = heat
        .cells
        .iter()
        .map(|row| row.iter().map(below).collect())
        .collect();
    let margin = heat
        .rows
        .iter()
        .map(|it| count(it))
        .max()
        .unwrap_or(0)
        .max(count(&chart.y.title));
    let widths: Vec<usize> = (0..heat.columns.len())
        .map(|at| {
            let cells = body.iter().chain(&notes).filter_map(|row| row.get(at));
            cells
                .map(|it| count(it))
                .max()
                .unwrap_or(0)
                .max(count(&heat.columns[at]))
        })
        .collect();
    put!(
        out,
        "{} by {} and {}\n\n",
        heat.measure,
        chart.y.title,
        chart.x.title
    );
    let line = |out: &mut String, name: &str, fields: &[String]| {
        put!(out, "{name:>margin$}");
        for (field, width) in fields.iter().zip(&widths) {
            put!(out, "  {field:>width$}");
        }
        out.push('\n');
    };
    for ((name, row), notes) in heat.rows.iter().zip(&body).zip(&notes) {
        line(out, name, row);
        if notes.iter().any(|it| !it.is_empty()) {
            line(out, "", notes);
        }
    }
    line(out, &chart.y.title, &heat.columns);
}
