//! Reading a script: does it parse as the body of a function, and what does its tree say about it.

use boa_ast::function::FunctionBody;
use boa_ast::scope::Scope;
use boa_ast::statement::Statement;
use boa_ast::{Expression, Spanned, StatementListItem};
use boa_interner::Interner;
use boa_parser::{Error as ParseError, Parser, Source, lexer::error::Error as LexError};
use engine::script::lanes::{self, Analysis};
use engine::script::tree::Tree;
use engine::script::{Failure, FailureKind};

use super::convert;
use super::failure::shorten;
use crate::config::MAX_SUBSTITUTED;

/// Deepest nesting of brackets; a cheap scan before the parser, which recurses.
const MAX_NESTING: usize = 400;

/// What stands before and after the author's text when a script becomes a function.
pub(super) const HEAD: &str = "(function (claims) {\n";
/// See [`HEAD`].
pub(super) const TAIL: &str = "\n})";

/// Reads `source`; every name it calls counts as a criteria script it may mean.
pub(super) fn read(name: &str, source: &str) -> Result<Analysis, Failure> {
    tree(name, source).map(|tree| lanes::analyse(&tree, &|_| true))
}

/// Reads `source` as our own syntax tree.
pub(crate) fn tree(name: &str, source: &str) -> Result<Tree, Failure> {
    let refuse = |message: &str, place: Option<(u32, u32)>| Failure {
        kind: FailureKind::Syntax,
        script: name.to_owned(),
        message: shorten(message),
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
    };
    if source.len() > MAX_SUBSTITUTED {
        return Err(refuse("the script is longer than 1 MiB", None));
    }
    if let Nesting::TooDeep(place) = scan(source) {
        return Err(refuse("brackets are nested more than 400 deep", Some(place)));
    }
    let mut interner = Interner::new();
    match read_function(source, &mut interner) {
        Ok(Some(body)) => Ok(convert::tree(&body, &interner)),
        Ok(None) => {
            let (message, place) = blame(source, None);
            Err(refuse(&message, Some(place)))
        }
        Err(error) => {
            let (message, place) = blame(source, Some(&error));
            Err(refuse(&message, Some(place)))
        }
    }
}

/// The body of the function that `source` becomes; none when the text ends that function early and goes on behind it.
fn read_function(source: &str, interner: &mut Interner) -> Result<Option<FunctionBody>, ParseError> {
    let whole = format!("{HEAD}{source}{TAIL}");
    let script = Parser::new(Source::from_bytes(&whole)).parse_script(&Scope::new_global(), interner)?;
    let [StatementListItem::Statement(only)] = &**script.statements() else {
        return Ok(None);
    };
    match only.as_ref() {
        Statement::Expression(Expression::Parenthesized(inner)) => match inner.expression() {
            Expression::FunctionExpression(function) => Ok(Some(function.body().clone())),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// What is wrong and where, in the author's text; `error` is what the parser said about the function the text became.
fn blame(source: &str, error: Option<&ParseError>) -> (String, (u32, u32)) {
    // The parser says it best when it sees the text alone, but takes a `}` for the end and does not ask what follows.
    let alone = Parser::new(Source::from_bytes(source)).parse_function_body(&mut Interner::new(), false, false);
    if let Err(error) = alone {
        let (message, place) = explain(&error);
        return (message, place.unwrap_or_else(|| end_of(source)));
    }
    let explained = error.map(explain);
    let in_text = explained.as_ref().and_then(|(_, place)| author_place((*place)?, source));
    match (explained, in_text, scan(source)) {
        (Some((message, _)), Some(place), _) => (message, place),
        (_, None, Nesting::Stray(place)) => ("`}` without `{`".to_owned(), place),
        // What is wrong is between the text and the parameter that the function around it has.
        (Some((message, _)), None, _) => (message, (1, 1)),
        (None, _, _) => ("`}` without `{`".to_owned(), end_of(source)),
    }
}

/// The place in the author's text of a place in the function it became, when it is in that text.
fn author_place((line, column): (u32, u32), source: &str) -> Option<(u32, u32)> {
    let line = line.checked_sub(1).filter(|line| *line > 0)?;
    (line <= end_of(source).0).then_some((line, column))
}

/// The parser's message without the place it ends with, and the place.
fn explain(error: &ParseError) -> (String, Option<(u32, u32)>) {
    let place = match error {
        ParseError::Expected { span, .. } | ParseError::Unexpected { span, .. } => Some(span.start()),
        ParseError::General { position, .. } => Some(*position),
        ParseError::Lex { err: LexError::Syntax(_, position) } => Some(*position),
        ParseError::Lex { err: LexError::IO(_) } | ParseError::AbruptEnd | ParseError::ScopeAnalysis { .. } => None,
    };
    let text = match error {
        ParseError::AbruptEnd => "the script ends too early".to_owned(),
        _ => error.to_string(),
    };
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    (message, place.map(|place| (place.line_number(), place.column_number())))
}

fn end_of(source: &str) -> (u32, u32) {
    let line = u32::try_from(source.split('\n').count()).unwrap_or(u32::MAX);
    let last = source.rsplit('\n').next().unwrap_or_default();
    (line, u32::try_from(last.chars().count()).unwrap_or(u32::MAX).saturating_add(1))
}

/// What counting brackets finds.
enum Nesting {
    Fine,
    TooDeep((u32, u32)),
    /// A closing bracket too many.
    Stray((u32, u32)),
}

/// Counts brackets. Texts are skipped; in comments and regular expressions brackets count as elsewhere.
fn scan(source: &str) -> Nesting {
    let (mut depth, mut line, mut column) = (0_usize, 1, 0);
    let mut stray = None;
    let mut quote: Option<char> = None;
    let mut chars = source.chars();
    while let Some(char) = chars.next() {
        column += 1;
        if char == '\n' {
            line += 1;
            column = 0;
        }
        if let Some(open) = quote {
            if char == '\\' {
                chars.next();
                column += 1;
            } else if char == open || (char == '\n' && open != '`') {
                quote = None;
            }
            continue;
        }
        match char {
            '"' | '\'' | '`' => quote = Some(char),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => stray = stray.or(Some((line, column))),
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth > MAX_NESTING {
            return Nesting::TooDeep((line, column));
        }
    }
    stray.map_or(Nesting::Fine, Nesting::Stray)
}

/// A span of the function in our own terms, which are the author's: one line up.
pub(super) fn span(node: &impl Spanned) -> engine::script::tree::Span {
    let place = |position: boa_ast::Position| engine::script::tree::Position {
        line: position.line_number().saturating_sub(1),
        column: position.column_number(),
    };
    let span = node.span();
    engine::script::tree::Span { start: place(span.start()), end: place(span.end()) }
}
