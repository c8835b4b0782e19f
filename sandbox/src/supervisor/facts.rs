//! What a look at a script's text tells, without parsing it: which HTTP functions, secrets and criteria it may mean.
//!
//! Texts are recognised by their place in memory, which their owners keep as long as a configuration lives, so a batch of known scripts costs
//! one look-up each. What a text merely mentions, in a comment for instance, counts as meant: that costs a little and never permits anything.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use engine::script::ScriptKind;
use engine::script::lanes::is_reserved_global;

use super::native::Notes;
use crate::batch::Script;
use crate::config::MAX_SOURCE;
use crate::worker::words;

/// Most texts remembered, and most bytes of them.
const MAX_TEXTS: usize = 16 * 1024;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most sets of criteria remembered.
const MAX_SETS: usize = 4;
/// Longest name of a secret in bytes.
const MAX_NAME: usize = 512;
/// What stands before and after the name of a secret.
const SECRET: (&str, &str) = ("%SECRET:", "%");

/// Names a text for as long as this process lives; nobody outside can make two texts share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SourceHash(u128);

impl SourceHash {
    /// A name for this text as a script of one kind.
    pub(super) fn of_kind(self, kind: ScriptKind) -> Self {
        let number = match kind {
            ScriptKind::Policy => 1,
            ScriptKind::Criteria => 2,
            ScriptKind::Condition => 3,
            ScriptKind::Host => 4,
            ScriptKind::PortOrType => 5,
            ScriptKind::AppShortcut => 6,
            ScriptKind::UserClaim => 7,
        };
        self.with(std::iter::once(Self(number)))
    }

    /// A name for this text together with others.
    pub(super) fn with(self, others: impl Iterator<Item = Self>) -> Self {
        others.fold(self, |hash, other| Self(hash.0.rotate_left(31).wrapping_mul(MIX) ^ other.0))
    }
}

/// An odd number without a pattern.
const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// What one text tells.
pub(super) struct Facts {
    /// Keeps the place in memory taken.
    _source: Arc<str>,
    pub(super) hash: SourceHash,
    /// Names a function that makes an HTTP call.
    pub(super) names_http: bool,
    /// Where it names secrets, in order.
    pub(super) secrets: Box<[NamedSecret]>,
    /// Everything in it that could be a name.
    words: Box<[Box<str>]>,
    /// For the native lane.
    pub(super) native: Notes,
}

/// One `%SECRET:NAME%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedSecret {
    pub(super) at: Range<usize>,
    pub(super) name: Box<str>,
}

/// The texts seen lately.
pub(super) struct FactsTable {
    keys: [RandomState; 2],
    texts: Mutex<Texts>,
    sets: Mutex<Vec<Arc<CriteriaSet>>>,
    none: Arc<CriteriaSet>,
}

#[derive(Default)]
struct Texts {
    /// By place in memory and length.
    known: HashMap<(usize, usize), Arc<Facts>>,
    /// By content, for texts that are made anew for each batch.
    same: HashMap<Arc<str>, Arc<Facts>>,
    bytes: usize,
}

impl FactsTable {
    pub(super) fn new() -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            texts: Mutex::default(),
            sets: Mutex::default(),
            none: Arc::new(CriteriaSet::new(&Arc::from([]), Vec::new(), Vec::new())),
        }
    }

    /// The criteria of a batch that has none.
    pub(super) fn no_criteria(&self) -> Arc<CriteriaSet> {
        Arc::clone(&self.none)
    }

    /// The facts of one script.
    pub(super) fn of(&self, script: &Script) -> Arc<Facts> {
        self.of_text(&mut self.texts.lock().unwrap_or_else(PoisonError::into_inner), &script.source)
    }

    /// The facts of each script, in order.
    pub(super) fn of_all(&self, scripts: &[Script]) -> Vec<Arc<Facts>> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.iter().map(|script| self.of_text(&mut texts, &script.source)).collect()
    }

    fn of_text(&self, texts: &mut Texts, source: &Arc<str>) -> Arc<Facts> {
        let key = (source.as_ptr().addr(), source.len());
        if let Some(known) = texts.known.get(&key) {
            return Arc::clone(known);
        }
        if let Some(known) = texts.same.get(source) {
            return Arc::clone(known);
        }
        let facts = Arc::new(self.read(source));
        // What is too long to run is not kept.
        if source.len() <= MAX_SOURCE {
            if texts.known.len() >= MAX_TEXTS || texts.bytes >= MAX_BYTES {
                *texts = Texts::default();
            }
            texts.bytes = texts.bytes.saturating_add(source.len());
            texts.known.insert(key, Arc::clone(&facts));
            texts.same.insert(Arc::clone(source), Arc::clone(&facts));
        }
        facts
    }

    fn hash(&self, text: &str) -> SourceHash {
        let [low, high] = &self.keys;
        SourceHash((u128::from(high.hash_one(text)) << 64) | u128::from(low.hash_one(text)))
    }

    fn read(&self, source: &Arc<str>) -> Facts {
        let is_read = source.len() <= MAX_SOURCE;
        let found: BTreeSet<Box<str>> =
            if is_read { words(source).map(|word| Box::from(&*word)).collect() } else { BTreeSet::new() };
        Facts {
            _source: Arc::clone(source),
            hash: self.hash(source),
            names_http: ["httpGet", "httpPost", "httpPut", "httpDelete"].iter().any(|name| found.contains(*name)),
            secrets: if is_read { named_secrets(source) } else { Box::default() },
            words: found.into_iter().collect(),
            native: Notes::default(),
        }
    }

    /// The criteria of a batch, ready to be looked up.
    pub(super) fn criteria(&self, list: &Arc<[Script]>) -> Arc<CriteriaSet> {
        if list.is_empty() {
            return self.no_criteria();
        }
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sets.iter().find(|set| Arc::ptr_eq(&set.list, list)) {
            return Arc::clone(known);
        }
        let facts = self.of_all(list);
        let key = |(script, facts): (&Script, &Arc<Facts>)| self.hash(&script.name).with(std::iter::once(facts.hash));
        let keys = list.iter().zip(&facts).map(key).collect();
        let set = Arc::new(CriteriaSet::new(list, facts, keys));
        if sets.len() >= MAX_SETS {
            sets.remove(0);
        }
        sets.push(Arc::clone(&set));
        set
    }
}

