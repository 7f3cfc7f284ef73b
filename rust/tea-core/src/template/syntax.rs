//! From text to tree: minijinja's parser, and the checks of what is in the language.

use std::rc::Rc;
use std::sync::Arc;

use minijinja::machinery::{ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;

use super::filters::{self, Function};
use super::methods::METHODS;
use super::tokens;
use super::tree::{Arguments, Comparison, Expression, For, LoopMethod, Sign, Statement, Target};
use crate::errors::Error;
use crate::nearest::nearest;
use crate::text::quoted;
use crate::value::Value;

const NO_STARS: &str = "* and ** arguments are not part of the template language";

fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    builder.build().unwrap_or_default()
}

/// The statements of a text.
///
/// # Errors
/// `TemplateError` where it is not well formed, or uses what is not in the language.
pub(super) fn parse_text(text: &str) -> Result<Vec<Statement>, Error> {
    let syntax = syntax();
    let source = tokens::without_plus_signs(text, false, &syntax);
    tokens::check(&source, false, &syntax)?;
    match parse(&source, "", syntax) {
        Ok(ast::Stmt::Template(template)) => statements(&template.children),
        Ok(_) => Err(Error::template("not a well-formed template")),
        Err(error) => Err(malformed(&error, text)),
    }
}

/// The tree of a bare expression. Errors as for `parse_text`.
pub(super) fn parse_expression(text: &str) -> Result<Expression, Error> {
    let source = tokens::without_plus_signs(text, true, &syntax());
    tokens::check(&source, true, &syntax())?;
    expression(&parse_expr(&source).map_err(|error| malformed(&error, text))?)
}

pub(super) fn malformed(error: &minijinja::Error, text: &str) -> Error {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), ToString::to_string);
    if let Some(name) = detail.strip_prefix("unknown statement ") {
        return Error::template(format!(
            "not a well-formed template: Encountered unknown tag '{name}'."
        ));
    }
    let line = error.line().filter(|_| crate::text::strip(text).contains('\n'));
    let place = line.map_or_else(String::new, |line| format!(" in line {line} of the text"));
    Error::template(format!("not a well-formed template{place}: {detail}"))
}

fn refused<T>(what: &str) -> Result<T, Error> {
    Err(Error::template(format!("{what} is not part of the template language")))
}

fn statements(list: &[ast::Stmt<'_>]) -> Result<Vec<Statement>, Error> {
    let mut all = Vec::with_capacity(list.len());
    for each in list {
        match each {
            ast::Stmt::EmitRaw(raw) => add_text(&mut all, raw.raw),
            other => all.push(statement(other)?),
        }
    }
    Ok(all)
}

/// Add plain text, with a path to `variables.name` in the place of each `${name}`.
fn add_text(all: &mut Vec<Statement>, text: &str) {
    let mut rest = text;
    let mut from = 0;
    while let Some(found) = rest[from..].find("${") {
        let start = from + found;
        let Some(name) = variable_name(&rest[start..]) else {
            from = start + 2;
            continue;
        };
        if start > 0 {
            all.push(Statement::Text(rest[..start].into()));
        }
        all.push(Statement::Emit(Expression::Member(
            Box::new(Expression::Name("variables".into())),
            Box::new(Expression::Constant(Value::text(name))),
        )));
        rest = &rest[start + name.len() + 3..];
        from = 0;
    }
    if !rest.is_empty() {
        all.push(Statement::Text(rest.into()));
    }
}

/// The name in a text that begins with `${name}`.
pub(super) fn variable_name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix("${")?.split_once('}')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(name)
}

fn statement(stmt: &ast::Stmt<'_>) -> Result<Statement, Error> {
    Ok(match stmt {
        ast::Stmt::EmitRaw(raw) => Statement::Text(raw.raw.into()),
        ast::Stmt::EmitExpr(emit) => Statement::Emit(expression(&emit.expr)?),
        ast::Stmt::ForLoop(each) => {
            if each.recursive {
                return Err(Error::template(
                    "recursive loops are not part of the template language",
                ));
            }
            Statement::For(Box::new(For {
                target: target(&each.target)?,
                items: expression(&each.iter)?,
                filter: each.filter_expr.as_ref().map(expression).transpose()?,
                body: statements(&each.body)?,
                otherwise: statements(&each.else_body)?,
            }))
        }
        ast::Stmt::IfCond(cond) => Statement::If {
            test: expression(&cond.expr)?,
            then: statements(&cond.true_body)?,
            otherwise: statements(&cond.false_body)?,
        },
        ast::Stmt::Set(set) => Statement::Set(target(&set.target)?, expression(&set.expr)?),
        ast::Stmt::SetBlock(set) => {
            if set.filter.is_some() {
                return refused("a filter on a set block");
            }
            Statement::SetBlock(target(&set.target)?, statements(&set.body)?)
        }
        ast::Stmt::CallBlock(_) => return refused("{% call %}"),
        ast::Stmt::FilterBlock(_) => return refused("{% filter %}"),
        ast::Stmt::FromImport(_) => return refused("{% from %}"),
        ast::Stmt::AutoEscape(_) => return refused("{% autoescape %}"),
        ast::Stmt::WithBlock(_) => return refused("{% with %}"),
        ast::Stmt::Macro(_) => return refused("{% macro %}"),
        ast::Stmt::Include(_) => return refused("{% include %}"),
        ast::Stmt::Import(_) => return refused("{% import %}"),
        ast::Stmt::Extends(_) => return refused("{% extends %}"),
        ast::Stmt::Block(_) => return refused("{% block %}"),
        ast::Stmt::Do(_) => return refused("{% do %}"),
        ast::Stmt::Continue(_) => return refused("{% continue %}"),
        ast::Stmt::Break(_) => return refused("{% break %}"),
        ast::Stmt::Template(_) => return refused("a template in a template"),
    })
}

