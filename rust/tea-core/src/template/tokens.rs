//! Refuses templates by their tokens: those that are nested too deep, before anything follows the
//! nesting, and numbers that only some engines read.
//!
//! The parser and whoever walks its tree call themselves for each level, and a stack that runs
//! over ends the program. So the levels are counted in the tokens first.

use minijinja::machinery::{tokenize, Token};
use minijinja::syntax::SyntaxConfig;

use crate::errors::Error;

/// Operators in one chain, and twice the brackets around each other.
const MAX_LEVELS: usize = 200;
/// Statements inside each other, and branches of one `if`.
const MAX_STATEMENTS: usize = 80;

/// Count the levels of `text`; what is not well formed is left to the parser.
pub(super) fn check(text: &str, is_expression: bool, syntax: &SyntaxConfig) -> Result<(), Error> {
    let mut levels = vec![0_usize]; // the sum up to each open bracket
    let mut statements: Vec<usize> = Vec::new(); // branches of each open statement
    let mut starts = false;
    let mut sets = false; // inside {% set …, which opens a block unless there is a =
    for token in tokenize(text, is_expression, syntax.clone()) {
        let Ok((token, span)) = token else { return Ok(()) };
        let source = text.get(span.start_offset as usize..span.end_offset as usize);
        check_token(&token, source.unwrap_or_default())?;
        let base = if levels.len() > 1 { levels[levels.len() - 2] + 2 } else { 0 };
        let Some(level) = levels.last_mut() else { return Ok(()) };
        match token {
            Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd => levels = vec![0],
            Token::Comma | Token::Colon => *level = base,
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                let inner = *level + 2;
                levels.push(inner);
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                levels.pop();
                let Some(level) = levels.last_mut() else { return Ok(()) };
                *level += 1; // what follows a bracket contains it
            }
            Token::Ident("and" | "or" | "not" | "if" | "else" | "in" | "is") => *level += 1,
            Token::Ident(_) | Token::Str(_) | Token::String(_) => {}
            Token::Int(_) | Token::Int128(_) | Token::Float(_) => {}
            Token::VariableStart | Token::BlockStart => {}
            _ => *level += 1,
        }
        if starts {
            count_statement(&token, &mut statements);
        }
        match token {
            Token::Ident("set") if starts => sets = true,
            Token::Assign => sets = false,
            Token::BlockEnd if std::mem::take(&mut sets) => statements.push(1),
            _ => {}
        }
        starts = matches!(token, Token::BlockStart);
        let deep = levels.last().is_some_and(|level| *level > MAX_LEVELS);
        if deep || statements.iter().sum::<usize>() > MAX_STATEMENTS {
            return Err(Error::template("the expression is nested too deep"));
        }
    }
    Ok(())
}

fn count_statement(token: &Token<'_>, statements: &mut Vec<usize>) {
    match token {
        Token::Ident("if" | "for" | "macro" | "call" | "filter" | "with" | "block") => {
            statements.push(1);
        }
        Token::Ident("elif") => {
            if let Some(branches) = statements.last_mut() {
                *branches += 1;
            }
        }
        Token::Ident(word) if word.starts_with("end") => {
            statements.pop();
        }
        _ => {}
    }
}

/// Refuse a number with a needless zero before it, or with a point and nothing behind it, and a
/// sign for white space where there is nothing to keep.
fn check_token(token: &Token<'_>, source: &str) -> Result<(), Error> {
    let is_wrong = match token {
        Token::Int(_) | Token::Int128(_) => {
            let digits = source.trim_start_matches(['0', '_']);
            digits.len() < source.len() && digits.starts_with(|c: char| c.is_ascii_digit())
        }
        Token::Float(_) => source.ends_with('.'),
        Token::VariableEnd => source.starts_with('+'),
        _ => false,
    };
    if is_wrong {
        return Err(Error::template(format!("not a well-formed template: unexpected {source}")));
    }
    Ok(())
}
