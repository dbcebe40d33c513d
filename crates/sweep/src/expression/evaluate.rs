//! Values of expressions.

use super::{EvaluationError, ExpressionError, Function, NoValue, Operator, Quantity, Term};

type Lookup<'a> = dyn FnMut(&str) -> Result<Quantity, NoValue> + 'a;
type Evaluated<T> = Result<T, EvaluationError>;

pub(super) fn evaluate(term: &Term, lookup: &mut Lookup<'_>) -> Evaluated<Quantity> {
    match term {
        Term::Constant(quantity) => Ok(quantity.clone()),
        Term::Name(name, at) => lookup(name).map_err(|none| match none {
            NoValue::Missing(message) => wrong(*at, message),
            NoValue::Failed => EvaluationError::Elsewhere,
        }),
        Term::Negative(inner, at) => Ok(Quantity::Number(-number(
            evaluate(inner, lookup)?,
            *at,
            "-",
        )?)),
        Term::Not(inner, at) => Ok(Quantity::Truth(!truth(evaluate(inner, lookup)?, *at, "!")?)),
        Term::Binary(operator, left, right, at) => binary(*operator, left, right, *at, lookup),
        Term::Call(function, arguments, at) => {
            let mut numbers = Vec::with_capacity(arguments.len());
            for argument in arguments {
                numbers.push(number(evaluate(argument, lookup)?, *at, "this function")?);
            }
            finite(call(*function, &numbers), *at)
        }
    }
}

fn binary(
    operator: Operator,
    left: &Term,
    right: &Term,
    at: usize,
    lookup: &mut Lookup<'_>,
) -> Evaluated<Quantity> {
    let symbol = operator.symbol();
    if let Operator::And | Operator::Or = operator {
        // The right side may have no value if the left side decides the result.
        let left = truth(evaluate(left, lookup)?, at, symbol)?;
        if left == (operator == Operator::Or) {
            return Ok(Quantity::Truth(left));
        }
        let right = truth(evaluate(right, lookup)?, at, symbol)?;
        return Ok(Quantity::Truth(right));
    }
    let (left, right) = (evaluate(left, lookup)?, evaluate(right, lookup)?);
    if let Operator::Equal | Operator::NotEqual = operator {
        let same = equal(&left, &right).ok_or_else(|| {
            let (left, right) = (left.kind(), right.kind());
            wrong(at, format!("`{symbol}` compares {left} with {right}"))
        })?;
        return Ok(Quantity::Truth(same == (operator == Operator::Equal)));
    }
    let left = number(left, at, symbol)?;
    let right = number(right, at, symbol)?;
    let value = match operator {
        Operator::Less => return Ok(Quantity::Truth(left < right)),
        Operator::LessEqual => return Ok(Quantity::Truth(left <= right)),
        Operator::Greater => return Ok(Quantity::Truth(left > right)),
        Operator::GreaterEqual => return Ok(Quantity::Truth(left >= right)),
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide | Operator::Remainder if right == 0.0 => {
            return Err(wrong(at, "divides by 0".to_owned()));
        }
        Operator::Divide => left / right,
        Operator::Remainder => left % right,
        _ => left.powf(right),
    };
    finite(value, at)
}

/// Whether two quantities of one kind are equal. Numbers are compared to 12
/// significant digits, as they are written into a cell.
fn equal(left: &Quantity, right: &Quantity) -> Option<bool> {
    match (left, right) {
        (Quantity::Number(left), Quantity::Number(right)) => {
            let near = (left - right).abs() <= 1e-12 * left.abs().max(right.abs());
            Some(near)
        }
        (Quantity::Text(left), Quantity::Text(right)) => Some(left == right),
        (Quantity::Truth(left), Quantity::Truth(right)) => Some(left == right),
        _ => None,
    }
}

fn call(function: Function, numbers: &[f64]) -> f64 {
    let first = numbers.first().copied().unwrap_or(f64::NAN);
    match function {
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Sqrt => first.sqrt(),
        Function::Log2 => first.log2(),
        Function::Round => first.round(),
        Function::Floor => first.floor(),
        Function::Ceil => first.ceil(),
    }
}

fn finite(value: f64, at: usize) -> Evaluated<Quantity> {
    if value.is_finite() {
        Ok(Quantity::Number(value))
    } else {
        Err(wrong(at, format!("gives {value}, which is not a number")))
    }
}

fn number(quantity: Quantity, at: usize, who: &str) -> Evaluated<f64> {
    match quantity {
        Quantity::Number(number) => Ok(number),
        other => Err(wrong(at, format!("`{who}` needs a number, not {other}"))),
    }
}

fn truth(quantity: Quantity, at: usize, who: &str) -> Evaluated<bool> {
    match quantity {
        Quantity::Truth(truth) => Ok(truth),
        other => Err(wrong(
            at,
            format!("`{who}` needs true or false, not {other}"),
        )),
    }
}

fn wrong(offset: usize, message: String) -> EvaluationError {
    EvaluationError::Here(ExpressionError { offset, message })
}
