//! The criteria scripts a batch brought along.

use std::collections::{BTreeMap, HashMap};

use engine::script::ScriptKind;
use engine::script::lanes::is_reserved_global;

use crate::wire::WireScript;

/// Whether scripts of this kind can call criteria (D 8).
pub(crate) fn sees_criteria(kind: ScriptKind) -> bool {
    match kind {
        ScriptKind::Policy | ScriptKind::Criteria => true,
        ScriptKind::Condition
        | ScriptKind::Host
        | ScriptKind::PortOrType
        | ScriptKind::AppShortcut
        | ScriptKind::UserClaim => false,
    }
}

/// Criteria by name; a name that a built-in has cannot be called and is left out.
pub(super) struct Criteria<'a>(HashMap<&'a str, &'a str>);

impl<'a> Criteria<'a> {
    pub(super) fn new(scripts: &[WireScript<'a>]) -> Self {
        Self(
            scripts
                .iter()
                .filter(|script| !is_reserved_global(script.name))
                .map(|script| (script.name, script.source))
                .collect(),
        )
    }

    pub(super) fn source(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// Every criterion named anywhere in `source`, and in those in turn.
    pub(super) fn mentioned(&self, source: &str) -> BTreeMap<&'a str, &'a str> {
        let mut found = BTreeMap::new();
        let mut unread: Vec<&str> = vec![source];
        while let Some(text) = unread.pop() {
            for word in words(text) {
                if let Some((name, criterion)) = self.0.get_key_value(word)
                    && found.insert(*name, *criterion).is_none()
                {
                    unread.push(criterion);
                }
            }
        }
        found
    }
}

/// Whatever in a text could be a name.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !(char.is_alphanumeric() || char == '_' || char == '$')).filter(|word| !word.is_empty())
}
