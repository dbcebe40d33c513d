//! Lines over numbers, with every single run.

use super::{
    AXIS, Area, EDGE, TICK, TICK_GAP, TICK_LENGTH, WIDTH, frame, left_axis, lower_axis,
    lower_title, nothing, two_lines, upward_title, widest, wrapped,
};
use crate::chart::{Chart, Grid, Point, Series};
use crate::font::width;
use crate::palette::{GREY, INK, Marker, look};
use crate::scale::{Scale, Tick};
use crate::scene::{Pen, Scene, Text};
use swath_model::text::compact;

/// Height of the area.
const HEIGHT: f64 = 310.0;
/// Width of the line sample beside a name, and the greatest width of a name.
const SAMPLE: f64 = 34.0;
/// Distance from the area to the legend.
const SAMPLE_GAP: f64 = 18.0;
const NAME_MOST: f64 = 210.0;
const LINE: f64 = 20.0;
/// Distance from the first line of a name to the second.
const SECOND: f64 = 14.0;
/// The width that a line of the heading may always have.
const HEADING_LEAST: f64 = 110.0;
/// With more names than this, the legend would leave the picture.
const NAMES_MOST: usize = 15;
/// How many markers a line gets that has them only here and there.
const SIGNS: usize = 5;
/// The radius of a marker. Every point lies at its true x: where markers cover
/// each other, those below are larger by so much each, and the caps of their bars
/// are wider.
const MARKER: f64 = 4.0;
const RIM: f64 = 2.2;
const CAP: f64 = 3.0;
const CAP_MOST: f64 = 11.0;
/// Markers nearer than this cover each other.
const NEAR: f64 = 5.0;
/// Distance between the rows of crosses above.
const CROSS: f64 = 9.0;

pub(super) fn draw(scene: &mut Scene, chart: &Chart, grid: &Grid, top: f64) -> f64 {
    let (across, up) = grid.numbers(&chart.x, &chart.y);
    let x = Scale::around(&across, chart.x.log, 0.06);
    let y = Scale::around(&up, chart.y.log, 0.07);
    let y_ticks = y.ticks(8);
    let left = EDGE + AXIS + 8.0 + widest(&y_ticks) + TICK_GAP + TICK_LENGTH;
    let legend = legend_width(grid);
    let crosses = crosses(grid);
    let rows = crosses.iter().map(|(_, looks)| looks.len()).max();
    let head = rows.map_or(4.0, |rows| 5.0 + CROSS * rows as f64);
    let area = Area {
        left,
        top: top + head,
        right: WIDTH - EDGE - legend,
        bottom: top + HEIGHT,
    };
    left_axis(scene, &area, &y, &y_ticks);
    lower_axis(scene, &area, &x, &x_ticks(grid, &x));
    frame(scene, &area);
    upward_title(scene, &chart.y.title, &area, EDGE + AXIS * 0.8);
    if up.is_empty() {
        nothing(scene, &area);
    }
    let places = Places { area, x, y };
    for series in grid.series.iter().filter(|it| it.band) {
        places.band(scene, series);
    }
    for series in &grid.series {
        places.line(scene, series);
    }
    for at in 0..grid.series.len() {
        places.points(scene, grid, at);
    }
    places.diverged(scene, crosses);
    draw_legend(scene, grid, &area);
    let under = area.bottom + TICK_LENGTH + TICK_GAP + TICK;
    lower_title(scene, &chart.x.title, &area, under)
}

/// The values themselves if there are few, otherwise round numbers.
fn x_ticks(grid: &Grid, scale: &Scale) -> Vec<Tick> {
    if grid.ticks.is_empty() {
        return scale.ticks(9);
    }
    let ticks = grid.ticks.iter().map(|at| Tick {
        at: *at,
        text: compact(*at),
    });
    ticks.collect()
}

/// For each x the looks of the series with diverged runs there.
fn crosses(grid: &Grid) -> Vec<(f64, Vec<usize>)> {
    let mut seen: Vec<(f64, Vec<usize>)> = Vec::new();
    for series in &grid.series {
        for point in series.points.iter().filter(|it| it.diverged > 0) {
            match seen.iter_mut().find(|(x, _)| x.total_cmp(&point.x).is_eq()) {
                Some((_, looks)) => looks.push(series.look),
                None => seen.push((point.x, vec![series.look])),
            }
        }
    }
    seen
}

