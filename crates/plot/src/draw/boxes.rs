//! Samples beside each other, one per row, so that their names read level.

use super::{
    AXIS, Area, EDGE, TICK, TICK_GAP, TICK_LENGTH, WIDTH, fitted, frame, lower_axis, lower_title,
    nothing, two_lines,
};
use swath_stats::Sample;

use crate::chart::{Boxes, Chart, Row};
use crate::font::width;
use crate::palette::{Color, INK, Marker, PALE, WHITE, look};
use crate::scale::Scale;
use crate::scene::{Anchor, Pen, Scene, Text};

const ROW: f64 = 22.0;
const NAME_MOST: f64 = 300.0;
/// Size of the letters of a name on two lines.
const SMALL: f64 = 10.0;
/// Distance from the area to the medians.
const GAP: f64 = 12.0;
/// Fewer runs than this have no quartiles worth a box.
const BOX_LEAST: usize = 5;

pub(super) fn draw(scene: &mut Scene, chart: &Chart, boxes: &Boxes, top: f64) -> f64 {
    let fits = |value: &f64| value.is_finite() && (!chart.x.log || *value > 0.0);
    let values: Vec<f64> = boxes
        .rows
        .iter()
        .flat_map(Row::numbers)
        .filter(fits)
        .collect();
    let scale = Scale::around(&values, chart.x.log, 0.05);
    let names = boxes.rows.iter().map(|it| width(&it.name, TICK, false));
    let names = names
        .fold(width(&boxes.legend, TICK, true), f64::max)
        .min(NAME_MOST);
    let widest = |text: fn(&Row) -> &str| {
        let widths = boxes.rows.iter().map(|it| width(text(it), TICK, false));
        widths.fold(0.0, f64::max)
    };
    let medians = widest(|it| it.median.as_ref().map_or("", |(_, text)| text));
    let notes = medians + widest(|it| &it.note) + 8.0;
    let area = Area {
        left: EDGE + names + 10.0,
        top: top + ROW,
        right: WIDTH - EDGE - notes - GAP,
        bottom: top + ROW + ROW * boxes.rows.len().max(1) as f64 + 4.0,
    };
    let word = |x, y, text: String, bold, anchor| Text {
        x,
        y,
        text,
        size: TICK,
        bold,
        anchor,
        color: INK,
        ..Text::default()
    };
    let head = fitted(&boxes.legend, TICK, NAME_MOST, true);
    scene.text(word(area.left - 10.0, top + TICK, head, true, Anchor::End));
    lower_axis(scene, &area, &scale, &scale.ticks(9));
    frame(scene, &area);
    for (at, row) in boxes.rows.iter().enumerate() {
        let y = area.top + 2.0 + ROW * (at as f64 + 0.5);
        let text = y + TICK * 0.36;
        name(scene, &row.name, area.left - 10.0, y);
        let end = area.right + GAP + medians;
        let median = row.median.as_ref().map_or("", |(_, text)| text).to_owned();
        scene.text(word(end, text, median, false, Anchor::End));
        let note = row.note.clone();
        scene.text(word(end + 8.0, text, note, false, Anchor::Start));
        if at > 0 {
            let edge = y - ROW / 2.0;
            scene.line([(area.left, edge), (area.right, edge)], Pen::new(PALE, 0.5));
        }
        sample(scene, &area, &scale, row, y);
    }
    if values.is_empty() {
        nothing(scene, &area);
    }
    let under = area.bottom + TICK_LENGTH + TICK_GAP + TICK;
    lower_title(scene, &chart.x.title, &area, under).max(under + AXIS)
}

/// The name of a row, in small letters if it takes two lines.
fn name(scene: &mut Scene, name: &str, right: f64, middle: f64) {
    let lines = two_lines(name, TICK, NAME_MOST);
    let size = if lines.len() > 1 { SMALL } else { TICK };
    let lines = two_lines(name, size, NAME_MOST);
    let first = middle + size * 0.36 - (lines.len() - 1) as f64 * SMALL / 2.0;
    for (at, text) in lines.into_iter().enumerate() {
        scene.text(Text {
            x: right,
            y: first + SMALL * at as f64,
            text,
            size,
            anchor: Anchor::End,
            color: INK,
            ..Text::default()
        });
    }
}

fn sample(scene: &mut Scene, area: &Area, scale: &Scale, row: &Row, y: f64) {
    let (color, ..) = look(0);
    let dot: Color = look(1).0;
    let place = |value: f64| scale.share(value).map(|share| area.x(share));
    spread(scene, row, y, &place);
    // Where only a median is known, it is drawn alone.
    let median = row.median.as_ref().and_then(|(median, _)| place(*median));
    if let Some(x) = median {
        scene.line([(x, y - 7.0), (x, y + 7.0)], Pen::new(color, 2.6));
    }
    // Runs are drawn side by side, so that equal ones can be seen; the same runs
    // get the same places.
    for (number, value) in row.values.iter().enumerate() {
        let aside = [0.0, -3.2, 3.2][number % 3];
        if let Some(x) = place(*value) {
            let pen = Pen {
                opacity: 0.85,
                ..Pen::new(dot, 0.0)
            };
            scene.marker((x, y + aside), 2.0, Marker::Circle, false, pen);
        }
    }
}

/// Draws the range from least to greatest, and the quartiles.
fn spread(scene: &mut Scene, row: &Row, y: f64, place: &impl Fn(f64) -> Option<f64>) {
    let Ok(sorted) = Sample::new(row.values.iter().copied()) else {
        return;
    };
    let at = |share: f64| sorted.quantile(share).and_then(place);
    let pen = Pen::new(look(0).0, 1.2);
    if let (Some(low), Some(high)) = (at(0.0), at(1.0))
        && row.values.len() > 1
    {
        scene.line([(low, y), (high, y)], pen);
        for end in [low, high] {
            scene.line([(end, y - 4.0), (end, y + 4.0)], pen);
        }
    }
    if let (Some(lower), Some(upper)) = (at(0.25), at(0.75))
        && row.values.len() >= BOX_LEAST
    {
        let corner = [lower, y - 7.0, upper - lower, 14.0];
        scene.rect(corner, Some(WHITE), Some(pen));
    }
}
