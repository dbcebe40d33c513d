//! A field of colours with the numbers in it.

use super::{AXIS, Area, EDGE, TICK, TICK_GAP, WIDTH, fitted, lower_title, upward_title, widest};
use crate::chart::{Cell, Chart, Heat};
use crate::font::width;
use crate::palette::{BLACK, GREY, INK, PALE, WHITE, cividis, ink_on};
use crate::scale::Scale;
use crate::scene::{Anchor, Pen, Scene, Text};

/// The least height of a row, and of all rows together: the title of their axis
/// is beside them.
const ROW: f64 = 38.0;
const ROWS_LEAST: f64 = 132.0;
const COLUMN_MOST: f64 = 110.0;
const BAR: f64 = 14.0;
const NOTE: f64 = 10.0;
/// The longest column name that is written upright.
const UPRIGHT_MOST: f64 = 110.0;

pub(super) fn draw(scene: &mut Scene, chart: &Chart, heat: &Heat, top: f64) -> f64 {
    let values: Vec<f64> = heat
        .cells
        .iter()
        .flatten()
        .filter_map(|it| it.value)
        .collect();
    let log = chart.y.log;
    let scale = Scale::around(&values, log, 0.0);
    let ticks = scale.ticks(6);
    let names = heat
        .rows
        .iter()
        .map(|it| width(it, TICK, false))
        .fold(0.0, f64::max);
    let row_height = ROW.max(ROWS_LEAST / heat.rows.len().max(1) as f64);
    let left = EDGE + AXIS + 10.0 + names.min(150.0) + 8.0;
    let bar = 26.0 + BAR + 8.0 + widest(&ticks) + 8.0 + AXIS;
    let columns = heat.columns.len().max(1) as f64;
    let room = WIDTH - EDGE - bar - left;
    let column = (room / columns).min(COLUMN_MOST);
    let area = Area {
        left,
        top,
        right: left + column * columns,
        bottom: top + row_height * heat.rows.len().max(1) as f64,
    };
    for (at, row) in heat.cells.iter().enumerate() {
        for (place, cell) in row.iter().enumerate() {
            let corner = [
                area.left + column * place as f64,
                area.top + row_height * at as f64,
                column,
                row_height,
            ];
            field(scene, &scale, cell, corner);
        }
    }
    // Outlines come last, or the neighbours would cover half of them.
    for (at, row) in heat.cells.iter().enumerate() {
        for (place, _) in row.iter().enumerate().filter(|(_, it)| it.best) {
            let [x, y] = [
                area.left + column * place as f64,
                area.top + row_height * at as f64,
            ];
            scene.rect([x, y, column, row_height], None, Some(Pen::new(WHITE, 5.0)));
            scene.rect([x, y, column, row_height], None, Some(Pen::new(BLACK, 2.6)));
        }
    }
    let under = labels(scene, heat, &area, [column, row_height]);
    upward_title(scene, &chart.y.title, &area, EDGE + AXIS * 0.8);
    if !values.is_empty() {
        color_bar(scene, heat, &area, &scale, &ticks);
    }
    lower_title(scene, &chart.x.title, &area, under)
}

