//! Which claims a script reads, and whether a change of claims concerns it.

use std::sync::Arc;

use serde_json::{Map, Value};

/// The claims a script names. A script of which nothing is known reads all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads(Option<Arc<[Box<str>]>>);

impl Reads {
    /// Everything.
    pub const ALL: Self = Self(None);

    /// Paths as the analysis of scripts tells them: `user.groups`, `user.*` for a whole dictionary, `user.hasReason` for
    /// the remedies answered, and `*` for everything.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let paths: Arc<[Box<str>]> = paths.into_iter().map(Into::into).collect();
        if paths.iter().any(|path| path.as_ref() == "*") { Self::ALL } else { Self(Some(paths)) }
    }

    /// Whether a script that reads these could answer otherwise after the change. Both values are what scripts are given:
    /// the three dictionaries, with the answered remedies as `responses` beside them.
    pub fn touched(&self, before: &Value, after: &Value) -> bool {
        match &self.0 {
            None => before != after,
            Some(paths) => paths.iter().any(|path| is_touched(path, before, after)),
        }
    }
}

fn is_touched(path: &str, before: &Value, after: &Value) -> bool {
    let answered_differ = || before.get(RESPONSES) != after.get(RESPONSES);
    // The helpers are reached through the dictionary, so whoever takes the whole of it may ask them.
    let asks_answers = matches!(path, "user.*" | "user.hasPassword" | "user.hasOtp" | "user.hasMfa" | "user.hasReason");
    (asks_answers && answered_differ()) || differs(Some(before), Some(after), path)
}

/// Whether what the path leads to differs. A name may hold dots, so every way to read the path counts.
fn differs(before: Option<&Value>, after: Option<&Value>, path: &str) -> bool {
    if before == after {
        return false;
    }
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else { return true };
    if path == "*" {
        return true;
    }
    names(before, after).any(|name| match path.strip_prefix(name) {
        Some("") => before.get(name) != after.get(name),
        Some(rest) => rest.strip_prefix('.').is_some_and(|rest| differs(before.get(name), after.get(name), rest)),
        None => false,
    })
}

fn names<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> impl Iterator<Item = &'a str> {
    before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))).map(String::as_str)
}

/// Where answered remedies stand beside the dictionaries.
const RESPONSES: &str = "responses";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(paths: &[&str], before: &Value, after: &Value, expected: bool) {
        assert_eq!(Reads::of(paths.iter().copied()).touched(before, after), expected, "{paths:?}");
    }

    #[test]
    fn only_what_reads_a_changed_claim_is_touched() {
        let before = json!({"user": {"groups": ["a"], "agScripted": {"x": 1, "y": 1}}, "device": {"os": {"name": "L"}}, "system": {}});
        let mut after = before.clone();
        after["user"]["agScripted"]["x"] = json!(2);
        for touched in
            ["user.agScripted.x", "user.agScripted", "user.agScripted.*", "user.agScripted.x.y", "user.*", "*"]
        {
            check(&[touched], &before, &after, true);
        }
        for other in
            ["user.agScripted.y", "user.groups", "device.*", "device.os.name", "system.clientSrcIP", "user.hasReason"]
        {
            check(&[other], &before, &after, false);
        }
        check(&["device.*", "user.agScripted.x"], &before, &after, true);
        check(&[], &before, &after, false);
        assert!(Reads::ALL.touched(&before, &after) && !Reads::ALL.touched(&before, &before));
    }

    #[test]
    fn a_claim_that_comes_or_goes_is_a_change() {
        let (without, with) = (json!({"user": {}}), json!({"user": {"groups": []}}));
        check(&["user.groups"], &without, &with, true);
        check(&["user.groups"], &with, &without, true);
        check(&["user.tags"], &without, &with, false);
    }

    #[test]
    fn answered_remedies_touch_whoever_may_ask_for_them() {
        let (before, after) = (json!({"user": {}, "responses": []}), json!({"user": {}, "responses": [1]}));
        for touched in ["user.hasReason", "user.hasOtp", "user.hasMfa", "user.hasPassword", "user.*", "*"] {
            check(&[touched], &before, &after, true);
        }
        check(&["user.groups", "device.*"], &before, &after, false);
    }

    #[test]
    fn names_may_hold_dots() {
        let (before, after) = (json!({"user": {"a.b": {"c": 1}}}), json!({"user": {"a.b": {"c": 2}}}));
        check(&["user.a.b"], &before, &after, true);
        check(&["user.a.b.c"], &before, &after, true);
        check(&["user.a"], &before, &after, false);
        check(&["user.a.b.d"], &before, &after, false);
    }
}