struct Places {
    area: Area,
    x: Scale,
    y: Scale,
}

impl Places {
    /// A logarithmic axis cannot show zero, so zero lies on its lower edge.
    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let x = self.area.x(self.x.share(x)?);
        if self.y.log && y.total_cmp(&0.0).is_eq() {
            return Some((x, self.area.bottom));
        }
        Some((x, self.area.y(self.y.share(y)?)))
    }

    fn median(&self, point: &Point) -> Option<(f64, f64)> {
        self.at(point.x, point.y?)
    }

    /// How many markers of the series `above` cover that of a point, at the same
    /// x.
    fn covered(&self, point: &Point, y: f64, above: &[Series]) -> usize {
        let covers = |series: &&Series| {
            let found = series
                .points
                .binary_search_by(|it| it.x.total_cmp(&point.x));
            let other = found.ok().and_then(|at| self.median(&series.points[at]));
            other.is_some_and(|(_, up)| (up - y).abs() < NEAR)
        };
        let markers = above.iter().filter(|it| it.markers);
        markers.filter(covers).count()
    }

    /// Draws the range from least to greatest as a band.
    fn band(&self, scene: &mut Scene, series: &Series) {
        let end = |point: &Point, value: Option<&f64>| self.at(point.x, *value?);
        let several = || series.points.iter().filter(|it| it.values.len() > 1);
        let lower = several().filter_map(|it| end(it, it.values.first()));
        let upper = several().filter_map(|it| end(it, it.values.last()));
        let mut outline: Vec<_> = lower.collect();
        let back: Vec<_> = upper.collect();
        outline.extend(back.iter().rev());
        if outline.len() > 3 {
            scene.area(&outline, look(series.look).0, 0.16);
        }
    }

    fn line(&self, scene: &mut Scene, series: &Series) {
        let pen = line_pen(series);
        // Where a point is missing, the line has a gap.
        for part in series.points.split(|point| point.y.is_none()) {
            let places: Vec<_> = part.iter().filter_map(|it| self.median(it)).collect();
            if let ([place], false) = (places.as_slice(), series.markers) {
                let radius = if series.faint { 1.6 } else { 2.4 };
                scene.marker(
                    *place,
                    radius,
                    Marker::Circle,
                    false,
                    Pen::new(pen.color, 0.0),
                );
            }
            scene.line(places, pen);
        }
        if !series.markers && !series.faint {
            self.signs(scene, series);
        }
    }

    /// Draws a few markers on a line without them: in grey, dashes alone are
    /// hard to tell apart.
    fn signs(&self, scene: &mut Scene, series: &Series) {
        let (color, _, marker) = look(series.look);
        let stride = series.points.len().div_ceil(SIGNS).max(1);
        // Where many lines run together, their markers are kept apart.
        let places = series
            .points
            .iter()
            .skip(series.look % stride)
            .step_by(stride);
        for place in places.filter_map(|it| self.median(it)) {
            scene.marker(place, 3.2, marker, false, Pen::new(color, 1.0));
        }
    }

    /// Draws a cross above each x for each series with diverged runs there, one
    /// above the other.
    fn diverged(&self, scene: &mut Scene, crosses: Vec<(f64, Vec<usize>)>) {
        for (x, looks) in crosses {
            let Some(share) = self.x.share(x) else {
                continue;
            };
            for (at, series) in looks.into_iter().enumerate() {
                let up = 7.0 + CROSS * at as f64;
                let place = (self.area.x(share), self.area.top - up);
                let pen = Pen::new(look(series).0, 1.6);
                scene.marker(place, 3.0, Marker::Cross, false, pen);
            }
        }
    }

    /// Draws bars, runs and medians of the series at this place, if it has
    /// markers.
    fn points(&self, scene: &mut Scene, grid: &Grid, at: usize) {
        let Some((series, above)) = grid.series[at..].split_first() else {
            return;
        };
        let (color, _, marker) = look(series.look);
        let rest = above.iter().filter(|it| it.markers).count();
        let half = (CAP + 1.2 * rest as f64).min(CAP_MOST);
        for point in series.points.iter().filter(|_| series.markers) {
            let ends = [point.values.first(), point.values.last()];
            let ends = ends.map(|it| self.at(point.x, *it?));
            if let [Some(low), Some(high)] = ends
                && !series.band
                && point.values.len() > 1
            {
                let cap = |(x, y): (f64, f64)| [(x - half, y), (x + half, y)];
                let pen = Pen::new(color, 1.0);
                scene.line([low, high], pen);
                scene.line(cap(low), pen);
                scene.line(cap(high), pen);
            }
            for value in point.values.iter().filter(|_| point.values.len() > 1) {
                if let Some(place) = self.at(point.x, *value) {
                    let pen = Pen {
                        opacity: 0.65,
                        ..Pen::new(color, 0.0)
                    };
                    scene.marker(place, 1.7, Marker::Circle, false, pen);
                }
            }
            if let Some(place) = self.median(point) {
                let radius = MARKER + RIM * self.covered(point, place.1, above).min(3) as f64;
                if point.imported {
                    let pen = Pen::new(GREY, 0.9);
                    scene.ring(place, radius + 3.0, pen);
                }
                let pen = Pen::new(color, 1.3);
                scene.marker(place, radius, marker, !point.complete, pen);
            }
        }
    }
}

