//! Expressions over the parameters of a cell: `0.1 * batch_size / 128`.
//!
//! They are parsed and their names checked once, when the file is read, and
//! evaluated once per cell.

mod evaluate;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

/// A parsed expression and the text it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    root: Term,
    names: Vec<(String, usize)>,
}

/// What is wrong in an expression, and at which byte of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// The byte offset in the text.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a name has no value for an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoValue {
    /// The parameter has no value here; the message says what to do.
    Missing(String),
    /// The parameter is itself an expression that failed and was reported.
    Failed,
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationError {
    /// The expression itself is wrong.
    Here(ExpressionError),
    /// A name in it failed, which was reported there.
    Elsewhere,
}

/// A value that an expression computes with.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A number.
    Number(f64),
    /// A text or word.
    Text(String),
    /// A truth value.
    Truth(bool),
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Constant(Quantity),
    Name(String, usize),
    Negative(Box<Self>, usize),
    Not(Box<Self>, usize),
    Binary(Operator, Box<Self>, Box<Self>, usize),
    Call(Function, Vec<Self>, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Sqrt,
    Log2,
    Round,
    Floor,
    Ceil,
}

const FUNCTIONS: [(&str, Function); 7] = [
    ("min", Function::Min),
    ("max", Function::Max),
    ("sqrt", Function::Sqrt),
    ("log2", Function::Log2),
    ("round", Function::Round),
    ("floor", Function::Floor),
    ("ceil", Function::Ceil),
];

impl Expression {
    /// Parses `text`; a leading `=` is allowed.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let (root, names) = parse::parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            root,
            names,
        })
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each name it reads, with the byte where it stands.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(|(name, at)| (name.as_str(), *at))
    }

    /// Whether it computes something, and is not just a name or a constant.
    pub fn computes(&self) -> bool {
        !matches!(self.root, Term::Constant(_) | Term::Name(..))
    }

    /// The same with other names.
    #[must_use]
    pub fn renamed(self, rename: &dyn Fn(&str) -> String) -> Self {
        let names = self.names.into_iter();
        Self {
            text: self.text,
            root: self.root.renamed(rename),
            names: names.map(|(name, at)| (rename(&name), at)).collect(),
        }
    }

    /// Its value; `lookup` gives the values of names.
    pub fn evaluate(
        &self,
        lookup: &mut dyn FnMut(&str) -> Result<Quantity, NoValue>,
    ) -> Result<Quantity, EvaluationError> {
        evaluate::evaluate(&self.root, lookup)
    }
}

impl Term {
    fn renamed(self, rename: &dyn Fn(&str) -> String) -> Self {
        let boxed = |term: Box<Self>| Box::new(term.renamed(rename));
        match self {
            Self::Constant(_) => self,
            Self::Name(name, at) => Self::Name(rename(&name), at),
            Self::Negative(of, at) => Self::Negative(boxed(of), at),
            Self::Not(of, at) => Self::Not(boxed(of), at),
            Self::Binary(operator, left, right, at) => {
                Self::Binary(operator, boxed(left), boxed(right), at)
            }
            Self::Call(function, terms, at) => {
                let terms = terms.into_iter().map(|term| term.renamed(rename));
                Self::Call(function, terms.collect(), at)
            }
        }
    }
}

impl Quantity {
    /// The quantity for a parameter's value; lists and tables are none.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(Self::Truth(*truth)),
            Value::Number(number) => number.as_f64().map(Self::Number),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The value for a parameter: a number is rounded to 12 significant digits,
    /// so that `0.1 * 96 / 128` equals the 0.075 that a person would write.
    pub fn into_value(self) -> Value {
        match self {
            Self::Number(number) => number_value(rounded(number)),
            Self::Text(text) => Value::String(text),
            Self::Truth(truth) => Value::Bool(truth),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Truth(_) => "true or false",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Truth(truth) => write!(f, "{truth}"),
        }
    }
}

/// `number` rounded to 12 significant digits.
pub fn rounded(number: f64) -> f64 {
    format!("{number:.11e}").parse().unwrap_or(number)
}

/// A number as JSON; whole numbers without a fraction.
pub(super) fn number_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}
