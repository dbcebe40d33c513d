//! What a plot shows, in the units of the data.

/// A plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Above it; may be empty.
    pub title: String,
    /// Below it, a sentence each: what the marks are, and their n.
    pub caption: Vec<String>,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn between them.
    pub body: Body,
}

/// An axis: its title with its unit, and whether its steps are factors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// As `test error (%)`.
    pub title: String,
    /// Whether equal distances are equal factors.
    pub log: bool,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Lines over numbers.
    Lines(Grid),
    /// A box for each of several samples.
    Boxes(Boxes),
    /// A field of colours.
    Heat(Heat),
}

impl Default for Body {
    fn default() -> Self {
        Self::Lines(Grid::default())
    }
}

/// Lines over numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// What tells the series apart, above the legend; may be empty.
    pub legend: String,
    /// In order of the legend.
    pub series: Vec<Series>,
    /// Values of x that deserve a tick, when they are few.
    pub ticks: Vec<f64>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// In the legend; a series without a name is not in it.
    pub name: String,
    /// Which colour and marker it has; series that belong together share one.
    pub look: usize,
    /// Whether it is drawn thin and dashed, as what stands behind the others.
    pub faint: bool,
    /// Whether its points have markers.
    pub markers: bool,
    /// Whether least to greatest is a band, not a bar at each point.
    pub band: bool,
    /// By rising x.
    pub points: Vec<Point>,
}

/// One point: a median with the runs that it is of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Its place on the x axis.
    pub x: f64,
    /// The median; none when no run has a value.
    pub y: Option<f64>,
    /// Of how many runs it is the median.
    pub n: u32,
    /// The value of every run that is known by itself, rising.
    pub values: Vec<f64>,
    /// Whether every run that there should be is in it.
    pub complete: bool,
    /// Runs that diverged.
    pub diverged: u32,
    /// Whether some of it was computed elsewhere, and that is to be seen.
    pub imported: bool,
}

/// Samples beside each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boxes {
    /// What names the rows, above their names.
    pub legend: String,
    /// From above.
    pub rows: Vec<Row>,
}

/// One sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Beside it.
    pub name: String,
    /// Its values, rising; may be empty.
    pub values: Vec<f64>,
    /// Its median, if it has one, and the same as text.
    pub median: Option<(f64, String)>,
    /// What is said of it behind: `n = 3`.
    pub note: String,
}

/// A field of colours: `cells[row][column]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Names of the rows, from above.
    pub rows: Vec<String>,
    /// What the colours are, beside their scale.
    pub measure: String,
    /// Decimals of the numbers.
    pub places: usize,
    /// One per row and column.
    pub cells: Vec<Vec<Cell>>,
}

/// One field of colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Its median.
    pub value: Option<f64>,
    /// What stands there instead, or behind it: `2 of 3`, `diverged`.
    pub note: String,
    /// Whether it is the best of its row.
    pub best: bool,
    /// Whether some of it was computed elsewhere, and that is to be seen.
    pub imported: bool,
}

impl Row {
    /// Every number that has a place on the axis.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        let median = self.median.iter().map(|(median, _)| *median);
        self.values.iter().copied().chain(median)
    }
}

impl Grid {
    /// Every x, every y with its runs, that can be drawn on these axes.
    pub(crate) fn numbers(&self, x: &Axis, y: &Axis) -> (Vec<f64>, Vec<f64>) {
        let fits = |axis: &Axis, value: f64| value.is_finite() && (!axis.log || value > 0.0);
        let points = || self.series.iter().flat_map(|it| &it.points);
        let across = points().map(|it| it.x).filter(|it| fits(x, *it));
        let up = self.series.iter().flat_map(|series| {
            // Runs that are not drawn need no room.
            let drawn = series.markers || series.band;
            series.points.iter().flat_map(move |it| {
                let runs = it.values.iter().copied().filter(move |_| drawn);
                it.y.into_iter().chain(runs)
            })
        });
        (across.collect(), up.filter(|it| fits(y, *it)).collect())
    }
}
