//! Selectors: `last`, `linear*`, `3fa9`, `batch_size=128 optimizer.lr>0.1
//! state=failed`.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::label::versioned;
use swath_model::limits::SELECTOR_BYTES_MAX;
use swath_model::spec::{canonical, keys, lookup};
use swath_model::suggest::nearest;
use swath_model::text::cut;

/// Which sweeps or jobs are meant: those that the target names and that pass
/// every filter. Without a target, all that pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    /// The named sweep, job or pattern.
    pub target: Option<Target>,
    /// The conditions that must hold.
    pub filters: Vec<Filter>,
}

/// What a selector names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The sweep that was submitted last.
    Last,
    /// A name, which means the sweep submitted last under it; a name with a
    /// version (`slow@1`); or the beginning of an id.
    Word(String),
    /// A pattern over names: `*` any characters, `?` one. It names what the
    /// names alone mean; with `@`, versions too (`slow@*`).
    Glob(String),
}

/// A condition: `optimizer.lr>0.1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// A parameter of the spec, or one of `state`, `sweep`, `replicate`.
    pub field: String,
    /// How it is compared.
    pub operator: Operator,
    /// The value it is compared with, as written.
    pub text: String,
    /// That value as a number, if it is one.
    number: Option<f64>,
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

/// What a selector sees of a sweep or a job. An absent field matches no target,
/// and no filter except `!=`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubjectView<'a> {
    /// The sweep's name.
    pub sweep_name: &'a str,
    /// The sweep's digest.
    pub sweep: Option<SweepDigest>,
    /// Which of the sweeps of its name it is, from 1.
    pub version: u32,
    /// Whether its name alone means another sweep, which was submitted later.
    pub older: bool,
    /// Whether it is the sweep that was submitted last.
    pub last: bool,
    /// The job's digest.
    pub job: Option<JobDigest>,
    /// Which replicate of its cell the job is.
    pub replicate: Option<u32>,
    /// The state's name.
    pub state: Option<&'a str>,
    /// The resolved spec.
    pub spec: Option<&'a Value>,
}

/// A selector that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}`: {message}")]
pub struct SelectorError {
    /// The part of the selector that is wrong.
    pub part: String,
    /// What is wrong with it.
    pub message: String,
    /// The parameter that it names, if no spec can have such a one.
    pub unknown: Option<String>,
}

/// So much of a selector that is too long is told.
const PART_TOLD_BYTES: usize = 64;
/// A prefix of fewer digits would match too much by accident.
const PREFIX_MIN: usize = 4;
/// The word for a failed job that diverged: people look for it by this name.
const DIVERGED: &str = "diverged";
/// What filters look at besides parameters.
pub const FIELDS: [&str; 3] = ["state", "sweep", "replicate"];
/// Two-character operators come first.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessEqual),
    (">=", Operator::GreaterEqual),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Selector {
    /// Reads a selector: at most one target, and filters.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Self::parse_as(text, &str::to_owned)
    }

    /// The same where a parameter is named otherwise than a spec names it: `path`
    /// tells its path.
    pub fn parse_as(text: &str, path: &dyn Fn(&str) -> String) -> Result<Self, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            let bytes = text.len();
            let message = format!("the selector has {bytes} bytes; at most {SELECTOR_BYTES_MAX}");
            return Err(wrong(&cut(text.to_owned(), PART_TOLD_BYTES), message));
        }
        let mut selector = Self::default();
        for part in split(text)? {
            if part.contains(['=', '<', '>', '!']) {
                selector.filters.push(Filter::parse(&part, path)?);
            } else if selector.target.is_some() {
                let message =
                    "only one id, name or pattern; the rest must be filters like state=failed";
                return Err(wrong(&part, message));
            } else {
                selector.target = Some(Target::parse(&part)?);
            }
        }
        Ok(selector)
    }

    /// Whether it selects `subject`.
    pub fn matches(&self, subject: &SubjectView<'_>) -> bool {
        self.target
            .as_ref()
            .is_none_or(|target| target.matches(subject))
            && self.filters.iter().all(|filter| filter.matches(subject))
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, SelectorError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-*?@".contains(c);
        if !text.chars().all(allowed) {
            let message =
                "is not an id, a name, a pattern or a filter; a filter is like batch_size=128";
            return Err(wrong(text, message));
        }
        Ok(match text {
            "last" => Self::Last,
            _ if text.contains(['*', '?']) => Self::Glob(text.to_owned()),
            _ => Self::Word(text.to_owned()),
        })
    }

    /// Whether it names `subject`.
    pub fn matches(&self, subject: &SubjectView<'_>) -> bool {
        match self {
            Self::Last => subject.last,
            Self::Glob(pattern) if pattern.contains('@') => {
                glob(pattern, &versioned(subject.sweep_name, subject.version))
            }
            Self::Glob(pattern) => !subject.older && glob(pattern, subject.sweep_name),
            Self::Word(word) => {
                let begins = |id: String| word.len() >= PREFIX_MIN && id.starts_with(word.as_str());
                (!subject.older && word == subject.sweep_name)
                    || *word == versioned(subject.sweep_name, subject.version)
                    || subject.sweep.is_some_and(|id| begins(id.to_string()))
                    || subject.job.is_some_and(|id| begins(id.to_string()))
            }
        }
    }
}

