//! Tables for people, JSON for programs, and errors in plain words.

use std::{fmt, io::Write as _};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

/// Form of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and sentences for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// Prints a line. Whoever was reading may have gone, as `head` does, and that is no reason to fail.
macro_rules! say {
    ($($text:tt)*) => {{
        let _is_read: bool = $crate::output::print_line(format_args!($($text)*));
    }};
}
pub(crate) use say;

/// Prints a line; false when nobody reads any more.
pub(crate) fn print_line(line: fmt::Arguments<'_>) -> bool {
    writeln!(std::io::stdout().lock(), "{line}").is_ok()
}

/// Prints a document for programs.
pub(crate) fn print_json(value: &Value) {
    say!("{value:#}");
}

/// Prints rows under headings.
pub(crate) fn print_table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row.into_iter().map(printable));
    }
    for line in table.to_string().lines() {
        say!("{}", line.trim());
    }
}

/// A time for people, to the second.
#[cfg(feature = "client")]
pub(crate) fn time(time: time::OffsetDateTime) -> String {
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    let zone = if time.offset().is_utc() { "Z".to_owned() } else { format!(" {}", time.offset()) };
    format!("{date} {hour:02}:{minute:02}:{second:02}{zone}")
}

/// Removes what would steer the terminal, or the order of what is shown, instead of being shown.
pub(crate) fn printable(text: String) -> String {
    if text.chars().any(engine::object::steers_display) {
        text.chars().map(|character| if engine::object::steers_display(character) { ' ' } else { character }).collect()
    } else {
        text
    }
}

/// Prints a line on the standard error output; without one there is nobody to tell.
pub(crate) fn warn(line: fmt::Arguments<'_>) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// Prints why a command failed.
pub(crate) fn print_error(error: &anyhow::Error, output: Output) {
    match output {
        Output::Table => {
            warn(format_args!("error: {error}"));
            error.chain().skip(1).for_each(|cause| warn(format_args!("  because: {cause}")));
            if let Some((_, advice)) = next_step(error) {
                warn(format_args!("  to do: {advice}"));
            }
        }
        Output::Json => {
            let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
            let mut members = json!({ "message": error.to_string(), "causes": causes });
            add_details(&mut members, error);
            if let (Some((code, advice)), Some(members)) = (next_step(error), members.as_object_mut()) {
                members.insert("code".to_owned(), code.into());
                members.insert("advice".to_owned(), advice.into());
            }
            warn(format_args!("{}", json!({ "error": members })));
        }
    }
}

/// The code of what a running client did not do, and what the user does about it.
#[cfg(feature = "client")]
fn next_step(error: &anyhow::Error) -> Option<(&str, &'static str)> {
    match error.chain().find_map(|cause| cause.downcast_ref::<client::ControlError>())? {
        client::ControlError::Refused(refusal) => Some((&refusal.code, client::advice(&refusal.code))),
        // Their own texts say what to do.
        _ => None,
    }
}

#[cfg(not(feature = "client"))]
fn next_step(_: &anyhow::Error) -> Option<(&str, &'static str)> {
    None
}

#[cfg(feature = "ctl")]
fn add_details(members: &mut Value, error: &anyhow::Error) {
    use crate::commands::ctl::{api::CallError, apply::FieldsRefused};
    let call = |cause: &'_ (dyn std::error::Error + 'static)| match cause.downcast_ref::<FieldsRefused>() {
        Some(refused) => Some(refused.cause.details()),
        None => cause.downcast_ref::<CallError>().map(CallError::details),
    };
    if let (Some(details), Some(members)) = (error.chain().find_map(call), members.as_object_mut()) {
        members.extend(details);
    }
}

#[cfg(not(feature = "ctl"))]
fn add_details(_: &mut Value, _: &anyhow::Error) {}
