//! A chart in letters.

use swath_core::summary::text::decimals;

use crate::chart::{Body, Boxes, Chart, Grid, Heat};
use crate::scale::Scale;

/// Columns and lines of the area.
const WIDTH_LEAST: usize = 24;
const WIDTH_MOST: usize = 96;
const LINES: usize = 18;
/// A letter per series.
const LETTERS: [char; 14] = [
    'o', 'x', '+', '*', '#', '@', '%', 'a', 'b', 'c', 'd', 'e', 'f', 'g',
];

pub(crate) fn write(chart: &Chart, width: usize, unicode: bool) -> String {
    let mut out = String::new();
    put!(out, "{}\n\n", chart.title);
    match &chart.body {
        Body::Lines(grid) => lines(&mut out, chart, grid, width, unicode),
        Body::Boxes(boxes) => rows(&mut out, chart, boxes, width, unicode),
        Body::Heat(heat) => table(&mut out, chart, heat),
    }
    out.push('\n');
    for sentence in &chart.caption {
        put!(out, "{sentence}\n");
    }
    out
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
    // The first in the legend lies on top.
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
    legend(out, grid);
}

fn given(values: &[f64]) -> Vec<crate::scale::Tick> {
    let tick = |at: &f64| crate::scale::Tick {
        at: *at,
        text: swath_core::summary::text::compact(*at),
    };
    values.iter().map(tick).collect()
}

fn legend(out: &mut String, grid: &Grid) {
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
    put!(out, "\n{head}{}\n", names.join("   "));
}

fn rows(out: &mut String, chart: &Chart, boxes: &Boxes, width: usize, unicode: bool) {
    let values: Vec<f64> = boxes
        .rows
        .iter()
        .flat_map(|it| it.values.iter().copied())
        .collect();
    let scale = Scale::around(&values, chart.x.log, 0.02);
    let count = |text: &str| text.chars().count();
    let margin = boxes
        .rows
        .iter()
        .map(|it| count(&it.name))
        .max()
        .unwrap_or(0)
        .max(count(&boxes.legend));
    let notes = boxes
        .rows
        .iter()
        .map(|it| count(&it.note))
        .max()
        .unwrap_or(0);
    let columns = width
        .saturating_sub(margin + notes + 4)
        .clamp(WIDTH_LEAST, WIDTH_MOST);
    let (rule, end, middle, dot) = if unicode {
        ('─', '│', '┃', '·')
    } else {
        ('-', '|', '#', '.')
    };
    put!(out, "{:>margin$}\n", boxes.legend);
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
        let mut sorted = row.values.clone();
        if let Some(at) = crate::build::median_of(&mut sorted).and_then(place) {
            line[at] = middle;
        }
        let line: String = line.iter().collect();
        put!(out, "{:>margin$}  {line}  {}\n", row.name, row.note);
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
    let text = |cell: &crate::chart::Cell| {
        let number = cell.value.map(|value| decimals(value, heat.places));
        let mark = if cell.best { "*" } else { "" };
        let parts = [number, Some(cell.note.clone()).filter(|it| !it.is_empty())];
        let joined: Vec<String> = parts.into_iter().flatten().collect();
        format!("{}{mark}", joined.join(" "))
    };
    let count = |text: &str| text.chars().count();
    let body: Vec<Vec<String>> = heat
        .cells
        .iter()
        .map(|row| row.iter().map(text).collect())
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
            let cells = body.iter().filter_map(|row| row.get(at));
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
    for (name, row) in heat.rows.iter().zip(&body) {
        line(out, name, row);
    }
    line(out, &chart.y.title, &heat.columns);
}
