//! Where every line and letter lies. The units are those of CSS: 96 per inch, y
//! downward.

use crate::palette::{Color, Marker};

/// A picture, not yet written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    pub(crate) items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Shape(Shape),
    Text(Text),
}

/// A filled or stroked outline.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shape {
    pub(crate) steps: Vec<Step>,
    pub(crate) fill: Option<Color>,
    pub(crate) stroke: Option<Color>,
    /// The width of the stroke.
    pub(crate) width: f64,
    pub(crate) dash: Vec<f64>,
    /// The opacity, 0 to 1.
    pub(crate) opacity: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Move(f64, f64),
    Line(f64, f64),
    Curve([f64; 6]),
    Close,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Anchor {
    #[default]
    Start,
    Middle,
    End,
}

/// A line of text; its baseline is anchored at `x`, `y`.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_field_names, reason = "what is written is its text")]
pub(crate) struct Text {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) text: String,
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) anchor: Anchor,
    /// Whether it reads upward.
    pub(crate) upward: bool,
    pub(crate) color: Color,
}

/// A pen: colour, width, dashes, opacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pen {
    pub(crate) color: Color,
    pub(crate) width: f64,
    pub(crate) dash: &'static [f64],
    pub(crate) opacity: f64,
}

impl Pen {
    pub(crate) const fn new(color: Color, width: f64) -> Self {
        Self {
            color,
            width,
            dash: &[],
            opacity: 1.0,
        }
    }
}

/// How far the handles of a circle's four curves reach.
const ROUND: f64 = 0.552_284_75;

impl Scene {
    pub(crate) fn text(&mut self, text: Text) {
        if text.x.is_finite() && text.y.is_finite() && !text.text.is_empty() {
            self.items.push(Item::Text(text));
        }
    }

    /// A line through these points, with gaps where one is missing.
    pub(crate) fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, pen: Pen) {
        let mut steps = Vec::new();
        for (x, y) in points {
            steps.push(if steps.is_empty() {
                Step::Move(x, y)
            } else {
                Step::Line(x, y)
            });
        }
        if steps.len() > 1 {
            self.shape(Shape {
                steps,
                stroke: Some(pen.color),
                width: pen.width,
                dash: pen.dash.to_vec(),
                opacity: pen.opacity,
                ..Shape::default()
            });
        }
    }

    /// A filled outline.
    pub(crate) fn area(&mut self, points: &[(f64, f64)], fill: Color, opacity: f64) {
        self.shape(Shape {
            steps: closed(points),
            fill: Some(fill),
            opacity,
            ..Shape::default()
        });
    }

    pub(crate) fn rect(
        &mut self,
        [x, y, width, height]: [f64; 4],
        fill: Option<Color>,
        pen: Option<Pen>,
    ) {
        let corners = [
            (x, y),
            (x + width, y),
            (x + width, y + height),
            (x, y + height),
        ];
        self.shape(Shape {
            steps: closed(&corners),
            fill,
            stroke: pen.map(|pen| pen.color),
            width: pen.map_or(0.0, |pen| pen.width),
            opacity: 1.0,
            ..Shape::default()
        });
    }

    /// A thin circle around a point.
    pub(crate) fn ring(&mut self, place: (f64, f64), radius: f64, pen: Pen) {
        self.shape(Shape {
            steps: circle(place, radius),
            stroke: Some(pen.color),
            width: pen.width,
            opacity: pen.opacity,
            ..Shape::default()
        });
    }

    /// A marker around a point; a hollow one is filled with white.
    pub(crate) fn marker(
        &mut self,
        (x, y): (f64, f64),
        radius: f64,
        marker: Marker,
        hollow: bool,
        pen: Pen,
    ) {
        let r = radius;
        let polygon = |corners: &[(f64, f64)]| -> Vec<Step> {
            let moved: Vec<_> = corners
                .iter()
                .map(|(dx, dy)| (x + dx * r, y + dy * r))
                .collect();
            closed(&moved)
        };
        let strokes = |ends: [[(f64, f64); 2]; 2]| -> Vec<Step> {
            let steps = ends.iter().flat_map(|[(ax, ay), (bx, by)]| {
                [
                    Step::Move(x + ax * r, y + ay * r),
                    Step::Line(x + bx * r, y + by * r),
                ]
            });
            steps.collect()
        };
        let (steps, open) = match marker {
            Marker::Circle => (circle((x, y), r), false),
            Marker::Square => (
                polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
                false,
            ),
            Marker::Triangle => (polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]), false),
            Marker::Downward => (polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]), false),
            Marker::Diamond => (
                polygon(&[(0.0, -1.3), (1.2, 0.0), (0.0, 1.3), (-1.2, 0.0)]),
                false,
            ),
            Marker::Plus => (
                strokes([[(-1.2, 0.0), (1.2, 0.0)], [(0.0, -1.2), (0.0, 1.2)]]),
                true,
            ),
            Marker::Cross => (
                strokes([[(-1.0, -1.0), (1.0, 1.0)], [(-1.0, 1.0), (1.0, -1.0)]]),
                true,
            ),
        };
        let fill = match (open, hollow) {
            (true, _) => None,
            (false, true) => Some(crate::palette::WHITE),
            (false, false) => Some(pen.color),
        };
        let width = if open { pen.width.max(1.6) } else { pen.width };
        self.shape(Shape {
            steps,
            fill,
            stroke: (pen.width > 0.0 || open).then_some(pen.color),
            width,
            dash: Vec::new(),
            opacity: pen.opacity,
        });
    }

    fn shape(&mut self, shape: Shape) {
        let finite = |step: &Step| match step {
            Step::Move(x, y) | Step::Line(x, y) => x.is_finite() && y.is_finite(),
            Step::Curve(numbers) => numbers.iter().all(|it| it.is_finite()),
            Step::Close => true,
        };
        if !shape.steps.is_empty() && shape.steps.iter().all(finite) {
            self.items.push(Item::Shape(shape));
        }
    }
}

fn closed(points: &[(f64, f64)]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(points.len() + 1);
    for (x, y) in points {
        steps.push(if steps.is_empty() {
            Step::Move(*x, *y)
        } else {
            Step::Line(*x, *y)
        });
    }
    steps.push(Step::Close);
    steps
}

fn circle((x, y): (f64, f64), r: f64) -> Vec<Step> {
    let k = r * ROUND;
    vec![
        Step::Move(x + r, y),
        Step::Curve([x + r, y + k, x + k, y + r, x, y + r]),
        Step::Curve([x - k, y + r, x - r, y + k, x - r, y]),
        Step::Curve([x - r, y - k, x - k, y - r, x, y - r]),
        Step::Curve([x + k, y - r, x + r, y - k, x + r, y]),
        Step::Close,
    ]
}
