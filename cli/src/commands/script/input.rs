//! Reads what an author hands in: scripts, criteria, claims, secrets, times.
//!
//! Every file is bounded in size and read into types; what is wrong is said with the file's name and, where known, the line.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::script::{ScriptKind, lanes::is_reserved_global};
use sandbox::{Origin, Script, Secret, Secrets};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

/// Errors from reading an author's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum InputError {
    /// The file or folder cannot be read.
    #[error("could not read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is too large to be what it should be.
    #[error("`{}` is larger than {} MiB", .0.display(), MAX_FILE >> 20)]
    TooLarge(PathBuf),
    /// The file's name makes no script name.
    #[error("the name of `{}` is no script name", .0.display())]
    Name(PathBuf),
    /// A criteria script could not be called by its name.
    #[error("`{}` cannot be called by its name: use letters, digits, `_` and `$`, and no name that is built in", .0.display())]
    CriteriaName(PathBuf),
    /// The file is not what it should be.
    #[error("{}:{line}: {message}", path.display())]
    Content { path: PathBuf, line: u64, message: String },
    /// The text is no time.
    #[error("`{0}` is no time such as 2026-01-05T09:00:00Z")]
    Time(String),
}

impl InputError {
    /// Stable code for tests.
    #[cfg(test)]
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "script.input.read",
            Self::TooLarge(_) => "script.input.too-large",
            Self::Name(_) => "script.input.name",
            Self::CriteriaName(_) => "script.input.criteria-name",
            Self::Content { .. } => "script.input.content",
            Self::Time(_) => "script.input.time",
        }
    }
}

/// Largest file of an author; recordings are the largest.
const MAX_FILE: u64 = 16 << 20;
/// Most criteria scripts in one folder.
const MAX_CRITERIA: usize = 1000;

/// Reads a text file of bounded size.
pub(super) fn read_text(path: &Path) -> Result<String, InputError> {
    let error = |source| InputError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(error)?.len() > MAX_FILE {
        return Err(InputError::TooLarge(path.to_owned()));
    }
    fs::read_to_string(path).map_err(error)
}

/// Reads a JSON file, or a YAML file unless its name ends in `.json`.
pub(super) fn read_document<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, InputError> {
    let text = read_text(path)?;
    let wrong = |line: u64, message: String| InputError::Content { path: path.to_owned(), line, message };
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text)
            .map_err(|error| wrong(error.line() as u64, without_place(&error.to_string())));
    }
    // In tests `yes` and `on` are texts. The lines around a mistake are not shown, since they may hold secrets.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        wrong(line, without_place(&message))
    })
}

/// A message without the place at its end, which is said before it already.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message).to_owned()
}

/// Reads a script; its name is that of the file, without `.js`.
pub(super) fn read_script(path: &Path, kind: ScriptKind) -> Result<Script, InputError> {
    let name = path.file_name().and_then(|name| name.to_str()).map(|name| name.strip_suffix(".js").unwrap_or(name));
    let name = name.ok_or_else(|| InputError::Name(path.to_owned()))?;
    Ok(Script { name: name.into(), kind, source: read_text(path)?.into() })
}

/// Reads one script that others call by its name.
pub(super) fn read_criterion(path: &Path) -> Result<Script, InputError> {
    let script = read_script(path, ScriptKind::Criteria)?;
    let mut characters = script.name.chars();
    let starts = |character: char| character.is_alphabetic() || matches!(character, '_' | '$');
    let is_name = characters.next().is_some_and(starts)
        && characters.all(|character| starts(character) || character.is_ascii_digit());
    if is_name && !is_reserved_global(&script.name) {
        Ok(script)
    } else {
        Err(InputError::CriteriaName(path.to_owned()))
    }
}

/// Reads every `.js` file of a folder as a criteria script.
pub(super) fn read_criteria(dir: &Path) -> Result<Vec<Script>, InputError> {
    let error = |source| InputError::Read { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)? {
        let file = entry.map_err(error)?.path();
        if file.extension().is_some_and(|extension| extension == "js") {
            files.push(file);
        }
    }
    files.sort();
    files.truncate(MAX_CRITERIA);
    files.iter().map(|file| read_criterion(file)).collect()
}

/// What a script sees, as authors write it down.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClaimsFile {
    user: Map<String, Value>,
    device: Map<String, Value>,
    system: Map<String, Value>,
    responses: Vec<ResponseFile>,
}

/// A remedy the user answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseFile {
    suffix: String,
    kind: ResponseKind,
    at: String,
}

/// Which remedy it was.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResponseKind {
    Password,
    Otp,
    Reason,
}

impl ClaimsFile {
    /// Reads claims from a JSON file.
    pub(super) fn read(path: &Path) -> Result<Self, InputError> {
        read_document(path)
    }

