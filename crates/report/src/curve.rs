//! The learning curve of a job: a small plot, and the numbers.

use std::collections::BTreeSet;

use serde_json::json;
use swath_model::curve::Curve;
use swath_model::metrics::{TEST_ERROR, TRAIN_ERROR, Unit, known};
use swath_model::protocol::EPOCH;
use swath_model::text::{approximate, compact, duration, measured, told_apart};
use swath_model::view::CurvePoint;
use swath_results::table::headed;

use crate::listing::{Listing, ListingColumn};
use crate::style::{Style, visible};

/// Columns and lines of the plot, at most.
const WIDTH_MOST: usize = 72;
const WIDTH_LEAST: usize = 16;
const LINES: usize = 12;
/// Columns of a number beside the plot, at least.
const LABEL: usize = 8;

/// The observations that count, by [`Curve`].
pub fn newest(points: &[CurvePoint]) -> Vec<&CurvePoint> {
    let mut curve = Curve::default();
    for point in points {
        curve.see(point.attempt, point.observation.epoch, Some(point));
    }
    curve.epochs().values().copied().collect()
}

/// The unit that a sweep gives its metric.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The metric.
    pub metric: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

/// The names of the metrics that epochs have.
pub fn metrics_of(points: &[CurvePoint]) -> BTreeSet<&str> {
    let values = points.iter().map(|it| &it.observation.values);
    values
        .flat_map(|it| it.iter().map(|(name, _)| name))
        .collect()
}

/// A plot of a few lines: a metric over the epochs; without one, the test error,
/// with the training error behind it. Empty while there is nothing to show.
pub fn curve(
    points: &[CurvePoint],
    metric: Option<&str>,
    given: Option<Given<'_>>,
    style: &Style,
) -> String {
    let points = newest(points);
    let series = |name| -> Vec<(f64, f64)> {
        let seen = points.iter().map(|point| &point.observation);
        let dots = seen.filter_map(|it| Some((f64::from(it.epoch), it.values.get(name)?)));
        dots.collect()
    };
    let test = series(metric.unwrap_or(TEST_ERROR));
    let train = match metric {
        None => series(TRAIN_ERROR),
        Some(_) => Vec::new(),
    };
    let Some(frame) = Frame::around(test.iter().chain(&train)) else {
        return String::new();
    };
    let room = style.width.unwrap_or(WIDTH_MOST + 12).saturating_sub(12);
    let width = room.clamp(WIDTH_LEAST, WIDTH_MOST);
    let mut canvas = Canvas::new(width, style.unicode);
    canvas.draw(&train, &frame, Pen::Faint);
    canvas.draw(&test, &frame, Pen::Strong);
    let mut out = match metric {
        Some(metric) => format!("{} by epoch\n", visible(&heading(metric, given))),
        None => legend(!test.is_empty(), !train.is_empty(), style.unicode),
    };
    let [high, middle, low] = frame.labels();
    let margin = [&high, &middle, &low].map(String::len).into_iter();
    let margin = margin.fold(LABEL, usize::max);
    let bar = if style.unicode { "┤" } else { "|" };
    for (line, text) in canvas.lines().enumerate() {
        let label = match line {
            0 => &*high,
            _ if line == LINES / 2 => &middle,
            _ if line == LINES - 1 => &low,
            _ => "",
        };
        out.push_str(format!("{label:>margin$} {bar}{text}").trim_end());
        out.push('\n');
    }
    let (first, last) = (compact(frame.first), compact(frame.last));
    let gap = width.saturating_sub(first.len() + last.len());
    let margin = margin + 2;
    put!(out, "{:margin$}{first}{}{last}\n", "", " ".repeat(gap));
    out
}

fn legend(test: bool, train: bool, unicode: bool) -> String {
    let mut text = String::from("error in % by epoch");
    match (test, train, unicode) {
        (true, true, true) => text.push_str(": test line, training dots"),
        (true, true, false) => text.push_str(": test *, training ."),
        (true, false, _) => text.push_str(": test"),
        _ => text.push_str(": training"),
    }
    text.push('\n');
    text
}

/// The ranges of a plot.
struct Frame {
    first: f64,
    last: f64,
    low: f64,
    high: f64,
}

