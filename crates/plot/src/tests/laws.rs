//! Laws of every chart.

use proptest::prelude::*;
use swath_model::text::is_printable;

use crate::chart::{Axis, Body, Boxes, Cell, Chart, Grid, Heat, Point, Row, Series};
use crate::palette::look;
use crate::scale::Scale;
use crate::{png, svg, text};

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..100.0f64,
        2 => 1e-6..1e6f64,
        1 => prop::num::f64::ANY,
    ]
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z &<>\"']{0,30}", any::<String>()]
}

fn point() -> impl Strategy<Value = Point> {
    let values = prop::collection::vec(number(), 0..4);
    (
        number(),
        prop::option::of(number()),
        values,
        any::<bool>(),
        0..3u32,
        any::<bool>(),
    )
        .prop_map(|(x, y, mut values, complete, diverged, imported)| {
            values.sort_by(f64::total_cmp);
            Point {
                x,
                y,
                n: values.len() as u32,
                values,
                complete,
                diverged,
                imported,
            }
        })
}

fn series() -> impl Strategy<Value = Series> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (
        words(),
        0..20usize,
        flags,
        prop::collection::vec(point(), 0..5),
    )
        .prop_map(|(name, look, (faint, markers, band), points)| Series {
            name,
            look,
            faint,
            markers,
            band,
            points,
        })
}

fn body() -> impl Strategy<Value = Body> {
    let lines = (
        words(),
        prop::collection::vec(series(), 0..20),
        prop::collection::vec(number(), 0..4),
    );
    let median = prop::option::of((number(), words()));
    let row = (
        words(),
        prop::collection::vec(number(), 0..7),
        median,
        words(),
    );
    let row = row.prop_map(|(name, mut values, median, note)| {
        values.sort_by(f64::total_cmp);
        Row {
            name,
            values,
            median,
            note,
        }
    });
    let cell = (
        prop::option::of(number()),
        words(),
        any::<bool>(),
        any::<bool>(),
    );
    let cell = cell
        .prop_map(|(value, note, best, imported)| Cell {
            value,
            text: value.map_or_else(String::new, |it| it.to_string()),
            note,
            best,
            imported,
        })
        .boxed();
    let heat = (1..5usize, 1..5usize).prop_flat_map(move |(rows, columns)| {
        let cells = prop::collection::vec(prop::collection::vec(cell.clone(), columns), rows);
        (
            prop::collection::vec(words(), columns),
            prop::collection::vec(words(), rows),
            cells,
        )
    });
    prop_oneof![
        lines.prop_map(|(legend, series, ticks)| Body::Lines(Grid {
            legend,
            series,
            ticks
        })),
        (words(), prop::collection::vec(row, 0..6))
            .prop_map(|(legend, rows)| Body::Boxes(Boxes { legend, rows })),
        heat.prop_map(|(columns, rows, cells)| Body::Heat(Heat {
            columns,
            rows,
            measure: "error (%)".to_owned(),
            cells,
        })),
    ]
}

prop_compose! {
    fn chart()(
        title in words(),
        caption in prop::collection::vec(words(), 0..4),
        names in (words(), words()),
        logs in (any::<bool>(), any::<bool>()),
        body in body(),
    ) -> Chart {
        Chart {
            title,
            caption,
            x: Axis { title: names.0, log: logs.0 },
            y: Axis { title: names.1, log: logs.1 },
            body,
        }
    }
}

/// Whether a document's tags are all closed, and every `&` begins an entity.
fn is_well_formed(document: &str) -> bool {
    let mut depth = 0i32;
    for part in document.split('<').skip(1) {
        let Some((tag, words)) = part.split_once('>') else {
            return false;
        };
        if words.contains('>') || tag.matches('"').count() % 2 == 1 {
            return false;
        }
        depth += match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => -1,
            (false, true) => 0,
            (false, false) => 1,
        };
    }
    let entity = |rest: &str| {
        ["amp;", "lt;", "gt;", "quot;", "#39;"]
            .iter()
            .any(|it| rest.starts_with(it))
    };
    depth == 0 && document.split('&').skip(1).all(entity)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_svg_is_finite_and_escaped_and_the_same_again(chart in chart()) {
        let document = svg(&chart);
        prop_assert!(!document.contains("NaN") && !document.contains("=\"inf"));
        for path in document.split(" d=\"").skip(1) {
            let path = path.split('"').next().unwrap_or("");
            prop_assert!(!path.contains("inf") && !path.contains('e'), "{}", path);
        }
        prop_assert!(is_well_formed(&document), "{}", document);
        let control = |char: char| char.is_control() && char != '\n';
        prop_assert!(!document.contains(control));
        prop_assert_eq!(document, svg(&chart));
    }

    #[test]
    fn every_chart_has_a_text(chart in chart(), width in 0..200usize, unicode: bool) {
        let text = text(&chart, width, unicode);
        prop_assert!(!text.is_empty());
        prop_assert!(text.lines().all(|line| line.chars().all(is_printable)), "{:?}", text);
    }

    #[test]
    fn ticks_rise_within_the_scale(
        values in prop::collection::vec(number(), 0..6),
        log: bool,
        most in 2..12usize,
    ) {
        let scale = Scale::around(&values, log, 0.05);
        let ticks = scale.ticks(most);
        let named = ticks.iter().filter(|it| !it.text.is_empty()).count();
        prop_assert!(named <= most + 1, "{:?}", ticks);
        for pair in ticks.windows(2) {
            prop_assert!(pair[0].at < pair[1].at, "{:?}", ticks);
            let (low, high) = (scale.share(pair[0].at), scale.share(pair[1].at));
            prop_assert!(low < high);
        }
        for tick in &ticks {
            prop_assert!(scale.share(tick.at).is_some(), "{:?} {:?}", scale, tick);
        }
    }
}

#[test]
fn pictures_are_pictures_and_the_same_again() {
    let chart = crate::results(
        &super::fixture::small(),
        crate::Kind::Lr,
        &crate::Request::default(),
    )
    .unwrap();
    let bytes = png(&chart).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n"));
    assert_eq!(bytes, png(&chart).unwrap());
    let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let scene = crate::scene(&chart);
    assert_eq!(f64::from(side(16)).to_bits(), (scene.width * 3.0).to_bits());
    assert_eq!(
        f64::from(side(20)).to_bits(),
        (scene.height * 3.0).to_bits()
    );
}

#[test]
fn letters_have_ink() {
    for text in ["learning rate", "×±…µ", "größe"] {
        let outline = crate::font::outline(text, 12.0, false).unwrap();
        let width = crate::font::width(text, 12.0, false);
        assert!(f64::from(outline.bounds().right()) <= width + 1.0, "{text}");
        assert!(width > 10.0);
    }
}

#[test]
fn fourteen_series_look_different() {
    let mut looks: Vec<_> = (0..crate::build::LINES_MOST)
        .map(|at| {
            let (color, dash, marker) = look(at);
            format!("{color:?} {dash:?} {marker:?}")
        })
        .collect();
    looks.sort();
    looks.dedup();
    assert_eq!(looks.len(), crate::build::LINES_MOST);
}