/// Refuses a misspelt state, which would silently match nothing.
fn check_state(part: &str, text: &str) -> Result<(), SelectorError> {
    let names = StateName::ALL.map(StateName::name);
    let names: Vec<_> = names.into_iter().chain([DIVERGED]).collect();
    if names.contains(&text) {
        return Ok(());
    }
    Err(match nearest(text, names.iter().copied()) {
        Some(near) => wrong(part, format!("no such state; did you mean `{near}`?")),
        None => wrong(
            part,
            format!("no such state; the states are {}", names.join(", ")),
        ),
    })
}

impl Filter {
    fn parse(part: &str, path: &dyn Fn(&str) -> String) -> Result<Self, SelectorError> {
        let found = part.char_indices().find_map(|(at, _)| {
            let rest = &part[at..];
            let (symbol, operator) = OPERATORS
                .iter()
                .find(|(symbol, _)| rest.starts_with(symbol))?;
            Some((&part[..at], *operator, &rest[symbol.len()..]))
        });
        let Some((field, operator, text)) = found else {
            return Err(wrong(part, "compares nothing; write `!=`"));
        };
        let whole = if FIELDS.contains(&field) {
            field.to_owned()
        } else {
            path(field)
        };
        let field = whole.as_str();
        if !FIELDS.contains(&field) && keys::find(field).is_none() {
            let fields = FIELDS
                .into_iter()
                .chain(keys::KEYS.iter().map(|key| key.path));
            let message = match nearest(field, fields) {
                Some(near) => format!("no such parameter; did you mean `{near}`?"),
                None => format!(
                    "no such parameter; a filter takes {} and the keys of a spec",
                    FIELDS.join(", ")
                ),
            };
            return Err(SelectorError {
                unknown: Some(field.to_owned()),
                ..wrong(field, message)
            });
        }
        if field == "state" {
            check_state(part, text)?;
        }
        let number = text.parse().ok().filter(|number| f64::is_finite(*number));
        let orders = !matches!(operator, Operator::Equal | Operator::NotEqual);
        if orders && number.is_none() {
            return Err(wrong(
                part,
                format!("compares with \"{text}\", which is not a number"),
            ));
        }
        Ok(Self {
            field: field.to_owned(),
            operator,
            text: text.to_owned(),
            number,
        })
    }

    /// What `subject` has where the filter looks; none where it has nothing.
    pub fn value<'a>(&self, subject: &SubjectView<'a>) -> Option<Cow<'a, Value>> {
        match self.field.as_str() {
            "state" => Some(Cow::Owned(subject.state?.into())),
            "sweep" => Some(Cow::Owned(subject.sweep_name.into())),
            "replicate" => Some(Cow::Owned(subject.replicate?.into())),
            path => lookup(subject.spec?, path).map(Cow::Borrowed),
        }
    }

    /// Whether `subject` passes.
    pub fn matches(&self, subject: &SubjectView<'_>) -> bool {
        let differs = self.operator == Operator::NotEqual;
        match self.field.as_str() {
            "state" => subject
                .state
                .map_or(differs, |state| self.compare_text(state)),
            "sweep" => self.compare_text(subject.sweep_name),
            "replicate" => subject
                .replicate
                .map_or(differs, |number| self.compare(&Value::from(number))),
            path => subject
                .spec
                .and_then(|spec| lookup(spec, path))
                .map_or(differs, |value| self.compare(value)),
        }
    }

    fn compare(&self, value: &Value) -> bool {
        match (value, self.number) {
            (Value::Number(left), Some(right)) => left
                .as_f64()
                .is_some_and(|left| self.operator.holds(left, right)),
            (Value::String(text), _) => self.compare_text(text),
            _ => self.compare_text(&canonical(value)),
        }
    }

    fn compare_text(&self, text: &str) -> bool {
        match self.operator {
            Operator::Equal => glob(&self.text, text),
            Operator::NotEqual => !glob(&self.text, text),
            _ => false,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = self.operator.sign();
        write!(f, "{}{sign}{}", self.field, self.text)
    }
}

impl Operator {
    /// How it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }

    #[expect(
        clippy::float_cmp,
        reason = "both were read from decimals: equal texts give equal doubles"
    )]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
        }
    }
}

fn wrong(part: &str, message: impl Into<String>) -> SelectorError {
    SelectorError {
        part: part.to_owned(),
        message: message.into(),
        unknown: None,
    }
}

/// The parts of a selector, separated by white space outside double quotes.
fn split(text: &str) -> Result<Vec<String>, SelectorError> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                parts.extend((!part.is_empty()).then(|| std::mem::take(&mut part)));
            }
            c => part.push(c),
        }
    }
    if quoted {
        return Err(wrong(text, "has a quote that does not end"));
    }
    parts.extend((!part.is_empty()).then_some(part));
    Ok(parts)
}

/// Whether `text` matches `pattern`: `*` stands for any characters, `?` for
/// one.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last `*` is, and how much of the text it has taken.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
