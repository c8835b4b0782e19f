//! Shows where in a script something is: the line and a caret under the column.

use crate::output::printable;

/// The lines that show a place in a source; nothing when the place is not in it.
pub(super) fn excerpt(source: &str, line: u32, column: Option<u32>) -> Option<String> {
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let text = source.lines().nth(index)?;
    // The caret goes right below its character, so a tab stays a tab in the line above it.
    let before = usize::try_from(column.unwrap_or(1)).ok()?.saturating_sub(1);
    let skipped = before.saturating_sub(CONTEXT);
    let shown: String = text
        .chars()
        .skip(skipped)
        .take(WIDTH)
        .map(|character| if character == '\t' { ' ' } else { character })
        .collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let mut lines = format!(" {number} | {}", printable(shown));
    if column.is_some() {
        lines.push_str(&format!("\n {margin} | {}^", " ".repeat(before - skipped)));
    }
    Some(lines)
}

/// Most characters shown of a line.
const WIDTH: usize = 120;
/// Most characters shown before the column.
const CONTEXT: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_column() {
        assert_eq!(excerpt("a;\n\tb.c;", 2, Some(4)).unwrap(), " 2 |  b.c;\n   |    ^");
        assert_eq!(excerpt("a;", 1, None).unwrap(), " 1 | a;");
        assert_eq!(excerpt("a;", 3, Some(1)), None);
        assert_eq!(excerpt("a;", 0, Some(1)), None);
    }

    #[test]
    fn a_long_line_is_cut_around_the_column() {
        let source = format!("{}x{}", "-".repeat(500), "-".repeat(500));
        let shown = excerpt(&source, 1, Some(501)).unwrap();
        let (line, caret) = shown.split_once('\n').unwrap();
        assert_eq!(line.find('x'), caret.find('^'));
    }
}
