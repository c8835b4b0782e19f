//! Keeps the values of secrets out of whatever a run leaves behind.
//!
//! A text first loses every spelling of a value that is known (as it is, escaped, percent-encoded, base64, hexadecimal, decimal codes, reversed).
//! Then a copy of what is left, reduced to letters and digits in lower case, is searched for pieces of eight characters; also every
//! second to eighth character of it, as somebody might print one with other characters in between. When a piece is found the whole text is withheld.
//! All of it takes time linear in the text, for it runs between the tasks of a daemon.
//! This stops accidents and the simple tricks; who may edit a script that names a secret can always do arithmetic with it, which is why
//! a secret can be bound to origins.

mod pieces;
mod spellings;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;
use zeroize::Zeroizing;

use super::secret::Named;
use crate::batch::RunRecord;
use crate::config::{MAX_MESSAGE, MAX_OUTPUT};
use crate::http::HttpCall;
use engine::script::{Failure, FailureKind};
use pieces::{Filter, Pieces, Quick, normalise};
use spellings::ways_to_write;

/// Most secrets of one run.
const MAX_SECRETS: usize = 8;
/// Most bytes of text in the result of a run that names a secret.
const MAX_RESULT: usize = 64 * 1024;
/// Most bytes of what a run leaves that are judged together; of more everything is withheld.
const MAX_TOGETHER: usize = 128 * 1024;
/// Of a text that is going to be cut, this many times as much is looked at.
const LOOKED_AT: usize = 4;
/// Bytes before a new text that are looked at together with it, besides those of the longest spelling.
const BEFORE: usize = 1024;
/// Bytes at the beginning of a spelling by which it is found.
const HEAD: usize = 4;
/// Shortest value a result is searched for as it is.
const MIN_IN_RESULT: usize = 4;
/// Characters skipped at most between those of a value.
const MAX_STRIDE: usize = 8;
/// What stands in place of a text that holds a secret in disguise.
const WITHHELD: &str = "[withheld: it seems to hold a part of a secret]";

/// The secrets of one run, ready to be recognised.
pub(super) struct Veil {
    /// The longest first.
    spellings: Vec<Spelling>,
    /// Places of spellings by their first bytes, the longest first.
    heads: HashMap<u32, Vec<usize>, Quick>,
    /// Which heads there may be.
    heads_seen: Filter,
    /// Places of those too short to have a head.
    tiny: Vec<usize>,
    pieces: Pieces,
    labels: Vec<String>,
    too_many: bool,
}

/// One way to write one secret; compared without regard to case.
struct Spelling {
    /// In lower case.
    text: Zeroizing<Vec<u8>>,
    /// What takes its place.
    label: String,
}

