//! Colours that people can tell apart, also in print.

/// A colour: red, green, blue.
pub(crate) type Color = [u8; 3];

pub(crate) const BLACK: Color = [0, 0, 0];
pub(crate) const INK: Color = [0x22, 0x22, 0x22];
pub(crate) const GREY: Color = [0x70, 0x70, 0x70];
pub(crate) const PALE: Color = [0xdd, 0xdd, 0xdd];
pub(crate) const WHITE: Color = [0xff, 0xff, 0xff];

/// Okabe and Ito, "Color Universal Design" (2008), without the yellow, which
/// does not stand out from white paper.
const SERIES: [Color; 7] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    BLACK,
];

/// Lengths of dashes and gaps.
const DASHES: [&[f64]; 5] = [
    &[],
    &[7.0, 3.0],
    &[2.0, 2.5],
    &[8.0, 2.5, 2.0, 2.5],
    &[12.0, 4.0],
];

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Downward,
    Plus,
    Cross,
}

const MARKERS: [Marker; 7] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Downward,
    Marker::Plus,
    Marker::Cross,
];

/// The look of the series of this number: after seven the colours repeat, with
/// other dashes and markers.
pub(crate) fn look(series: usize) -> (Color, &'static [f64], Marker) {
    let round = series / SERIES.len();
    (
        SERIES[series % SERIES.len()],
        DASHES[(series + round) % DASHES.len()],
        MARKERS[(series + round) % MARKERS.len()],
    )
}

/// Cividis (Nuñez, Anderton and Renslow, PLoS ONE 13(7), 2018) at every eighth
/// of its length: even in lightness, and the same to colour-blind eyes.
const CIVIDIS: [Color; 9] = [
    [0, 34, 78],
    [28, 53, 111],
    [64, 77, 107],
    [95, 100, 110],
    [124, 123, 120],
    [155, 149, 120],
    [188, 175, 111],
    [223, 205, 94],
    [254, 232, 56],
];

/// The colour at `share` of the scale, 0 dark to 1 bright.
pub(crate) fn cividis(share: f64) -> Color {
    let last = CIVIDIS.len() - 1;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let from = (at.floor() as usize).min(last - 1);
    let part = at - from as f64;
    let mix = |channel: usize| {
        let (low, high) = (CIVIDIS[from][channel], CIVIDIS[from + 1][channel]);
        (f64::from(low) + part * (f64::from(high) - f64::from(low))).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

/// Black or white, whichever reads better on `ground` (by the relative
/// luminance of WCAG 2).
pub(crate) fn ink_on(ground: Color) -> Color {
    let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
    let [red, green, blue] = ground.map(linear);
    let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    if luminance > 0.18 { BLACK } else { WHITE }
}
