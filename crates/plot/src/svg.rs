//! A scene as SVG.

use swath_model::markup::escaped;

use crate::chart::Chart;
use crate::font::FAMILY;
use crate::palette::Color;
use crate::scene::{Anchor, Item, Scene, Shape, Step, Text};

pub(crate) fn write(scene: &Scene, chart: &Chart) -> String {
    let (width, height) = (number(scene.width), number(scene.height));
    let mut out = String::new();
    put!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\" role=\"img\">\n"
    );
    put!(out, "<title>{}</title>\n", escaped(&chart.title));
    put!(out, "<desc>{}</desc>\n", escaped(&chart.caption.join(" ")));
    put!(
        out,
        "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for item in &scene.items {
        match item {
            Item::Shape(it) => shape(&mut out, it),
            Item::Text(it) => text(&mut out, it),
        }
    }
    out.push_str("</svg>\n");
    out
}

fn shape(out: &mut String, shape: &Shape) {
    out.push_str("<path d=\"");
    for step in &shape.steps {
        match step {
            Step::Move(x, y) => put!(out, "M{} {}", number(*x), number(*y)),
            Step::Line(x, y) => put!(out, "L{} {}", number(*x), number(*y)),
            Step::Curve(all) => put!(out, "C{}", all.map(number).join(" ")),
            Step::Close => out.push('Z'),
        }
    }
    out.push('"');
    match shape.fill {
        Some(fill) => put!(out, " fill=\"{}\"", hex(fill)),
        None => out.push_str(" fill=\"none\""),
    }
    if let Some(stroke) = shape.stroke {
        put!(
            out,
            " stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"",
            hex(stroke),
            number(shape.width)
        );
    }
    if !shape.dash.is_empty() {
        let lengths: Vec<String> = shape.dash.iter().map(|it| number(*it)).collect();
        put!(out, " stroke-dasharray=\"{}\"", lengths.join(" "));
    }
    if shape.opacity < 1.0 {
        put!(out, " opacity=\"{}\"", number(shape.opacity));
    }
    out.push_str("/>\n");
}

fn text(out: &mut String, it: &Text) {
    let (x, y) = (number(it.x), number(it.y));
    put!(
        out,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\"",
        number(it.size)
    );
    if it.bold {
        out.push_str(" font-weight=\"bold\"");
    }
    match it.anchor {
        Anchor::Start => {}
        Anchor::Middle => out.push_str(" text-anchor=\"middle\""),
        Anchor::End => out.push_str(" text-anchor=\"end\""),
    }
    if it.upward {
        put!(out, " transform=\"rotate(-90 {x} {y})\"");
    }
    put!(
        out,
        " fill=\"{}\">{}</text>\n",
        hex(it.color),
        escaped(&it.text)
    );
}

/// Two decimals, without trailing zeros.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