impl Frame {
    fn around<'a>(dots: impl Iterator<Item = &'a (f64, f64)>) -> Option<Self> {
        dots.fold(None, |frame: Option<Self>, (at, value)| {
            let frame = frame.unwrap_or(Self {
                first: *at,
                last: *at,
                low: *value,
                high: *value,
            });
            Some(Self {
                first: frame.first.min(*at),
                last: frame.last.max(*at),
                low: frame.low.min(*value),
                high: frame.high.max(*value),
            })
        })
    }

    /// The numbers at the upper end, in the middle and at the lower end.
    fn labels(&self) -> [String; 3] {
        let ends = [self.high, f64::midpoint(self.high, self.low), self.low];
        let texts = ends.map(|it| measured(it, 2));
        if texts[0] == texts[1] || texts[1] == texts[2] {
            return told_apart(ends);
        }
        texts
    }

    /// The place of a dot on a grid of this size, whose origin is at the upper
    /// left.
    fn place(&self, (at, value): (f64, f64), columns: usize, lines: usize) -> (usize, usize) {
        let share = |value: f64, low: f64, high: f64| {
            // Computed from halves, because the difference of two large numbers
            // could overflow.
            let range = high / 2.0 - low / 2.0;
            if range > 0.0 {
                ((value / 2.0 - low / 2.0) / range).clamp(0.0, 1.0)
            } else {
                0.5
            }
        };
        let column = share(at, self.first, self.last) * (columns - 1) as f64;
        let line = (1.0 - share(value, self.low, self.high)) * (lines - 1) as f64;
        (column.round() as usize, line.round() as usize)
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pen {
    /// Dots alone.
    Faint,
    /// Joined dots.
    Strong,
}

/// A grid of dots: two by four in each Braille letter, or one letter per dot.
struct Canvas {
    unicode: bool,
    width: usize,
    letters: Vec<char>,
}

impl Canvas {
    fn new(width: usize, unicode: bool) -> Self {
        let blank = if unicode { '\u{2800}' } else { ' ' };
        Self {
            unicode,
            width,
            letters: vec![blank; width * LINES],
        }
    }

    fn size(&self) -> (usize, usize) {
        if self.unicode {
            (self.width * 2, LINES * 4)
        } else {
            (self.width, LINES)
        }
    }

    fn draw(&mut self, dots: &[(f64, f64)], frame: &Frame, pen: Pen) {
        let (columns, lines) = self.size();
        let mut before: Option<(usize, usize)> = None;
        for dot in dots {
            let place = frame.place(*dot, columns, lines);
            match before.filter(|_| pen == Pen::Strong) {
                Some(from) => self.join(from, place, pen),
                None => self.dot(place, pen),
            }
            before = Some(place);
        }
    }

    fn join(&mut self, from: (usize, usize), to: (usize, usize), pen: Pen) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |from: usize, to: usize, step: usize| {
            let way = (to as f64 - from as f64) * step as f64 / steps as f64;
            (from as f64 + way).round() as usize
        };
        for step in 0..=steps {
            let place = (between(from.0, to.0, step), between(from.1, to.1, step));
            self.dot(place, pen);
        }
    }

    fn dot(&mut self, (column, line): (usize, usize), pen: Pen) {
        // The bits of a Braille letter, column by column from above.
        const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let (letter, bit) = if self.unicode {
            let place = line / 4 * self.width + column / 2;
            (place, BITS[column % 2][line % 4])
        } else {
            (line * self.width + column, 0)
        };
        let Some(letter) = self.letters.get_mut(letter) else {
            return;
        };
        *letter = match pen {
            _ if self.unicode => char::from_u32(u32::from(*letter) | bit).unwrap_or(*letter),
            Pen::Faint => '.',
            Pen::Strong => '*',
        };
    }

    /// The lines, without blank ends.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.letters.chunks(self.width).map(|line| {
            let text: String = line.iter().collect();
            let text = text.trim_end_matches(['\u{2800}', ' ']);
            text.to_owned()
        })
    }
}

/// The observations of a job's epochs as a list. What only the program itself
/// knows comes after the metrics of the protocol.
pub fn curve_listing(points: &[CurvePoint], given: Option<Given<'_>>) -> Listing {
    // After these comes the time; the last ones are for those who look closely.
    let (first, rest) = EPOCH.split_at(5);
    let (speed, close) = rest.split_at(1);
    let seen = points
        .iter()
        .flat_map(|point| point.observation.values.iter());
    let own = seen
        .map(|(name, _)| name)
        .filter(|name| !EPOCH.contains(name));
    let own: BTreeSet<&str> = own.collect();
    let number = |name: &&str| ListingColumn::number(&heading(name, given));
    let mut columns = vec![
        ListingColumn::number("epoch"),
        ListingColumn::number("attempt").wide(),
        ListingColumn::number("step").wide(),
    ];
    columns.extend(first.iter().map(number));
    columns.push(ListingColumn::number("time"));
    columns.extend(speed.iter().map(number));
    columns.extend(close.iter().map(|name| number(name).wide()));
    columns.extend(own.iter().map(number));
    let mut listing = Listing::new("points", columns);
    for point in newest(points) {
        let it = &point.observation;
        let shown = |name: &&str| shown(name, it.values.get(name));
        let mut row = vec![
            it.epoch.to_string(),
            point.attempt.to_string(),
            it.step.to_string(),
        ];
        row.extend(first.iter().map(shown));
        row.push(it.seconds.map_or_else(String::new, duration));
        row.extend(rest.iter().chain(&own).map(shown));
        listing.push(it.epoch.to_string(), row, json!(point));
    }
    listing
}

fn heading(name: &str, given: Option<Given<'_>>) -> String {
    if let Some(given) = given.filter(|given| given.metric == name) {
        return headed(name, Some(given.unit));
    }
    let Some(known) = known(name) else {
        return name.to_owned();
    };
    let text = name.replace("_per_second", "/s").replace('_', " ");
    match known.unit {
        Unit::Percent => format!("{text} (%)"),
        _ => text,
    }
}

fn shown(name: &str, value: Option<f64>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    match known(name).and_then(|known| known.decimals) {
        Some(places) => measured(value, places.into()),
        None => approximate(value),
    }
}