fn target(expr: &ast::Expr<'_>) -> Result<Target, Error> {
    match expr {
        ast::Expr::Var(name) => {
            refuse_reserved(name.id)?;
            Ok(Target::Name(name.id.into()))
        }
        ast::Expr::List(list) => Ok(Target::Each(targets(&list.items)?)),
        ast::Expr::Tuple(list) => Ok(Target::Each(targets(&list.items)?)),
        _ => refused("setting a key of a value"),
    }
}

fn targets(list: &[ast::Expr<'_>]) -> Result<Vec<Target>, Error> {
    list.iter().map(target).collect()
}

fn refuse_reserved(name: &str) -> Result<(), Error> {
    match name {
        "self" => Err(Error::template("there is no name 'self' here")),
        "range" => Err(Error::template("range is not a value").hint("call it: range(3)")),
        _ => Ok(()),
    }
}

fn boxed(expr: &ast::Expr<'_>) -> Result<Box<Expression>, Error> {
    expression(expr).map(Box::new)
}

fn all(list: &[ast::Expr<'_>]) -> Result<Vec<Expression>, Error> {
    list.iter().map(expression).collect()
}

fn expression(expr: &ast::Expr<'_>) -> Result<Expression, Error> {
    Ok(match expr {
        ast::Expr::Var(name) => {
            refuse_reserved(name.id)?;
            Expression::Name(name.id.into())
        }
        ast::Expr::Const(constant) => Expression::Constant(value(&constant.value)?),
        ast::Expr::List(list) => Expression::List(all(&list.items)?),
        ast::Expr::Tuple(list) => Expression::List(all(&list.items)?),
        ast::Expr::Map(map) => {
            let pairs = map.keys.iter().zip(&map.values);
            let pairs: Result<_, Error> =
                pairs.map(|(key, value)| Ok((expression(key)?, expression(value)?))).collect();
            Expression::Map(pairs?)
        }
        ast::Expr::IfExpr(choice) => Expression::Choice {
            test: boxed(&choice.test_expr)?,
            then: boxed(&choice.true_expr)?,
            otherwise: choice.false_expr.as_ref().map(boxed).transpose()?,
        },
        ast::Expr::UnaryOp(unary) => match unary.op {
            ast::UnaryOpKind::Not => Expression::Not(boxed(&unary.expr)?),
            ast::UnaryOpKind::Neg => Expression::Negate(boxed(&unary.expr)?),
        },
        ast::Expr::BinOp(binary) => binary_expression(binary)?,
        ast::Expr::Compare(chain) => {
            let first = boxed(&chain.expr)?;
            let mut links = Vec::with_capacity(chain.ops.len());
            for link in &chain.ops {
                links.push((comparison(link.op), expression(&link.expr)?));
            }
            Expression::Compare(first, links)
        }
        ast::Expr::GetAttr(get) => Expression::Member(
            boxed(&get.expr)?,
            Box::new(Expression::Constant(Value::text(get.name))),
        ),
        ast::Expr::GetItem(get) => {
            Expression::Member(boxed(&get.expr)?, boxed(&get.subscript_expr)?)
        }
        ast::Expr::Slice(slice) => {
            let bound = |bound: &Option<ast::Expr<'_>>| bound.as_ref().map(expression).transpose();
            let value = boxed(&slice.expr)?;
            let bounds = [bound(&slice.start)?, bound(&slice.stop)?, bound(&slice.step)?];
            Expression::Slice(value, Box::new(bounds))
        }
        ast::Expr::Call(call) => call_expression(call)?,
        ast::Expr::Filter(filter) => {
            let Some(subject) = &filter.expr else { return refused("a filter block") };
            let function = used("filter", filter.name, &filter.args)?;
            Expression::Filter(boxed(subject)?, function, arguments(&filter.args)?)
        }
        ast::Expr::Test(test) => {
            let function = used("test", test.name, &test.args)?;
            Expression::Test(boxed(&test.expr)?, function, arguments(&test.args)?)
        }
    })
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
fn used(kind: &str, name: &str, args: &[ast::CallArg<'_>]) -> Result<&'static Function, Error> {
    let table = if kind == "filter" { filters::FILTERS } else { filters::TESTS };
    let Some(function) = filters::find(table, name) else {
        let hint = nearest(name, table.iter().map(|each| each.name));
        return Err(Error::template(format!("there is no {kind} {}", quoted(name))).hint(hint));
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
