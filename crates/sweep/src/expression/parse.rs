//! The grammar of expressions, loosest first: `||`, `&&`, one comparison,
//! `+ -`, `* / %`, unary `- !`, `^` (to the right), then numbers, texts,
//! names, calls and parentheses.

use swath_model::limits::OPERATORS_MAX;
use swath_model::suggest::nearest;

use super::{ExpressionError, FUNCTIONS, Operator, Quantity, Term};

/// A longer expression is a mistake.
const LENGTH_MAX: usize = 4096;
/// The most levels of nested parentheses.
const DEPTH_MAX: usize = 64;

impl Operator {
    /// Two-character symbols come first, so that `<=` is not read as `<`.
    const SYMBOLS: [(&str, Self); 14] = [
        ("||", Self::Or),
        ("&&", Self::And),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::LessEqual),
        (">=", Self::GreaterEqual),
        ("<", Self::Less),
        (">", Self::Greater),
        ("+", Self::Add),
        ("-", Self::Subtract),
        ("*", Self::Multiply),
        ("/", Self::Divide),
        ("%", Self::Remainder),
        ("^", Self::Power),
    ];

    pub(super) fn symbol(self) -> &'static str {
        Self::SYMBOLS
            .iter()
            .find(|(_, operator)| *operator == self)
            .map_or("", |(symbol, _)| symbol)
    }

    fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual => COMPARISON,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Remainder => 5,
            Self::Power => POWER,
        }
    }
}

const COMPARISON: u8 = 3;
const UNARY: u8 = 6;
const POWER: u8 = 7;

type Parsed<T> = Result<T, ExpressionError>;

/// The names that an expression reads, and where.
type Names = Vec<(String, usize)>;