impl Veil {
    /// Over these secrets; when there are too many, over none.
    pub(super) fn new(named: &Named) -> Self {
        let too_many = named.len() > MAX_SECRETS;
        let mut ways = Vec::new();
        let mut labels = Vec::new();
        for (name, secret) in named.iter().filter(|_| !too_many) {
            let label = format!("%SECRET:{name}%");
            ways.extend(ways_to_write(&secret.value).into_iter().map(|(text, piece)| (text, piece, label.clone())));
            labels.push(label);
        }
        let pieces = Pieces::new(ways.iter().map(|(text, piece, _)| (text.as_str(), *piece)));
        let spelling = |(text, _, label): (Zeroizing<String>, usize, String)| Spelling {
            text: Zeroizing::new(text.to_ascii_lowercase().into_bytes()),
            label,
        };
        let mut spellings: Vec<Spelling> = ways.into_iter().map(spelling).collect();
        // The longest goes first: a spelling may hold another one.
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.text.len()));
        let mut heads: HashMap<u32, Vec<usize>, Quick> = HashMap::default();
        let mut tiny = Vec::new();
        for (at, spelling) in spellings.iter().enumerate() {
            match head(&spelling.text) {
                Some(head) => heads.entry(head).or_default().push(at),
                None => tiny.push(at),
            }
        }
        let heads_seen = Filter::new(heads.keys().map(|head| u64::from(*head)), heads.len());
        Self { spellings, heads, heads_seen, tiny, pieces, labels, too_many }
    }

    /// What is wrong with the run, for a person, when it names more secrets than can be kept out of what it leaves.
    pub(super) fn refusal(&self) -> Option<String> {
        self.too_many.then(|| format!("the script and its criteria name more than {MAX_SECRETS} secrets"))
    }

    /// The text without the secrets.
    pub(super) fn scrub(&self, text: &mut String) {
        if text.is_empty() {
            return;
        }
        let is_withheld = match self.replaced(text) {
            Replaced::Nothing => self.is_hidden_in(&self.without_labels(text)),
            Replaced::Text(new) => {
                *text = new;
                self.is_hidden_in(&self.without_labels(text))
            }
            Replaced::TooMuch => true,
        };
        if is_withheld {
            WITHHELD.clone_into(text);
        }
    }

    /// The text without the secrets, cut to so many bytes.
    pub(super) fn scrub_to(&self, text: &mut String, most: usize) {
        let looked_at = most.saturating_mul(LOOKED_AT);
        if text.len() > looked_at {
            text.truncate(text.floor_char_boundary(looked_at));
            self.drop_end(text);
        }
        self.scrub(text);
        text.truncate(text.floor_char_boundary(most));
    }

    /// Whether the text holds a secret in any way that is known.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        self.find(lower.as_bytes(), 0, &mut budget(text), MIN_IN_RESULT) != Found::Nothing || self.is_hidden_in(text)
    }

    /// The same for a text that follows another one which has been looked at.
    pub(super) fn is_in_end(&self, all: &str, new: usize) -> bool {
        let before = all.len().saturating_sub(new).saturating_sub(BEFORE + self.longest());
        self.is_in(all.get(all.floor_char_boundary(before)..).unwrap_or(all))
    }

    /// Takes the secrets out of everything a run left, and the result when it holds one.
    pub(super) fn scrub_record(&self, record: &mut RunRecord) {
        // The worker may have cut it in the middle of a character.
        if record.output.len() + char::MAX.len_utf8() >= MAX_OUTPUT {
            self.drop_end(&mut record.output);
        }
        if let Err(failure) = &mut record.result
            && failure.message.len() + char::MAX.len_utf8() >= MAX_MESSAGE
        {
            WITHHELD.clone_into(&mut failure.message);
        }
        texts_of(record).into_iter().for_each(|text| self.scrub(text));
        self.judge_together(record);
        let wrong = match &record.result {
            Ok(value) if text_size(value, MAX_RESULT).is_none() => {
                "the result of a run that names a secret is longer than 64 KiB"
            }
            Ok(value) if self.is_in_value(value) => "the result holds a secret",
            Ok(_) | Err(_) => return,
        };
        record.result = Err(Failure {
            kind: FailureKind::WrongResult,
            script: record.script.to_string(),
            message: wrong.to_owned(),
            line: None,
            column: None,
        });
    }

    /// Withholds all texts when a secret is spread over them.
    fn judge_together(&self, record: &mut RunRecord) {
        let mut texts = texts_of(record);
        texts.retain(|text| !text.is_empty() && **text != WITHHELD);
        if texts.len() < 2 {
            return;
        }
        let size: usize = texts.iter().map(|text| text.len()).sum();
        let is_spread = || {
            let all: String = texts.iter().map(|text| text.as_str()).collect();
            self.is_in(&self.without_labels(&all))
        };
        let is_spread_over_urls = |urls: &[HttpCall]| {
            // What differs between the URLs stands in their paths.
            let paths: String = urls.iter().map(|call| path(&call.url)).collect();
            self.is_in(&self.without_labels(&paths))
        };
        if size > MAX_TOGETHER || is_spread() {
            texts.into_iter().for_each(|text| WITHHELD.clone_into(text));
        } else if record.http_calls.len() > 1 && is_spread_over_urls(&record.http_calls) {
            texts_of(record).into_iter().filter(|text| !text.is_empty()).for_each(|text| WITHHELD.clone_into(text));
        }
    }

    fn is_in_value(&self, value: &Value) -> bool {
        match value {
            Value::Bool(_) | Value::Null => false,
            // The text of all, so that a secret spread over the parts of a list is found as well.
            Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                let (mut all, mut values) = (String::new(), String::new());
                gather(value, &mut all, true);
                gather(value, &mut values, false);
                self.is_in(&all) || (values.len() < all.len() && self.is_in(&values))
            }
        }
    }

    fn is_hidden_in(&self, text: &str) -> bool {
        // Zeros stand for what is neither a letter nor a digit.
        let mut plain = Vec::with_capacity(text.len());
        normalise(text, |byte| plain.push(byte));
        let reduced: Vec<u8> = plain.iter().copied().filter(|byte| *byte != 0).collect();
        // With every character of the value something else stands, or only with those that are letters and digits.
        (1..=MAX_STRIDE).any(|stride| (0..stride).any(|from| self.pieces.are_in(&reduced, from, stride)))
            || (reduced.len() < plain.len()
                && (2..=MAX_STRIDE).any(|stride| (0..stride).any(|from| self.pieces.are_in(&plain, from, stride))))
    }

    fn longest(&self) -> usize {
        self.spellings.first().map_or(0, |spelling| spelling.text.len())
    }

    /// Takes away what may be the beginning of a secret whose rest was cut off.
    fn drop_end(&self, text: &mut String) {
        let left = text.len().saturating_sub(self.longest());
        text.truncate(text.floor_char_boundary(left));
    }

    fn without_labels<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut rest = Cow::Borrowed(text);
        if text.contains("%SECRET:") {
            self.labels.iter().for_each(|label| rest = Cow::Owned(rest.replace(label, " ")));
        }
        rest
    }

    fn replaced(&self, text: &str) -> Replaced {
        let lower = text.to_ascii_lowercase();
        let mut budget = budget(text);
        let mut out = String::new();
        let mut from = 0;
        loop {
            match self.find(lower.as_bytes(), from, &mut budget, 1) {
                Found::Nothing if from == 0 => return Replaced::Nothing,
                Found::Nothing => break,
                Found::TooMuch => return Replaced::TooMuch,
                Found::Spelling(at, spelling) => {
                    let Some(spelling) = self.spellings.get(spelling) else { return Replaced::TooMuch };
                    // A spelling is valid UTF-8, so a match begins and ends between characters.
                    let Some(before) = text.get(from..at) else { return Replaced::TooMuch };
                    out.push_str(before);
                    out.push_str(&spelling.label);
                    from = at + spelling.text.len();
                }
            }
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Replaced::Text(out)
    }

    fn stands_at(&self, rest: &[u8], place: usize, budget: &mut usize, least: usize) -> Option<usize> {
        let spelling = &self.spellings.get(place)?.text;
        // Long ones that begin alike would cost too much to compare at every place.
        if rest.get(..2 * HEAD) == spelling.get(..2 * HEAD) {
            *budget = budget.saturating_sub(spelling.len());
        }
        (*budget > 0 && spelling.len() >= least && rest.starts_with(spelling)).then_some(place)
    }

    /// The first place from `from` on where a spelling of at least so many bytes stands, and the longest that stands there.
    fn find(&self, lower: &[u8], from: usize, budget: &mut usize, least: usize) -> Found {
        for (at, window) in lower.windows(HEAD).enumerate().skip(from) {
            let Some(first) = head(window) else { continue };
            if *budget == 0 {
                return Found::TooMuch;
            }
            if self.heads_seen.may_hold(u64::from(first))
                && let Some(places) = self.heads.get(&first)
            {
                let rest = lower.get(at..).unwrap_or_default();
                if let Some(found) = places.iter().find_map(|place| self.stands_at(rest, *place, budget, least)) {
                    return Found::Spelling(at, found);
                }
            }
            if !self.tiny.is_empty() && least < HEAD {
                let rest = lower.get(at..).unwrap_or_default();
                if let Some(found) = self.tiny.iter().find_map(|place| self.stands_at(rest, *place, budget, least)) {
                    return Found::Spelling(at, found);
                }
            }
        }
        let ends = lower.len().saturating_sub(HEAD - 1).max(from)..lower.len();
        for at in ends.filter(|_| least < HEAD) {
            let rest = lower.get(at..).unwrap_or_default();
            if let Some(found) = self.tiny.iter().find_map(|place| self.stands_at(rest, *place, budget, least)) {
                return Found::Spelling(at, found);
            }
        }
        if *budget == 0 { Found::TooMuch } else { Found::Nothing }
    }
}

