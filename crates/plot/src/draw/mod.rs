//! From a chart to a scene: margins, axes, legend, marks.

mod boxes;
mod heat;
mod lines;

use crate::chart::{Body, Chart};
use crate::font::width;
use crate::palette::{GREY, INK, PALE};
use crate::scale::{Scale, Tick};
use crate::scene::{Anchor, Pen, Scene, Text};

/// The width of a picture: 180 mm, both columns of most journals.
const WIDTH: f64 = 680.0;
/// Distance between the edge of the picture and its content.
const EDGE: f64 = 16.0;
/// Sizes of letters; at a width of 180 mm the smallest is 8 points.
const TITLE: f64 = 15.0;
const AXIS: f64 = 13.0;
const TICK: f64 = 12.0;
const CAPTION: f64 = 11.0;
/// Length of a tick with a text, and the distance from its end to the text.
const TICK_LENGTH: f64 = 5.0;
const TICK_GAP: f64 = 3.0;

/// The area where marks may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }
}

pub(crate) fn scene(chart: &Chart) -> Scene {
    let mut scene = Scene {
        width: WIDTH,
        ..Scene::default()
    };
    let top = title(&mut scene, chart);
    let bottom = match &chart.body {
        Body::Lines(grid) => lines::draw(&mut scene, chart, grid, top),
        Body::Boxes(boxes) => boxes::draw(&mut scene, chart, boxes, top),
        Body::Heat(heat) => heat::draw(&mut scene, chart, heat, top),
    };
    let end = caption(&mut scene, chart, bottom);
    scene.height = (end + EDGE).ceil();
    scene
}

/// Draws the title; returns where the rest may begin.
fn title(scene: &mut Scene, chart: &Chart) -> f64 {
    let mut y = EDGE;
    for line in wrapped(&chart.title, TITLE, true, WIDTH - 2.0 * EDGE) {
        y += TITLE;
        scene.text(Text {
            x: EDGE,
            y,
            text: line,
            size: TITLE,
            bold: true,
            color: INK,
            ..Text::default()
        });
        y += 5.0;
    }
    y + 7.0
}

/// Draws the caption below `y`; returns where it ends.
fn caption(scene: &mut Scene, chart: &Chart, y: f64) -> f64 {
    let mut y = y + 6.0;
    let text = chart.caption.join(" ");
    for line in wrapped(&text, CAPTION, false, WIDTH - 2.0 * EDGE) {
        y += CAPTION + 3.0;
        scene.text(Text {
            x: EDGE,
            y,
            text: line,
            size: CAPTION,
            color: INK,
            ..Text::default()
        });
    }
    y
}

/// Draws the title of the vertical axis, which reads upward.
fn upward_title(scene: &mut Scene, text: &str, area: &Area, x: f64) {
    let fitted = fitted(text, AXIS, area.bottom - area.top + 40.0, false);
    scene.text(Text {
        x,
        y: f64::midpoint(area.top, area.bottom),
        text: fitted,
        size: AXIS,
        anchor: Anchor::Middle,
        upward: true,
        color: INK,
        ..Text::default()
    });
}

/// Draws the title of the horizontal axis below `y`; returns where it ends.
fn lower_title(scene: &mut Scene, text: &str, area: &Area, y: f64) -> f64 {
    let y = y + AXIS + 4.0;
    scene.text(Text {
        x: f64::midpoint(area.left, area.right),
        y,
        text: fitted(text, AXIS, WIDTH - 2.0 * EDGE, false),
        size: AXIS,
        anchor: Anchor::Middle,
        color: INK,
        ..Text::default()
    });
    y + 4.0
}

/// The widest text of ticks.
fn widest(ticks: &[Tick]) -> f64 {
    let widths = ticks.iter().map(|tick| width(&tick.text, TICK, false));
    widths.fold(0.0, f64::max)
}

