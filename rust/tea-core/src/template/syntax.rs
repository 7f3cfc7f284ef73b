//! From text to tree: minijinja's parser, and the checks of what is in the language.

use minijinja::machinery::{ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;

use super::expressions::expression;
use super::filters::table;
use super::refusal::{refuse_reserved, refused};
use super::tokens;
use super::tree::{Arguments, Expression, For, Statement, Target};
use crate::errors::Error;
use crate::value::Value;

fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    builder.build().unwrap_or_default()
}

/// The statements of a text. With `environment`, an environment variable stands in for a variable
/// that there is not, and the text of `${name:-text}` for both.
///
/// # Errors
/// `TemplateError` where it is not well formed, or uses what is not in the language.
pub(super) fn parse_text(text: &str, environment: bool) -> Result<Vec<Statement>, Error> {
    let syntax = syntax();
    tokens::check(text, false, &syntax)?;
    match parse(text, "", syntax) {
        Ok(ast::Stmt::Template(template)) => statements(&template.children, environment),
        Ok(_) => Err(Error::template("not a well-formed template")),
        Err(error) => Err(malformed(&error, text)),
    }
}

/// The tree of a bare expression. Errors as for `parse_text`.
pub(super) fn parse_expression(text: &str) -> Result<Expression, Error> {
    tokens::check(text, true, &syntax())?;
    expression(&parse_expr(text).map_err(|error| malformed(&error, text))?)
}

fn malformed(error: &minijinja::Error, text: &str) -> Error {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), ToString::to_string);
    let line = error.line().filter(|_| crate::value::text::strip(text).contains('\n'));
    let place = line.map_or_else(String::new, |line| format!(" in line {line} of the text"));
    Error::template(format!("not a well-formed template{place}: {detail}"))
}

fn statements(list: &[ast::Stmt<'_>], environment: bool) -> Result<Vec<Statement>, Error> {
    let mut all = Vec::with_capacity(list.len());
    for each in list {
        match each {
            ast::Stmt::EmitRaw(raw) => add_text(&mut all, raw.raw, environment),
            other => all.push(statement(other, environment)?),
        }
    }
    Ok(all)
}

/// Add plain text, with a path to `variables.name` in the place of each `${name}`.
fn add_text(all: &mut Vec<Statement>, text: &str, environment: bool) {
    let mut rest = text;
    let mut from = 0;
    while let Some(found) = rest[from..].find("${") {
        let start = from + found;
        let Some((inner, _)) = rest[start + 2..].split_once('}') else { break };
        let (name, otherwise) = match inner.split_once(":-").filter(|_| environment) {
            Some((name, text)) => (name, Some(text)),
            None => (inner, None),
        };
        if !is_name(name) {
            from = start + 2;
            continue;
        }
        if start > 0 {
            all.push(Statement::Text(rest[..start].into()));
        }
        let variable = member("variables", name);
        all.push(Statement::Emit(match environment {
            true => or_environment(variable, name, otherwise),
            false => variable,
        }));
        rest = &rest[start + inner.len() + 3..];
        from = 0;
    }
    if !rest.is_empty() {
        all.push(Statement::Text(rest.into()));
    }
}

fn member(scope: &str, name: &str) -> Expression {
    Expression::Member(
        Box::new(Expression::Name(scope.into())),
        Box::new(Expression::Constant(Value::text(name))),
    )
}

/// The variable, else the environment's of the same name, else the text.
fn or_environment(variable: Expression, name: &str, otherwise: Option<&str>) -> Expression {
    let default = |value: Expression, values: Vec<Expression>| match table::filter("default") {
        Some(filter) => {
            Expression::Filter(Box::new(value), filter, Arguments { values, names: Vec::new() })
        }
        None => value,
    };
    let mut environment = member("env", name);
    if let Some(text) = otherwise {
        let values = [Value::text(text), Value::Bool(true)].map(Expression::Constant);
        environment = default(environment, values.into());
    }
    default(variable, vec![environment])
}

/// The name in a text that begins with `${name}`.
pub(super) fn variable_name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix("${")?.split_once('}')?;
    is_name(name).then_some(name)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn statement(stmt: &ast::Stmt<'_>, environment: bool) -> Result<Statement, Error> {
    let statements = |list: &[ast::Stmt<'_>]| statements(list, environment);
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

/// Put `variables.name` in the place of each `${name}` of an expression that is not in quotes.
///
/// # Errors
/// `TemplateError` where there is one inside quotes.
pub(super) fn variables_outside_quotes(text: &str) -> Result<String, Error> {
    let mut filled = String::new();
    let mut quote = None;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let mut taken = character.len_utf8();
        match (quote, character) {
            (Some(_), '\\') => taken += rest.chars().nth(1).map_or(0, char::len_utf8),
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (_, '$') => {
                if let Some(name) = variable_name(rest) {
                    if quote.is_some() {
                        return Err(Error::template("${name} is not filled in inside quotes")
                            .hint("write variables.name"));
                    }
                    filled.push_str("variables.");
                    filled.push_str(name);
                    rest = &rest[name.len() + 3..];
                    continue;
                }
            }
            _ => {}
        }
        filled.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Ok(filled)
}
