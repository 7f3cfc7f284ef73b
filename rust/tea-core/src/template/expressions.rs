//! From the parser's expressions to ours, and the checks of what is in the language.

use std::rc::Rc;
use std::sync::Arc;

use minijinja::machinery::ast;

use super::filters::function::Function;
use super::filters::table;
use super::methods::METHODS;
use super::refusal::{refuse_reserved, refused};
use super::tree::{Arguments, Comparison, Expression, LoopMethod, Sign};
use crate::errors::Error;
use crate::spec::{FILTERS, TESTS};
use crate::suggest::nearest;
use crate::value::Value;

const NO_STARS: &str = "* and ** arguments are not part of the template language";

fn boxed(expr: &ast::Expr<'_>) -> Result<Box<Expression>, Error> {
    expression(expr).map(Box::new)
}

fn all(list: &[ast::Expr<'_>]) -> Result<Vec<Expression>, Error> {
    list.iter().map(expression).collect()
}

/// One level of a tree. Each kind has a function of its own: what they need must not add up on the
/// stack, level by level.
pub(super) fn expression(expr: &ast::Expr<'_>) -> Result<Expression, Error> {
    match expr {
        ast::Expr::Var(name) => name_expression(name.id),
        ast::Expr::Const(constant) => value(&constant.value).map(Expression::Constant),
        ast::Expr::List(list) => all(&list.items).map(Expression::List),
        ast::Expr::Tuple(list) => all(&list.items).map(Expression::List),
        ast::Expr::Map(map) => map_expression(map),
        ast::Expr::IfExpr(choice) => choice_expression(choice),
        ast::Expr::UnaryOp(unary) => unary_expression(unary),
        ast::Expr::BinOp(binary) => binary_expression(binary),
        ast::Expr::Compare(chain) => compare_expression(chain),
        ast::Expr::GetAttr(get) => {
            let key = Expression::Constant(Value::text(get.name));
            Ok(Expression::Member(boxed(&get.expr)?, Box::new(key)))
        }
        ast::Expr::GetItem(get) => item_expression(get),
        ast::Expr::Slice(slice) => slice_expression(slice),
        ast::Expr::Call(call) => call_expression(call),
        ast::Expr::Filter(filter) => filter_expression(filter),
        ast::Expr::Test(test) => test_expression(test),
    }
}

fn name_expression(name: &str) -> Result<Expression, Error> {
    refuse_reserved(name)?;
    Ok(Expression::Name(name.into()))
}

fn map_expression(map: &ast::Map<'_>) -> Result<Expression, Error> {
    let pairs = map.keys.iter().zip(&map.values);
    let pairs: Result<_, Error> =
        pairs.map(|(key, value)| Ok((expression(key)?, expression(value)?))).collect();
    pairs.map(Expression::Map)
}

fn choice_expression(choice: &ast::IfExpr<'_>) -> Result<Expression, Error> {
    Ok(Expression::Choice {
        test: boxed(&choice.test_expr)?,
        then: boxed(&choice.true_expr)?,
        otherwise: choice.false_expr.as_ref().map(boxed).transpose()?,
    })
}

fn unary_expression(unary: &ast::UnaryOp<'_>) -> Result<Expression, Error> {
    let value = boxed(&unary.expr)?;
    Ok(match unary.op {
        ast::UnaryOpKind::Not => Expression::Not(value),
        ast::UnaryOpKind::Neg => Expression::Negate(value),
    })
}

fn compare_expression(chain: &ast::Compare<'_>) -> Result<Expression, Error> {
    let first = boxed(&chain.expr)?;
    let mut links = Vec::with_capacity(chain.ops.len());
    for link in &chain.ops {
        links.push((comparison(link.op), expression(&link.expr)?));
    }
    Ok(Expression::Compare(first, links))
}

fn item_expression(get: &ast::GetItem<'_>) -> Result<Expression, Error> {
    let value = boxed(&get.expr)?;
    Ok(Expression::Member(value, boxed(&get.subscript_expr)?))
}

fn slice_expression(slice: &ast::Slice<'_>) -> Result<Expression, Error> {
    let bound = |bound: &Option<ast::Expr<'_>>| bound.as_ref().map(expression).transpose();
    let value = boxed(&slice.expr)?;
    let bounds = [bound(&slice.start)?, bound(&slice.stop)?, bound(&slice.step)?];
    Ok(Expression::Slice(value, Box::new(bounds)))
}

fn filter_expression(filter: &ast::Filter<'_>) -> Result<Expression, Error> {
    let Some(subject) = &filter.expr else { return refused("a filter block") };
    let function = used("filter", filter.name, &filter.args)?;
    Ok(Expression::Filter(boxed(subject)?, function, arguments(&filter.args)?))
}

fn test_expression(test: &ast::Test<'_>) -> Result<Expression, Error> {
    let function = used("test", test.name, &test.args)?;
    Ok(Expression::Test(boxed(&test.expr)?, function, arguments(&test.args)?))
}

fn value(constant: &minijinja::Value) -> Result<Value, Error> {
    use minijinja::value::ValueKind;
    let too_large = || Error::template("not a well-formed template: a number with too many digits");
    match constant.kind() {
        ValueKind::Bool => Ok(Value::Bool(constant.is_true())),
        ValueKind::Number if constant.is_integer() => {
            i128::try_from(constant.clone()).map(Value::Int).map_err(|_| too_large())
        }
        ValueKind::Number => {
            let number = f64::try_from(constant.clone()).map_err(|_| too_large())?;
            if number.is_finite() {
                Ok(Value::Float(number))
            } else {
                Err(Error::template("the number is too large"))
            }
        }
        ValueKind::String => Ok(Value::Text(Arc::from(constant.as_str().unwrap_or_default()))),
        _ => Ok(Value::Null),
    }
}

fn binary_expression(binary: &ast::BinOp<'_>) -> Result<Expression, Error> {
    use ast::BinOpKind as Kind;
    let compared = |comparison| {
        let left = boxed(&binary.left)?;
        Ok(Expression::Compare(left, vec![(comparison, expression(&binary.right)?)]))
    };
    let sign = match binary.op {
        Kind::Eq => return compared(Comparison::Equal),
        Kind::Ne => return compared(Comparison::Unequal),
        Kind::Lt => return compared(Comparison::Less),
        Kind::Lte => return compared(Comparison::LessOrEqual),
        Kind::Gt => return compared(Comparison::Greater),
        Kind::Gte => return compared(Comparison::GreaterOrEqual),
        Kind::In => return compared(Comparison::In),
        Kind::Pow => return refused("the operator **"),
        Kind::ScAnd => {
            return Ok(Expression::And(boxed(&binary.left)?, boxed(&binary.right)?));
        }
        Kind::ScOr => {
            return Ok(Expression::Or(boxed(&binary.left)?, boxed(&binary.right)?));
        }
        Kind::Concat => {
            return Ok(Expression::Concat(boxed(&binary.left)?, boxed(&binary.right)?));
        }
        Kind::Add => Sign::Add,
        Kind::Sub => Sign::Subtract,
        Kind::Mul => Sign::Multiply,
        Kind::Div => Sign::Divide,
        Kind::FloorDiv => Sign::FloorDivide,
        Kind::Rem => Sign::Remainder,
    };
    Ok(Expression::Calculate(boxed(&binary.left)?, sign, boxed(&binary.right)?))
}

fn comparison(op: ast::CompareOpKind) -> Comparison {
    use ast::CompareOpKind as Kind;
    match op {
        Kind::Eq => Comparison::Equal,
        Kind::Ne => Comparison::Unequal,
        Kind::Lt => Comparison::Less,
        Kind::Lte => Comparison::LessOrEqual,
        Kind::Gt => Comparison::Greater,
        Kind::Gte => Comparison::GreaterOrEqual,
        Kind::In => Comparison::In,
        Kind::NotIn => Comparison::NotIn,
    }
}

/// The filter or test that is named, when the arguments fit it.
fn used(kind: &str, name: &str, args: &[ast::CallArg<'_>]) -> Result<Function, Error> {
    let (find, rows): (fn(&str) -> Option<Function>, _) = match kind {
        "filter" => (table::filter, FILTERS),
        _ => (table::test, TESTS),
    };
    let Some(function) = find(name) else {
        let hint = nearest(name, rows.iter().map(|each| each.name));
        return Err(Error::template(format!("there is no {kind} {name:?}")).hint(hint));
    };
    let mut count = 0;
    let mut names = Vec::new();
    for arg in args {
        match arg {
            ast::CallArg::Pos(_) => count += 1,
            ast::CallArg::Kwarg(name, _) => names.push(*name),
            _ => return Err(Error::template(NO_STARS)),
        }
    }
    function
        .fits(count, &names)
        .map_err(|wrong| Error::template(format!("the {kind} {name}: {wrong}")))?;
    if name == "default" && args.is_empty() {
        return Err(Error::template("the filter default needs the value to use instead"));
    }
    Ok(function)
}

fn arguments(args: &[ast::CallArg<'_>]) -> Result<Arguments, Error> {
    let mut found = Arguments { values: Vec::new(), names: Vec::new() };
    for arg in args {
        match arg {
            ast::CallArg::Pos(value) => found.values.push(expression(value)?),
            ast::CallArg::Kwarg(name, value) => {
                found.names.push((Rc::from(*name), expression(value)?));
            }
            _ => return Err(Error::template(NO_STARS)),
        }
    }
    Ok(found)
}

fn call_expression(call: &ast::Call<'_>) -> Result<Expression, Error> {
    let splats = |arg: &ast::CallArg<'_>| {
        matches!(arg, ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_))
    };
    if call.args.iter().any(splats) {
        return Err(Error::template(NO_STARS));
    }
    let plain = call.args.iter().all(|arg| matches!(arg, ast::CallArg::Pos(_)));
    match &call.expr {
        ast::Expr::Var(name) if name.id == "range" && plain => {
            Ok(Expression::Range(arguments(&call.args)?.values))
        }
        ast::Expr::GetAttr(get) if plain => method_call(get, &call.args),
        ast::Expr::Var(name) => Err(not_callable(name.id)),
        _ => Err(not_callable("this")),
    }
}

fn method_call(get: &ast::GetAttr<'_>, args: &[ast::CallArg<'_>]) -> Result<Expression, Error> {
    let no_method = || {
        Error::template(format!("there is no method {}()", get.name))
            .hint(nearest(get.name, METHODS.iter().copied()))
    };
    if matches!(&get.expr, ast::Expr::Var(name) if name.id == "loop") {
        let method = match get.name {
            "cycle" => LoopMethod::Cycle,
            "changed" => LoopMethod::Changed,
            _ => return Err(no_method()),
        };
        return Ok(Expression::LoopCall(method, arguments(args)?.values));
    }
    if !METHODS.contains(&get.name) {
        return Err(no_method());
    }
    Ok(Expression::Method(boxed(&get.expr)?, get.name.into(), arguments(args)?.values))
}

fn not_callable(name: &str) -> Error {
    Error::template(format!("{name}() cannot be called")).hint(nearest(name, ["range"]))
}