fn line_pen(series: &Series) -> Pen {
    let (color, dash, _) = look(series.look);
    let width = if series.faint { 0.9 } else { 1.7 };
    Pen {
        dash,
        ..Pen::new(color, width)
    }
}

fn named(grid: &Grid) -> impl Iterator<Item = &Series> {
    grid.series.iter().filter(|series| !series.name.is_empty())
}

fn legend_width(grid: &Grid) -> f64 {
    if named(grid).count() < 2 && grid.legend.is_empty() {
        return 0.0;
    }
    let names = named(grid).map(|it| SAMPLE + width(&it.name, TICK, false).min(NAME_MOST));
    let names = names.fold(0.0, f64::max);
    let title = heading(grid, names)
        .into_iter()
        .map(|it| width(&it, TICK, true));
    title.fold(names, f64::max) + SAMPLE_GAP
}

/// The heading above the names, in lines not much wider than they are.
fn heading(grid: &Grid, names: f64) -> Vec<String> {
    wrapped(&grid.legend, TICK, true, names.max(HEADING_LEAST))
}

fn draw_legend(scene: &mut Scene, grid: &Grid, area: &Area) {
    let legend = legend_width(grid);
    if legend == 0.0 {
        return;
    }
    let left = area.right + SAMPLE_GAP;
    let mut y = area.top + TICK;
    for text in heading(grid, legend - SAMPLE_GAP) {
        scene.text(Text {
            x: left,
            y,
            text,
            size: TICK,
            bold: true,
            color: INK,
            ..Text::default()
        });
        y += LINE - 3.0;
    }
    if !grid.legend.is_empty() {
        y += 3.0;
    }
    let all = named(grid).count();
    let shown = if all > NAMES_MOST {
        NAMES_MOST - 1
    } else {
        all
    };
    for series in named(grid).take(shown) {
        let middle = y - TICK * 0.36;
        scene.line(
            [(left, middle), (left + SAMPLE - 8.0, middle)],
            line_pen(series),
        );
        if series.markers || !series.faint {
            let (color, _, marker) = look(series.look);
            let place = (left + (SAMPLE - 8.0) / 2.0, middle);
            scene.marker(place, MARKER, marker, false, Pen::new(color, 1.3));
        }
        for (at, text) in two_lines(&series.name, TICK, NAME_MOST)
            .into_iter()
            .enumerate()
        {
            y += SECOND * f64::from(u8::from(at > 0));
            legend_text(scene, left + SAMPLE, y, text);
        }
        y += LINE;
    }
    if shown < all {
        legend_text(scene, left, y, format!("and {} more", all - shown));
    }
}

fn legend_text(scene: &mut Scene, x: f64, y: f64, text: String) {
    scene.text(Text {
        x,
        y,
        text,
        size: TICK,
        color: INK,
        ..Text::default()
    });
}
