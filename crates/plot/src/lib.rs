//! Plots of results: pictures for papers as SVG and PNG, and for terminals.
//!
//! A [`Chart`] says what is shown, in the units of the data; a [`Scene`] says
//! where each of its lines and letters lies; SVG and PNG are the scene written
//! down. All of it is pure: the same chart gives the same bytes.

/// Appends formatted text to a String, which cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($out, $($text)*);
    }};
}

mod build;
mod chart;
mod draw;
mod font;
mod palette;
mod png;
mod scale;
mod scene;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;

pub use self::build::{Curve, Kind, Metric, PlotError, Request, curves, results, steps};
pub use self::chart::{Axis, Body, Boxes, Chart, Grid, Heat, Point, Row, Series};
pub use self::scene::Scene;

/// The chart as an SVG document, with its text as text.
pub fn svg(chart: &Chart) -> String {
    svg::write(&draw::scene(chart), chart)
}

/// The chart as a PNG of three dots per unit of the SVG: about 290 dots an
/// inch at its natural size.
///
/// # Errors
///
/// When the picture cannot be encoded, which no chart should cause.
pub fn png(chart: &Chart) -> Result<Vec<u8>, String> {
    png::write(&draw::scene(chart))
}

/// The chart in text characters, at most `width` columns wide.
pub fn text(chart: &Chart, width: usize, unicode: bool) -> String {
    terminal::write(chart, width, unicode)
}

/// Where everything in the chart lies.
pub fn scene(chart: &Chart) -> Scene {
    draw::scene(chart)
}
