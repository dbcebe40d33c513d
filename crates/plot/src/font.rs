//! The font of every letter: Arimo, which has the widths of Arial and
//! Liberation Sans, so that a reader who has one of these sees the same layout.

use std::sync::LazyLock;

use tiny_skia::{Path, PathBuilder, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// The fonts that an SVG asks for.
pub(crate) const FAMILY: &str = "Arimo, 'Liberation Sans', Arial, Helvetica, sans-serif";

static REGULAR: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../font/Arimo-Regular.ttf"), 0).ok());
static BOLD: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../font/Arimo-Bold.ttf"), 0).ok());

fn face(bold: bool) -> Option<&'static Face<'static>> {
    if bold {
        BOLD.as_ref()
    } else {
        REGULAR.as_ref()
    }
}

fn glyph(face: &Face<'_>, char: char) -> GlyphId {
    let known = |char| face.glyph_index(char);
    known(char).or_else(|| known('?')).unwrap_or_default()
}

/// The width of `text` at this size.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let Some(face) = face(bold) else {
        return text.chars().count() as f64 * size * 0.6;
    };
    let advance = |char| f64::from(face.glyph_hor_advance(glyph(face, char)).unwrap_or(0));
    let units: f64 = text.chars().map(advance).sum();
    units * size / f64::from(face.units_per_em())
}

/// The outline of `text`, with its baseline beginning at the origin, and y
/// downward.
pub(crate) fn outline(text: &str, size: f64, bold: bool) -> Option<Path> {
    let face = face(bold)?;
    let scale = size as f32 / f32::from(face.units_per_em());
    let mut pen = Pen {
        path: PathBuilder::new(),
        at: 0.0,
    };
    for char in text.chars() {
        let glyph = glyph(face, char);
        face.outline_glyph(glyph, &mut pen);
        pen.at += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0));
    }
    pen.path
        .finish()?
        .transform(Transform::from_scale(scale, -scale))
}

struct Pen {
    path: PathBuilder,
    at: f32,
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.at + x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.at + x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.at + x1, y1, self.at + x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path
            .cubic_to(self.at + x1, y1, self.at + x2, y2, self.at + x, y);
    }
    fn close(&mut self) {
        self.path.close();
    }
}
