//! Texts, numbers and dates as JavaScript has them; whole scripts are compared with the JavaScript engine in the sandbox's tests.

mod hostile;

use time::{Date, Month};

use super::{Program, dates, texts};
use crate::script::ScriptKind;
use crate::script::tree::{Expr, ExprKind, Position, Span, Stmt, StmtKind, Tree};

#[test]
fn texts_count_in_units() {
    let text = "a\u{1F600}b";
    assert_eq!((texts::units(text), texts::find(text, "b"), texts::rfind(text, "a")), (4, Some(3), Some(0)));
    assert_eq!((texts::slice(text, 0, 1), texts::slice(text, 1, 3)), (Some("a"), Some("\u{1F600}")));
    assert_eq!((texts::slice(text, 0, 2), texts::slice(text, 3, 9)), (None, Some("b")));
    assert_eq!(texts::compare("\u{1F600}", "\u{FFFF}"), std::cmp::Ordering::Less);
}

#[test]
fn texts_become_numbers_only_without_doubt() {
    for (text, wanted) in [
        ("", Some(0.0)),
        (" 12 ", Some(12.0)),
        ("-1.5", Some(-1.5)),
        ("+7", Some(7.0)),
        ("1e3", None),
        ("0x10", None),
        (".5", None),
        ("1_000", None),
        ("Infinity", None),
        ("12345678901234567", None),
    ] {
        assert_eq!(texts::number(text), wanted, "{text}");
    }
    for text in ["abc", "1,5", "1 2", "ä"] {
        assert!(texts::number(text).is_some_and(f64::is_nan), "{text}");
    }
}

#[test]
fn numbers_become_texts_without_exponents_only() {
    for (number, wanted) in [
        (0.0, Some("0")),
        (-0.0, Some("0")),
        (0.1, Some("0.1")),
        (-12.0, Some("-12")),
        (1e20, Some("100000000000000000000")),
        (1e21, None),
        (1e-7, None),
        (f64::NAN, Some("NaN")),
        (f64::NEG_INFINITY, Some("-Infinity")),
    ] {
        assert_eq!(texts::of_number(number).as_deref(), wanted, "{number}");
    }
}

#[test]
fn dates_are_taken_apart_by_the_calendar() {
    for days in (-200_000..200_000).step_by(37) {
        let wanted = Date::from_calendar_date(1970, Month::January, 1).unwrap() + time::Duration::days(days);
        let parts = dates::parts(days as f64 * 86_400_000.0 + 3_661_001.0).unwrap();
        let month = i64::from(u8::from(wanted.month())) - 1;
        assert_eq!((parts.year, parts.month, parts.day), (i64::from(wanted.year()), month, i64::from(wanted.day())));
        assert_eq!(parts.weekday, i64::from(wanted.weekday().number_days_from_sunday()));
        assert_eq!((parts.hour, parts.minute, parts.second, parts.millisecond), (1, 1, 1, 1));
        if wanted.day() <= 28 && (1970..3000).contains(&wanted.year()) {
            assert_eq!(dates::parse(&wanted.to_string()), Some(days as f64 * 86_400_000.0));
        }
    }
    for text in
        ["2026-1-5", "2026-01-05 09:00", "2026-01-05T09:00:00", "2026-01-05T25:00:00Z", "05.01.2026", "2026-02-30"]
    {
        assert_eq!(dates::parse(text), None, "{text}");
    }
}

#[test]
fn a_program_may_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Program>();
}

#[test]
fn what_nests_too_deep_is_refused() {
    let position = Position { line: 1, column: 1 };
    let span = Span { start: position, end: position };
    let mut expr = Expr { span, kind: ExprKind::Null };
    for _ in 0..100 {
        expr = Expr { span, kind: ExprKind::Chain(Box::new(expr)) };
    }
    let tree = Tree { body: vec![Stmt { span: None, kind: StmtKind::Return(Some(expr)) }] };
    let refused = super::compile(&tree, ScriptKind::Policy, &|_| None).unwrap_err();
    assert_eq!(refused.what, "nests deeper than runs natively");
}
