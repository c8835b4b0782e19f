//! One object for people: a member a line, scripts as they were written.

use serde_json::Value;

use crate::output::printable;

/// The members of a document, indented.
pub(super) fn render(document: &Value) -> String {
    let mut text = String::new();
    match document {
        Value::Object(members) => members.iter().for_each(|(name, value)| member(&mut text, 0, name, value)),
        other => text = format!("{}\n", scalar(other)),
    }
    text
}

fn member(text: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let name = printable(name.to_owned());
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push_str(&format!("{indent}{name}:\n"));
            members.iter().for_each(|(name, value)| member(text, depth + 1, name, value));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            text.push_str(&format!("{indent}{name}:\n"));
            for (index, item) in items.iter().enumerate() {
                member(text, depth + 1, &format!("{}.", index + 1), item);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            text.push_str(&format!("{indent}{name}: [{}]\n", items.join(", ")));
        }
        Value::String(value) if value.contains('\n') => {
            text.push_str(&format!("{indent}{name}: |\n"));
            value
                .lines()
                .for_each(|line| text.push_str(&format!("{indent}  {}\n", printable(line.replace('\t', "    ")))));
        }
        other => text.push_str(&format!("{indent}{name}: {}\n", scalar(other))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text.clone()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_shown_whole() {
        let document = serde_json::json!({
            "name": "web", "tags": ["a", "b"], "expression": "if (x)\n\treturn true;", "empty": {},
            "actions": [{ "action": "allow", "ports": ["80"] }],
        });
        let shown = render(&document);
        assert_eq!(
            shown,
            "actions:\n  1.:\n    action: allow\n    ports: [80]\nempty: {}\nexpression: |\n  if (x)\n      return true;\nname: web\ntags: [a, b]\n"
        );
    }
}
