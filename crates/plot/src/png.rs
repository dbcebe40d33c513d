//! A scene as PNG.

use tiny_skia::{
    Color as SkiaColor, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke,
    StrokeDash, Transform,
};

use crate::font;
use crate::palette::Color;
use crate::scene::{Anchor, Item, Scene, Shape, Step, Text};

/// Dots per unit.
const SCALE: f32 = 3.0;
/// The longest side in dots: a picture of this size still opens everywhere.
const SIDE_MOST: f64 = 16_000.0;

pub(crate) fn write(scene: &Scene) -> Result<Vec<u8>, String> {
    let largest = scene.width.max(scene.height);
    let scale = SCALE.min((SIDE_MOST / largest) as f32);
    let side = |length: f64| (length as f32 * scale).round() as u32;
    let mut pixmap =
        Pixmap::new(side(scene.width), side(scene.height)).ok_or("the picture has no size")?;
    pixmap.fill(SkiaColor::WHITE);
    let transform = Transform::from_scale(scale, scale);
    for item in &scene.items {
        match item {
            Item::Shape(it) => shape(&mut pixmap, it, transform),
            Item::Text(it) => text(&mut pixmap, it, transform),
        }
    }
    pixmap.encode_png().map_err(|error| error.to_string())
}

fn shape(pixmap: &mut Pixmap, it: &Shape, transform: Transform) {
    let Some(path) = path(&it.steps) else { return };
    if let Some(fill) = it.fill {
        let paint = paint(fill, it.opacity);
        pixmap.fill_path(&path, &paint, FillRule::Winding, transform, None);
    }
    if let Some(stroke) = it.stroke {
        let lengths = it.dash.iter().map(|it| *it as f32).collect();
        let pen = Stroke {
            width: it.width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: StrokeDash::new(lengths, 0.0),
            ..Stroke::default()
        };
        pixmap.stroke_path(&path, &paint(stroke, it.opacity), &pen, transform, None);
    }
}

fn text(pixmap: &mut Pixmap, it: &Text, transform: Transform) {
    let Some(outline) = font::outline(&it.text, it.size, it.bold) else {
        return;
    };
    let width = font::width(&it.text, it.size, it.bold);
    let back = match it.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let mut place = transform.pre_translate(it.x as f32, it.y as f32);
    if it.upward {
        place = place.pre_rotate(-90.0);
    }
    let place = place.pre_translate(-back as f32, 0.0);
    pixmap.fill_path(
        &outline,
        &paint(it.color, 1.0),
        FillRule::Winding,
        place,
        None,
    );
}

fn path(steps: &[Step]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for step in steps {
        match step {
            Step::Move(x, y) => path.move_to(*x as f32, *y as f32),
            Step::Line(x, y) => path.line_to(*x as f32, *y as f32),
            Step::Curve(all) => {
                let [x1, y1, x2, y2, x, y] = all.map(|it| it as f32);
                path.cubic_to(x1, y1, x2, y2, x, y);
            }
            Step::Close => path.close(),
        }
    }
    path.finish()
}

fn paint([red, green, blue]: Color, opacity: f64) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(
        red,
        green,
        blue,
        (opacity.clamp(0.0, 1.0) * 255.0).round() as u8,
    );
    paint.anti_alias = true;
    paint
}