fn field(scene: &mut Scene, scale: &Scale, cell: &Cell, [x, y, w, h]: [f64; 4]) {
    let share = cell.value.and_then(|value| scale.share(value));
    // The least value is the brightest, so that good values stand out.
    let ground = share.map_or(WHITE, |share| cividis(1.0 - share));
    scene.rect([x, y, w, h], Some(ground), Some(Pen::new(WHITE, 1.5)));
    let ink = ink_on(ground);
    if cell.imported {
        let right = x + w - 2.0;
        scene.area(
            &[(right - 9.0, y + 2.0), (right, y + 2.0), (right, y + 11.0)],
            ink,
            0.9,
        );
    }
    let middle = x + w / 2.0;
    let mut line = |text: String, size: f64, y: f64, bold: bool, color| {
        scene.text(Text {
            x: middle,
            y,
            text: fitted(&text, size, w - 4.0, bold),
            size,
            bold,
            anchor: Anchor::Middle,
            color,
            ..Text::default()
        });
    };
    if cell.value.is_some_and(f64::is_finite) {
        let up = if cell.note.is_empty() { 0.0 } else { 6.0 };
        let size = if w < 44.0 { 9.0 } else { TICK };
        line(
            cell.text.clone(),
            size,
            y + h / 2.0 + size * 0.36 - up,
            cell.best,
            ink,
        );
        line(cell.note.clone(), NOTE, y + h / 2.0 + 12.0, false, ink);
        return;
    }
    scene.rect(
        [x + 1.5, y + 1.5, w - 3.0, h - 3.0],
        None,
        Some(Pen::new(PALE, 1.0)),
    );
    let y = y + h / 2.0 + NOTE * 0.36;
    scene.text(Text {
        x: middle,
        y,
        text: fitted(&cell.note, NOTE, w - 4.0, false),
        size: NOTE,
        anchor: Anchor::Middle,
        color: GREY,
        ..Text::default()
    });
}

/// Draws the names of rows and columns; returns where the column names end.
fn labels(scene: &mut Scene, heat: &Heat, area: &Area, [column, row]: [f64; 2]) -> f64 {
    let word = |x, y, text, anchor| Text {
        x,
        y,
        text,
        size: TICK,
        anchor,
        color: INK,
        ..Text::default()
    };
    for (at, name) in heat.rows.iter().enumerate() {
        let y = area.top + row * (at as f64 + 0.5) + TICK * 0.36;
        let name = fitted(name, TICK, 150.0, false);
        scene.text(word(area.left - 8.0, y, name, Anchor::End));
    }
    let widths = heat.columns.iter().map(|it| width(it, TICK, false));
    let longest = widths.fold(0.0, f64::max);
    // Names that are wider than their columns are written upright.
    let upright = longest > column - 4.0;
    let most = if upright { UPRIGHT_MOST } else { column };
    let y = area.bottom + if upright { 5.0 } else { TICK + 5.0 };
    for (at, name) in heat.columns.iter().enumerate() {
        let x = area.left + column * (at as f64 + 0.5);
        let name = fitted(name, TICK, most, false);
        let text = if upright {
            Text {
                upward: true,
                ..word(x + TICK * 0.36, y, name, Anchor::End)
            }
        } else {
            word(x, y, name, Anchor::Middle)
        };
        scene.text(text);
    }
    y + if upright {
        longest.min(UPRIGHT_MOST)
    } else {
        0.0
    }
}

/// The scale of the colours, in forty steps.
fn color_bar(
    scene: &mut Scene,
    heat: &Heat,
    area: &Area,
    scale: &Scale,
    ticks: &[crate::scale::Tick],
) {
    const STEPS: usize = 40;
    let left = area.right + 26.0;
    let step = (area.bottom - area.top) / STEPS as f64;
    for at in 0..STEPS {
        let color = cividis(1.0 - (at as f64 + 0.5) / STEPS as f64);
        let y = area.bottom - step * (at + 1) as f64;
        // A little taller, so that no seam is visible.
        scene.rect(
            [left, y, BAR, step + if at > 0 { 0.4 } else { 0.0 }],
            Some(color),
            None,
        );
    }
    let outline = [left, area.top, BAR, area.bottom - area.top];
    scene.rect(outline, None, Some(Pen::new(INK, 0.8)));
    for tick in ticks.iter().filter(|it| !it.text.is_empty()) {
        let Some(share) = scale.share(tick.at) else {
            continue;
        };
        let y = area.y(share);
        scene.line([(left + BAR, y), (left + BAR + 4.0, y)], Pen::new(INK, 0.8));
        scene.text(Text {
            x: left + BAR + 4.0 + TICK_GAP,
            y: y + TICK * 0.36,
            text: tick.text.clone(),
            size: TICK,
            color: INK,
            ..Text::default()
        });
    }
    let title = left + BAR + 8.0 + widest(ticks) + 8.0 + AXIS * 0.8;
    upward_title(scene, &heat.measure, area, title);
}