/// Criteria scripts by name, and which of them a text means.
pub(super) struct CriteriaSet {
    list: Arc<[Script]>,
    facts: Vec<Arc<Facts>>,
    /// Names of name and text together.
    keys: Vec<SourceHash>,
    by_name: HashMap<Arc<str>, usize>,
    meant: Mutex<HashMap<SourceHash, Arc<[usize]>>>,
}

impl CriteriaSet {
    fn new(list: &Arc<[Script]>, facts: Vec<Arc<Facts>>, keys: Vec<SourceHash>) -> Self {
        let callable = |script: &Script| script.source.len() <= MAX_SOURCE && !is_reserved_global(&script.name);
        let by_name = list.iter().enumerate().filter(|(_, script)| callable(script));
        Self {
            list: Arc::clone(list),
            facts,
            keys,
            by_name: by_name.map(|(at, script)| (Arc::clone(&script.name), at)).collect(),
            meant: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The script and its facts.
    pub(super) fn at(&self, at: usize) -> Option<(&Script, &Arc<Facts>)> {
        self.list.get(at).zip(self.facts.get(at))
    }

    /// A name for a text together with the criteria it means.
    pub(super) fn key(&self, facts: &Facts) -> SourceHash {
        facts.hash.with(self.meant_by(facts).iter().filter_map(|at| self.keys.get(*at).copied()))
    }

    /// The place of the criterion of this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The criteria that a text names, and those that these name in turn, in the order of the list.
    pub(super) fn meant_by(&self, facts: &Facts) -> Arc<[usize]> {
        if self.is_empty() {
            return Arc::default();
        }
        let known = self.meant.lock().unwrap_or_else(PoisonError::into_inner).get(&facts.hash).map(Arc::clone);
        known.unwrap_or_else(|| {
            let meant = self.search(facts);
            let mut memory = self.meant.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.len() >= MAX_TEXTS {
                memory.clear();
            }
            memory.insert(facts.hash, Arc::clone(&meant));
            meant
        })
    }

    fn search(&self, facts: &Facts) -> Arc<[usize]> {
        let mut found = BTreeSet::new();
        let mut unread = vec![facts];
        while let Some(facts) = unread.pop() {
            for at in facts.words.iter().filter_map(|word| self.by_name.get(&**word)) {
                if found.insert(*at) {
                    unread.extend(self.facts.get(*at).map(Arc::as_ref));
                }
            }
        }
        found.into_iter().collect()
    }
}

/// Every `%SECRET:NAME%` of a text; a name is anything short without `%` and control characters.
fn named_secrets(source: &str) -> Box<[NamedSecret]> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = source.get(from..).and_then(|rest| rest.find(SECRET.0)).map(|at| from + at) {
        let name_from = start + SECRET.0.len();
        from = name_from;
        let rest = source.get(name_from..).unwrap_or_default();
        let Some(name) = rest.find(SECRET.1).and_then(|end| rest.get(..end)) else { break };
        if !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control) {
            from = name_from + name.len() + SECRET.1.len();
            found.push(NamedSecret { at: start..from, name: name.into() });
        }
    }
    found.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[(&str, &str)]) {
        let found = named_secrets(source);
        let found: Vec<_> =
            found.iter().map(|secret| (&*secret.name, source.get(secret.at.clone()).unwrap())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn secrets_are_found_by_name() {
        check("return '%SECRET:A%' + \"%SECRET:B C%\";", &[("A", "%SECRET:A%"), ("B C", "%SECRET:B C%")]);
        check("%SECRET:%SECRET:X%", &[("X", "%SECRET:X%")]);
        check("%SECRET:\n%SECRET:é%%SECRET:", &[("é", "%SECRET:é%")]);
        check("%SECRET:open", &[]);
    }

    #[test]
    fn criteria_are_meant_through_criteria() {
        let script = |name: &str, source: &str| Script {
            name: name.into(),
            kind: engine::script::ScriptKind::Criteria,
            source: source.into(),
        };
        let table = FactsTable::new();
        let set = table.criteria(&Arc::from([
            script("a", "return b(claims);"),
            script("b", "return httpGet('x') || b;"),
            script("c", ""),
            script("Map", ""),
        ]));
        let [facts] = &table.of_all(&[script("p", "return a(claims) && Map;")])[..] else { panic!("one") };
        assert_eq!(*set.meant_by(facts), [0, 1]);
        assert!(!facts.names_http);
        assert!(set.at(set.place("b").unwrap()).unwrap().1.names_http);
    }
}