pub(super) fn parse(text: &str) -> Parsed<(Term, Names)> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        operators: 0,
        names: Vec::new(),
    };
    if text.len() > LENGTH_MAX {
        return Err(wrong(0, format!("is longer than {LENGTH_MAX} characters")));
    }
    parser.skip_spaces();
    if parser.rest().starts_with('=') && !parser.rest().starts_with("==") {
        parser.at += 1;
    }
    let root = parser.above(0)?;
    parser.skip_spaces();
    if parser.rest().is_empty() {
        Ok((root, parser.names))
    } else {
        Err(parser.unexpected("an operator or the end"))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    operators: usize,
    names: Names,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn unexpected(&self, expected: &str) -> ExpressionError {
        match self.rest().chars().next() {
            Some('=') => wrong(self.at, "`=` compares nothing; write `==`"),
            Some('&') => wrong(self.at, "a lone `&`; write `&&`"),
            Some('|') => wrong(self.at, "a lone `|`; write `||`"),
            Some(other) => wrong(self.at, format!("`{other}` where {expected} should be")),
            None => wrong(self.at, format!("ends where {expected} should be")),
        }
    }

    /// The operator that comes next; it is not consumed.
    fn operator(&mut self) -> Option<Operator> {
        self.skip_spaces();
        let rest = self.rest();
        Operator::SYMBOLS
            .iter()
            .find(|(symbol, _)| rest.starts_with(symbol))
            .map(|(_, operator)| *operator)
    }

    /// Parses everything whose operators bind tighter than `floor`.
    fn above(&mut self, floor: u8) -> Parsed<Term> {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator() {
            let precedence = operator.precedence();
            if precedence <= floor {
                break;
            }
            let at = self.at;
            // Each makes the tree one level deeper, if it stands in a row.
            self.operators += 1;
            if self.operators > OPERATORS_MAX {
                return Err(wrong(
                    at,
                    format!("has more than {OPERATORS_MAX} operators"),
                ));
            }
            self.at += operator.symbol().len();
            let right = match operator {
                // `2 ^ 3 ^ 2` is 2 ^ 9, and `2 ^ -1` is a half.
                Operator::Power => self.nested(Self::power_operand)?,
                _ => self.above(precedence)?,
            };
            left = Term::Binary(operator, Box::new(left), Box::new(right), at);
            if precedence == COMPARISON
                && let Some(next) = self.operator()
                && next.precedence() == COMPARISON
            {
                return Err(wrong(self.at, "compares a comparison; join two with `&&`"));
            }
        }
        Ok(left)
    }

    fn power_operand(&mut self) -> Parsed<Term> {
        let base = self.unary()?;
        match self.operator() {
            Some(Operator::Power) => {
                let at = self.at;
                self.at += 1;
                let exponent = self.nested(Self::power_operand)?;
                Ok(Term::Binary(
                    Operator::Power,
                    Box::new(base),
                    Box::new(exponent),
                    at,
                ))
            }
            _ => Ok(base),
        }
    }

    fn unary(&mut self) -> Parsed<Term> {
        self.skip_spaces();
        let at = self.at;
        let make: fn(Box<Term>, usize) -> Term = match self.rest().chars().next() {
            Some('-') => Term::Negative,
            Some('!') if !self.rest().starts_with("!=") => Term::Not,
            _ => return self.atom(),
        };
        self.at += 1;
        // `-2 ^ 2` is -(2 ^ 2).
        let inner = self.nested(|parser| parser.above(UNARY))?;
        Ok(make(Box::new(inner), at))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == DEPTH_MAX {
            return Err(wrong(self.at, format!("is nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn atom(&mut self) -> Parsed<Term> {
        match self.rest().chars().next() {
            Some('(') => {
                self.at += 1;
                let inner = self.nested(|parser| parser.above(0))?;
                self.expect(')', "an operator or `)`")?;
                Ok(inner)
            }
            Some(quote @ ('"' | '\'')) => self.text(quote),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name_or_call(),
            _ => Err(self.unexpected("a number, a parameter or `(`")),
        }
    }

    fn expect(&mut self, wanted: char, expected: &str) -> Parsed<()> {
        self.skip_spaces();
        if self.rest().starts_with(wanted) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    fn text(&mut self, quote: char) -> Parsed<Term> {
        let start = self.at;
        self.at += 1;
        let text = self.take_while(|c| c != quote);
        if self.rest().is_empty() {
            return Err(wrong(start, format!("a text without its closing {quote}")));
        }
        self.at += 1;
        Ok(Term::Constant(Quantity::Text(text.to_owned())))
    }

    fn number(&mut self) -> Parsed<Term> {
        let start = self.at;
        let digit = |c: char| c.is_ascii_digit() || c == '_';
        self.take_while(|c| digit(c) || c == '.');
        if self.rest().starts_with(['e', 'E']) {
            let mantissa = self.at;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            if self.take_while(digit).is_empty() {
                self.at = mantissa;
            }
        }
        let text = self.text[start..self.at].replace('_', "");
        match text.parse() {
            Ok(number) if f64::is_finite(number) => Ok(Term::Constant(Quantity::Number(number))),
            _ => Err(wrong(start, format!("`{text}` is not a number"))),
        }
    }

    fn name_or_call(&mut self) -> Parsed<Term> {
        let start = self.at;
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        self.skip_spaces();
        if self.rest().starts_with('(') {
            return self.call(name, start);
        }
        match name {
            "true" => Ok(Term::Constant(Quantity::Truth(true))),
            "false" => Ok(Term::Constant(Quantity::Truth(false))),
            _ => {
                self.names.push((name.to_owned(), start));
                Ok(Term::Name(name.to_owned(), start))
            }
        }
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed<Term> {
        let known = FUNCTIONS.iter().find(|(known, _)| *known == name);
        let Some((_, function)) = known else {
            let names = FUNCTIONS.map(|(name, _)| name);
            let message = match nearest(name, names) {
                Some(near) => format!("unknown function `{name}`; did you mean `{near}`?"),
                None => format!("unknown function `{name}`; there are {}", names.join(", ")),
            };
            return Err(wrong(start, message));
        };
        self.at += 1;
        let mut arguments = vec![self.nested(|parser| parser.above(0))?];
        self.skip_spaces();
        while self.rest().starts_with(',') {
            self.at += 1;
            arguments.push(self.nested(|parser| parser.above(0))?);
            self.skip_spaces();
        }
        self.expect(')', "`,` or `)`")?;
        let variadic = matches!(name, "min" | "max");
        if arguments.len() > 1 && !variadic {
            let count = arguments.len();
            return Err(wrong(
                start,
                format!("`{name}` takes one argument, not {count}"),
            ));
        }
        Ok(Term::Call(*function, arguments, start))
    }
}

fn wrong(offset: usize, message: impl Into<String>) -> ExpressionError {
    ExpressionError {
        offset,
        message: message.into(),
    }
}