/// Draws the left axis: lines across the area, ticks, and their texts.
fn left_axis(scene: &mut Scene, area: &Area, scale: &Scale, ticks: &[Tick]) {
    for tick in ticks {
        let Some(share) = scale.share(tick.at) else {
            continue;
        };
        let y = area.y(share);
        let named = !tick.text.is_empty();
        if named {
            scene.line([(area.left, y), (area.right, y)], Pen::new(PALE, 0.7));
        }
        let length = if named { TICK_LENGTH } else { 3.0 };
        scene.line(
            [(area.left - length, y), (area.left, y)],
            Pen::new(INK, 0.8),
        );
        scene.text(Text {
            x: area.left - TICK_LENGTH - TICK_GAP,
            y: y + TICK * 0.36,
            text: tick.text.clone(),
            size: TICK,
            anchor: Anchor::End,
            color: INK,
            ..Text::default()
        });
    }
}

/// Draws the lower axis; texts that would touch are left out.
fn lower_axis(scene: &mut Scene, area: &Area, scale: &Scale, ticks: &[Tick]) {
    let mut taken = f64::NEG_INFINITY;
    for tick in ticks {
        let Some(share) = scale.share(tick.at) else {
            continue;
        };
        let x = area.x(share);
        let half = width(&tick.text, TICK, false) / 2.0;
        let named = !tick.text.is_empty() && x - half > taken + 6.0;
        if named {
            taken = x + half;
            scene.line([(x, area.top), (x, area.bottom)], Pen::new(PALE, 0.7));
            scene.text(Text {
                x,
                y: area.bottom + TICK_LENGTH + TICK_GAP + TICK * 0.75,
                text: tick.text.clone(),
                size: TICK,
                anchor: Anchor::Middle,
                color: INK,
                ..Text::default()
            });
        }
        let length = if named { TICK_LENGTH } else { 3.0 };
        scene.line(
            [(x, area.bottom), (x, area.bottom + length)],
            Pen::new(INK, 0.8),
        );
    }
}

/// Draws the two lines of the axes.
fn frame(scene: &mut Scene, area: &Area) {
    let corner = [
        (area.left, area.top),
        (area.left, area.bottom),
        (area.right, area.bottom),
    ];
    scene.line(corner, Pen::new(INK, 1.0));
}

/// Writes a grey word where there is nothing to draw.
fn nothing(scene: &mut Scene, area: &Area) {
    scene.text(Text {
        x: f64::midpoint(area.left, area.right),
        y: f64::midpoint(area.top, area.bottom),
        text: "nothing measured yet".to_owned(),
        size: AXIS,
        anchor: Anchor::Middle,
        color: GREY,
        ..Text::default()
    });
}

/// `text` in lines of at most this width, broken between words; a longer word
/// is cut.
fn wrapped(text: &str, size: f64, bold: bool, most: f64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() {
            word.to_owned()
        } else {
            format!("{line} {word}")
        };
        if width(&longer, size, bold) <= most {
            line = longer;
        } else {
            if !line.is_empty() {
                lines.push(line);
            }
            line = fitted(word, size, most, bold);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text` cut to this width, with its end marked.
fn fitted(text: &str, size: f64, most: f64, bold: bool) -> String {
    if width(text, size, bold) <= most {
        return text.to_owned();
    }
    // The bold font has no `…`.
    let mark = if bold { "..." } else { "…" };
    let most = most - width(mark, size, bold);
    let mut kept = String::new();
    for char in text.chars() {
        kept.push(char);
        if width(&kept, size, bold) > most {
            kept.pop();
            break;
        }
    }
    kept.push_str(mark);
    kept
}

/// `text` in one line, or in two if it is too long for one.
fn two_lines(text: &str, size: f64, most: f64) -> Vec<String> {
    if width(text, size, false) <= most {
        return vec![text.to_owned()];
    }
    let first = wrapped(text, size, false, most).into_iter().next();
    let first = first.unwrap_or_default();
    match text.trim_start().strip_prefix(&first) {
        Some(rest) if !rest.is_empty() => vec![first, fitted(rest.trim_start(), size, most, false)],
        _ => vec![fitted(text, size, most, false)],
    }
}
