//! What a plot shows, in the units of the data.

/// A plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The title above it; may be empty.
    pub title: String,
    /// The caption below it, one sentence each: what the marks are, and their
    /// n.
    pub caption: Vec<String>,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn between them.
    pub body: Body,
}

/// An axis: its title with its unit, and whether it is logarithmic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// The title with the unit, such as `test error (%)`.
    pub title: String,
    /// Whether the axis is logarithmic.
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
    /// What separates the series, above the legend; may be empty.
    pub legend: String,
    /// The series, in the order of the legend.
    pub series: Vec<Series>,
    /// Values of x that get a tick each, if there are few.
    pub ticks: Vec<f64>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The name in the legend; a series without a name is not in it.
    pub name: String,
    /// The number of its colour and marker; series that belong together share
    /// one.
    pub look: usize,
    /// Whether it is drawn thin and dashed, as something behind the others.
    pub faint: bool,
    /// Whether its points have markers.
    pub markers: bool,
    /// Whether least and greatest values form a band instead of a bar at each
    /// point.
    pub band: bool,
    /// The points, by rising x.
    pub points: Vec<Point>,
}

/// One point: a median, with the runs it is from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Its place on the x axis.
    pub x: f64,
    /// The median; none when no run has a value.
    pub y: Option<f64>,
    /// How many runs the median is from.
    pub n: u32,
    /// The values of all runs that are known one by one, rising.
    pub values: Vec<f64>,
    /// Whether every run is in it that there should be.
    pub complete: bool,
    /// Runs that diverged.
    pub diverged: u32,
    /// Whether imported numbers are in it and should be marked.
    pub imported: bool,
}

/// Samples beside each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boxes {
    /// What the names of the rows mean; shown above them.
    pub legend: String,
    /// The rows, from the top.
    pub rows: Vec<Row>,
}

/// One sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The name beside it.
    pub name: String,
    /// Its values, rising; may be empty.
    pub values: Vec<f64>,
    /// Its median, if there is one, with its text.
    pub median: Option<(f64, String)>,
    /// The note after it, such as `n = 3`.
    pub note: String,
}

/// A field of colours: `cells[row][column]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The names of the rows, from the top.
    pub rows: Vec<String>,
    /// What the colours mean; shown beside their scale.
    pub measure: String,
    /// The cells, one per row and column.
    pub cells: Vec<Vec<Cell>>,
}

/// One field of colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Its median.
    pub value: Option<f64>,
    /// The median as text.
    pub text: String,
    /// The note instead of the number or after it: `2 of 3`, `diverged`.
    pub note: String,
    /// Whether it is the best of its row.
    pub best: bool,
    /// Whether imported numbers are in it and should be marked.
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
    /// Every x, and every y with its runs, that can be drawn on these axes.
    pub(crate) fn numbers(&self, x: &Axis, y: &Axis) -> (Vec<f64>, Vec<f64>) {
        let fits = |axis: &Axis, value: f64| value.is_finite() && (!axis.log || value > 0.0);
        let points = || self.series.iter().flat_map(|it| &it.points);
        let across = points().map(|it| it.x).filter(|it| fits(x, *it));
        let up = self.series.iter().flat_map(|series| {
            // Runs that are not drawn need no space.
            let drawn = series.markers || series.band;
            series.points.iter().flat_map(move |it| {
                let runs = it.values.iter().copied().filter(move |_| drawn);
                it.y.into_iter().chain(runs)
            })
        });
        (across.collect(), up.filter(|it| fits(y, *it)).collect())
    }
}