    /// The claims as the sandbox takes them; `responses` are added to those of the claims.
    pub(super) fn into_claims(self, responses: Vec<ResponseFile>) -> Result<Arc<Value>, InputError> {
        let Self { user, device, system, responses: own } = self;
        let seconds = |response: ResponseFile| {
            let kind = match response.kind {
                ResponseKind::Password => "password",
                ResponseKind::Otp => "otp",
                ResponseKind::Reason => "reason",
            };
            let at = parse_time(&response.at)?.unix_timestamp();
            Ok(json!({ "suffix": response.suffix, "kind": kind, "at": at }))
        };
        let responses: Vec<Value> = own.into_iter().chain(responses).map(seconds).collect::<Result<_, InputError>>()?;
        Ok(Arc::new(json!({ "user": user, "device": device, "system": system, "responses": responses })))
    }
}

/// Reads a time as RFC 3339 has it.
pub(super) fn parse_time(text: &str) -> Result<OffsetDateTime, InputError> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InputError::Time(text.to_owned()))
}

/// Secrets as authors write them down: `NAME: value`, or with the origins they may be sent to.
pub(super) type SecretsFile = BTreeMap<String, SecretFile>;

/// One secret.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected text, or an object with `value` and `allowedOrigins`")]
pub(super) enum SecretFile {
    /// Only its value.
    Value(String),
    /// Its value and where it may be sent.
    Bound(BoundSecret),
}

/// A secret that may be sent to some origins only.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BoundSecret {
    value: String,
    allowed_origins: Vec<String>,
}

/// The secrets of a run, and their values for whoever must keep them out of what is shown.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// For the sandbox.
    pub(super) secrets: Secrets,
    /// Names and values.
    pub(super) values: Vec<(Box<str>, Arc<Zeroizing<String>>)>,
}

impl Known {
    /// Takes in what a file says.
    ///
    /// # Errors
    /// A text for a person, when an origin is none.
    pub(super) fn new(file: SecretsFile) -> Result<Self, String> {
        let mut known = Vec::new();
        for (name, secret) in file {
            let (value, origins) = match secret {
                SecretFile::Value(value) => (value, None),
                SecretFile::Bound(BoundSecret { value, allowed_origins }) => (value, Some(allowed_origins)),
            };
            let parse = |origin: String| Origin::parse(&origin).map_err(|error| format!("secret `{name}`: {error}"));
            let origins =
                origins.map(|list| list.into_iter().map(parse).collect::<Result<Arc<[_]>, _>>()).transpose()?;
            let value = Arc::new(Zeroizing::new(value));
            known.push((name.into_boxed_str(), Secret { value, allowed_origins: origins }));
        }
        let values = known.iter().map(|(name, secret)| (name.clone(), Arc::clone(&secret.value))).collect();
        Ok(Self { secrets: known.into_iter().collect(), values })
    }

    /// Reads a secrets file; the second value says whether others than its owner can read it.
    pub(super) fn read(path: &Path) -> Result<(Self, bool), InputError> {
        let file: SecretsFile = read_document(path)?;
        let known =
            Self::new(file).map_err(|message| InputError::Content { path: path.to_owned(), line: 1, message })?;
        let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        Ok((known, open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn claims_are_read_strictly() {
        let dir = tempfile::tempdir().unwrap();
        let good = write(
            &dir,
            "claims.json",
            r#"{"user": {"username": "ana"}, "responses": [{"suffix": "s", "kind": "otp", "at": "1970-01-01T00:01:00Z"}]}"#,
        );
        let claims = ClaimsFile::read(&good).unwrap().into_claims(Vec::new()).unwrap();
        assert_eq!(claims["user"]["username"], "ana");
        assert_eq!(claims["responses"][0], json!({ "suffix": "s", "kind": "otp", "at": 60 }));
        let bad = write(&dir, "typo.json", "{\n\"users\": {}}");
        let error = ClaimsFile::read(&bad).unwrap_err();
        assert_eq!(error.code(), "script.input.content");
        assert!(error.to_string().contains("typo.json:2"), "{error}");
    }

    #[test]
    fn criteria_need_a_name_that_can_be_called() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_criterion(&write(&dir, "staff_2.js", "return true;")).unwrap().name.as_ref(), "staff_2");
        for name in ["in-office.js", "2nd.js", "Map.js"] {
            assert_eq!(read_criterion(&write(&dir, name, "")).unwrap_err().code(), "script.input.criteria-name");
        }
    }

    #[test]
    fn secrets_may_be_bound_to_origins() {
        let dir = tempfile::tempdir().unwrap();
        let file = write(&dir, "s.yaml", "A: one\nB: { value: two, allowedOrigins: ['https://api.example.com'] }\n");
        let (known, open) = Known::read(&file).unwrap();
        assert!(open);
        assert!(known.secrets.find("A").unwrap().allowed_origins.is_none());
        assert_eq!(known.secrets.find("B").unwrap().allowed_origins.as_ref().unwrap().len(), 1);
        let wrong = write(&dir, "w.yaml", "B: { value: two, allowedOrigins: ['api.example.com/path'] }\n");
        assert!(Known::read(&wrong).is_err());
    }
}
