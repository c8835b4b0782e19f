//! Puts the names of secrets in the place of their values, in every form they are usually sent in.
//!
//! A text that still holds a disguised form of a secret afterwards is withheld as a whole.

use std::sync::Arc;

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::commands::script::input::Known;

/// Takes secrets out of texts.
pub(in crate::commands::script) struct Redactor {
    /// Longest value first, so that a secret which holds another is found whole.
    secrets: Vec<Hidden>,
}

struct Hidden {
    stand_in: String,
    value: Arc<Zeroizing<String>>,
    /// How the value is written in URLs, forms and JSON.
    forms: Vec<Zeroizing<String>>,
}

impl Redactor {
    /// Looks for these secrets.
    pub(in crate::commands::script) fn new(known: &Known) -> Self {
        let mut secrets: Vec<Hidden> = known
            .values
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| Hidden {
                stand_in: format!("%SECRET:{name}%"),
                value: Arc::clone(value),
                forms: forms(value),
            })
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.value.len()));
        Self { secrets }
    }

    /// The text with `%SECRET:NAME%` instead of values.
    pub(in crate::commands::script) fn redact(&self, text: &str) -> String {
        if self.secrets.is_empty() {
            return text.to_owned();
        }
        let text = self.redact_encoded(&self.redact_plain(text));
        if self.secrets.iter().any(|secret| is_disguised(&text, secret)) { WITHHELD.to_owned() } else { text }
    }

    /// The text with values instead of `%SECRET:NAME%`; names that are not known stay.
    pub(in crate::commands::script) fn reveal(&self, text: &str) -> String {
        let reveal = |text: String, secret: &Hidden| text.replace(&secret.stand_in, &secret.value);
        self.secrets.iter().fold(text.to_owned(), reveal)
    }

    fn redact_plain(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            for form in &secret.forms {
                text = text.replace(form.as_str(), &secret.stand_in);
            }
        }
        text
    }

    /// Decodes what looks like Base64, as in basic authentication, and encodes it again without secrets.
    fn redact_encoded(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_base64) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|character| !is_base64(character)).unwrap_or(from.len());
            let (run, after) = from.split_at(end);
            result.push_str(before);
            result.push_str(&self.redact_run(run).unwrap_or_else(|| run.to_owned()));
            rest = after;
        }
        result.push_str(rest);
        result
    }

    fn redact_run(&self, run: &str) -> Option<String> {
        if run.len() < MIN_RUN {
            return None;
        }
        let standard = base64(&STANDARD);
        let decoded = standard.decode(run).or_else(|_| base64(&URL_SAFE).decode(run)).ok()?;
        let decoded: String = String::from_utf8(decoded).ok()?;
        let redacted = self.redact_plain(&decoded);
        (redacted != decoded).then(|| standard.encode(redacted))
    }
}

/// What stands for a text that cannot be shown.
const WITHHELD: &str = "(withheld: it holds a secret in disguise)";
/// Shorter runs are words.
const MIN_RUN: usize = 8;
/// Shorter secrets would be found everywhere.
const MIN_DISGUISED: usize = 6;

fn base64(alphabet: &base64::alphabet::Alphabet) -> GeneralPurpose {
    GeneralPurpose::new(alphabet, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
}

fn is_base64(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '-' | '_' | '=')
}

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

fn forms(value: &str) -> Vec<Zeroizing<String>> {
    let component = utf8_percent_encode(value, COMPONENT).to_string();
    let strict = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    let json = serde_json::Value::from(value).to_string();
    let json = json.trim_matches('"').to_owned();
    let form = component.replace("%20", "+");
    let mut forms =
        vec![value.to_owned(), component.to_lowercase(), strict.to_lowercase(), component, strict, form, json];
    forms.retain(|form| !form.is_empty());
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

/// Whether letters and digits of the text, whatever stands between them, hold the secret: as it is, backwards, as hexadecimal or inside Base64.
fn is_disguised(text: &str, secret: &Hidden) -> bool {
    let bare = |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).collect() };
    let text_bare = bare(text);
    let lower = text_bare.to_ascii_lowercase();
    let value = bare(&secret.value).to_ascii_lowercase();
    let backwards: String = value.chars().rev().collect();
    let hex: String = secret.value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let found = |needle: &str| needle.len() >= MIN_DISGUISED && lower.contains(needle);
    found(&value) || found(&backwards) || found(&hex) || cores(&secret.value).iter().any(|core| text.contains(core))
}

/// What every Base64 text that holds the value holds too, for each of the three ways it can be aligned.
fn cores(value: &str) -> Vec<String> {
    let encode = |skipped: usize| {
        let padded: Vec<u8> = std::iter::repeat_n(0, skipped).chain(value.bytes()).collect();
        let encoded = base64(&STANDARD).encode(&padded);
        let own = encoded.trim_end_matches('=');
        let from = if skipped == 0 { 0 } else { skipped + 1 };
        let to = padded.len() / 3 * 4;
        own.get(from..to).unwrap_or_default().to_owned()
    };
    (0..3).map(encode).filter(|core| core.len() >= MIN_RUN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::script::input::SecretFile;

    fn redactor() -> Redactor {
        let secret = |value: &str| SecretFile::Value(value.to_owned());
        let file = [("TOKEN", secret("s3cret +/value")), ("SHORT", secret("s3cret"))];
        Redactor::new(&Known::new(file.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).unwrap())
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redactor().redact(text), expected);
    }

    #[test]
    fn values_become_names() {
        check("Bearer s3cret +/value", "Bearer %SECRET:TOKEN%");
        check("a=s3cret%20%2B%2Fvalue&b=s3cret%20%2b%2fvalue", "a=%SECRET:TOKEN%&b=%SECRET:TOKEN%");
        check("a=s3cret+%2B%2Fvalue", "a=%SECRET:TOKEN%");
        check("x s3cret", "x %SECRET:SHORT%");
        check("nothing here", "nothing here");
    }

    #[test]
    fn basic_authentication_is_the_same_for_every_value() {
        let encoded = |text: &str| format!("Basic {}", base64(&STANDARD).encode(text));
        check(&encoded("ana:s3cret +/value"), &encoded("ana:%SECRET:TOKEN%"));
    }

    #[test]
    fn disguised_secrets_are_withheld() {
        for text in ["terc3s", "s-3-c-r-e-t", "S3CRET", "733363726574"] {
            check(text, WITHHELD);
        }
        let misaligned = base64(&STANDARD).encode(b"\xff\xfexs3cret +/value\xff");
        check(&misaligned, WITHHELD);
    }

    #[test]
    fn names_become_values() {
        assert_eq!(redactor().reveal("k=%SECRET:SHORT% %SECRET:OTHER%"), "k=s3cret %SECRET:OTHER%");
    }
}