enum Replaced {
    Nothing,
    Text(String),
    /// It would take too long to tell.
    TooMuch,
}

#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    /// Where, and the place of the spelling in the list.
    Spelling(usize, usize),
    TooMuch,
}

/// Bytes that may be compared for one text.
fn budget(text: &str) -> usize {
    text.len().saturating_mul(8) + 1024 * 1024
}

fn head(text: &[u8]) -> Option<u32> {
    text.first_chunk::<HEAD>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// All texts of a record but the result.
fn texts_of(record: &mut RunRecord) -> Vec<&mut String> {
    let RunRecord { output, audit, claims_read, http_calls, result, .. } = record;
    let mut texts = vec![output];
    texts.extend(audit);
    texts.extend(http_calls.iter_mut().map(|call| &mut call.url));
    texts.extend(claims_read);
    texts.extend(result.as_mut().err().map(|failure| &mut failure.message));
    texts
}

/// What follows the host in a URL.
fn path(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.split_once('/').map_or("", |(_, path)| path)
}

/// Bytes of text in a value; nothing when there are more than `most`.
fn text_size(value: &Value, most: usize) -> Option<usize> {
    let size = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => {
            items.iter().try_fold(0, |size, item| Some(size + text_size(item, most.checked_sub(size)?)?))?
        }
        Value::Object(members) => members.iter().try_fold(0, |size, (name, member)| {
            let size = size + name.len();
            Some(size + text_size(member, most.checked_sub(size)?)?)
        })?,
    };
    (size <= most).then_some(size)
}

/// The texts of a value one after the other, members' names first if they are wanted.
fn gather(value: &Value, all: &mut String, with_names: bool) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            // Formatting into a text cannot fail.
            let _ = write!(all, "{number} ");
        }
        Value::String(text) => all.push_str(text),
        Value::Array(items) => items.iter().for_each(|item| gather(item, all, with_names)),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            if with_names {
                all.push_str(name);
            }
            gather(member, all, with_names);
        }),
    }
}

#[cfg(test)]
mod tests;
