//! YAML bundles: files that describe objects by the API's members, with names in place of ids.
//!
//! A file holds one or more documents, each one object or a list of them, each with its `kind`. A key that is not known
//! is refused with its file and line. `expressionFile`, `passwordFile` and the like name a file, beside the bundle,
//! that holds the value.

pub(super) mod compare;
mod node;
pub(super) mod shape;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use protocol::object::ObjectKind;
use serde_json::{Map, Value};

use node::{Located, Node};
use shape::{Member, Shape};

/// One object of a bundle.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Where it stands.
    pub(crate) place: Place,
    /// Its kind.
    pub(crate) kind: ObjectKind,
    /// Its name; empty for the global settings, which have none.
    pub(crate) name: String,
    /// Its members; references may still be names.
    pub(crate) members: Map<String, Value>,
    /// Members whose value is in a file that is read when it is needed: secrets.
    pub(super) secret_files: BTreeMap<&'static str, PathBuf>,
    lines: BTreeMap<String, u64>,
}

/// A file and a line in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    file: PathBuf,
    line: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why a bundle cannot be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BundleError {
    /// A file cannot be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory without bundles.
    #[error("`{}` holds no file ending in .yaml or .yml", .0.display())]
    NoFiles(PathBuf),
    /// A file beyond the bound.
    #[error("`{}` is larger than {} KiB", .0.display(), MAX_FILE >> 10)]
    TooLarge(PathBuf),
    /// A file that is no YAML.
    #[error("{place}: {message}")]
    Yaml {
        /// Where it stops being YAML.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// Keys or values that have no place in a bundle.
    #[error("{}", .0.join("\n"))]
    Content(Vec<String>),
}

impl Document {
    /// Where a field stands, as precisely as is known.
    pub(super) fn place_of(&self, field: &str) -> Place {
        let mut path = field;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Place { file: self.place.file.clone(), line: *line };
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return self.place.clone(),
            }
        }
    }

    /// How messages call it.
    pub(super) fn title(&self) -> String {
        if self.name.is_empty() { self.kind.to_string() } else { format!("{} `{}`", self.kind, self.name) }
    }
}

/// Reads bundles from files, and from the YAML files of directories, in the order of their names.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, BundleError> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        for file in files(path)? {
            read_file(&file, &mut documents, &mut problems)?;
        }
    }
    let mut seen = BTreeMap::new();
    for document in &documents {
        if let Some(first) = seen.insert((document.kind, document.name.as_str()), &document.place) {
            problems.push(format!("{}: {} stands at {first} already", document.place, document.title()));
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(BundleError::Content(problems)) }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let error = |source| BundleError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(error)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(error)? {
        let file = entry.map_err(error)?.path();
        if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.insert(file);
        }
    }
    if files.is_empty() { Err(BundleError::NoFiles(path.to_owned())) } else { Ok(files.into_iter().collect()) }
}

/// Reads a text file of bounded size.
pub(super) fn read_text(path: &Path) -> Result<String, BundleError> {
    let error = |source| BundleError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(error)?.len() > MAX_FILE {
        return Err(BundleError::TooLarge(path.to_owned()));
    }
    fs::read_to_string(path).map_err(error)
}

fn read_file(file: &Path, documents: &mut Vec<Document>, problems: &mut Vec<String>) -> Result<(), BundleError> {
    let text = read_text(file)?;
    let nodes: Vec<Located> = serde_saphyr::from_multiple(&text).map_err(|error| yaml_error(file, &error))?;
    for node in nodes {
        let items = match *node.value {
            Node::List(items) => items,
            Node::Scalar(Value::Null) => continue,
            Node::Scalar(_) | Node::Map(_) => vec![node],
        };
        for item in items {
            let mut reader = Reader { file, problems, lines: BTreeMap::new(), secret_files: BTreeMap::new() };
            documents.extend(reader.document(item));
        }
    }
    Ok(())
}

fn yaml_error(file: &Path, error: &serde_saphyr::Error) -> BundleError {
    let place = Place { file: file.to_owned(), line: error.location().map_or(1, |location| location.line()) };
    BundleError::Yaml { place, message: error.render_with_formatter(&serde_saphyr::UserMessageFormatter) }
}

/// Reads one object, noting every problem.
struct Reader<'a> {
    file: &'a Path,
    problems: &'a mut Vec<String>,
    lines: BTreeMap<String, u64>,
    secret_files: BTreeMap<&'static str, PathBuf>,
}

impl Reader<'_> {
    fn document(&mut self, node: Located) -> Option<Document> {
        let line = node.referenced.line();
        let Node::Map(mut entries) = *node.value else {
            self.problem(line, format!("expected an object with its `kind`, found {}", node.value.describe()));
            return None;
        };
        let kind = self.kind(line, &mut entries)?;
        let members = self.members(kind, entries);
        let name = members.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() && kind != ObjectKind::GlobalSettings {
            self.problem(line, format!("this {kind} has no `name`"));
        }
        let place = Place { file: self.file.to_owned(), line };
        Some(Document {
            place,
            kind,
            name,
            members,
            secret_files: std::mem::take(&mut self.secret_files),
            lines: std::mem::take(&mut self.lines),
        })
    }

    fn kind(&mut self, line: u64, entries: &mut Vec<(serde_saphyr::Spanned<String>, Located)>) -> Option<ObjectKind> {
        let Some(position) = entries.iter().position(|(key, _)| key.value == "kind") else {
            self.problem(line, "this object has no `kind`".to_owned());
            return None;
        };
        let (_, value) = entries.remove(position);
        let title = value.value.value();
        let kind = title.as_str().and_then(super::objects::parse_kind);
        if kind.is_none() {
            let known: Vec<&str> = ObjectKind::ALL.iter().map(|kind| kind.title()).collect();
            self.problem(
                value.referenced.line(),
                format!("{title} is no kind of object; known are {}", known.join(", ")),
            );
        }
        kind
    }

    fn members(
        &mut self,
        kind: ObjectKind,
        entries: Vec<(serde_saphyr::Spanned<String>, Located)>,
    ) -> Map<String, Value> {
        let known = shape::members(kind);
        let mut members = Map::new();
        for (key, node) in entries {
            let line = key.referenced.line();
            if let Some(member) = find(&known, &key.value) {
                self.lines.insert(key.value.clone(), line);
                if let Some(value) = self.value(&key.value, member.shape, &node) {
                    members.insert(key.value, value);
                }
            } else if let Some(member) = in_file(&known, &key.value) {
                self.lines.insert(member.name.to_owned(), line);
                self.file_member(line, member, &node, &mut members);
            } else {
                self.problem(line, unknown(&key.value, &format!("{kind}"), known.iter().copied().flatten()));
            }
        }
        members
    }

    /// A member whose value is the content of a file.
    fn file_member(&mut self, line: u64, member: &Member, node: &Located, members: &mut Map<String, Value>) {
        let value = node.value.value();
        let Some(name) = value.as_str().filter(|name| !name.is_empty()) else {
            self.problem(line, format!("`{}File` must be the path of a file", member.name));
            return;
        };
        let path = self.file.parent().unwrap_or(Path::new("")).join(name);
        match member.shape {
            Shape::Secret => {
                self.secret_files.insert(member.name, path);
            }
            Shape::Content => match fs::read(&path) {
                Ok(content) => {
                    members.insert(member.name.to_owned(), STANDARD.encode(content).into());
                }
                Err(error) => self.problem(line, format!("could not read `{}`: {error}", path.display())),
            },
            _ => match read_text(&path) {
                Ok(text) => {
                    members.insert(member.name.to_owned(), text.into());
                }
                Err(error) => self.problem(line, with_source(&error)),
            },
        }
    }

    fn value(&mut self, path: &str, shape: Shape, node: &Located) -> Option<Value> {
        let line = node.referenced.line();
        match (shape, node.value.as_ref()) {
            (Shape::ReadOnly, _) => None,
            (Shape::Object(members), Node::Map(entries)) => Some(Value::Object(self.object(path, members, entries))),
            (Shape::List(item), Node::List(nodes)) => {
                let mut items = Vec::with_capacity(nodes.len());
                for (index, node) in nodes.iter().enumerate() {
                    let at = format!("{path}[{index}]");
                    self.lines.insert(at.clone(), node.referenced.line());
                    items.extend(self.value(&at, *item, node));
                }
                Some(Value::Array(items))
            }
            (Shape::Text, Node::Scalar(Value::Number(number))) => Some(number.to_string().into()),
            (_, Node::Scalar(Value::Null)) | (Shape::Any, _) => Some(node.value.value()),
            (Shape::Object(_), other) => {
                self.problem(line, format!("`{path}` must be keys with values, not {}", other.describe()));
                None
            }
            (Shape::List(_), other) => {
                self.problem(line, format!("`{path}` must be a list, not {}", other.describe()));
                None
            }
            (_, Node::Scalar(Value::String(text))) => Some(text.clone().into()),
            (_, other) => {
                self.problem(line, format!("`{path}` must be text, not {}", other.describe()));
                None
            }
        }
    }

    fn object(
        &mut self,
        path: &str,
        members: &[Member],
        entries: &[(serde_saphyr::Spanned<String>, Located)],
    ) -> Map<String, Value> {
        let mut object = Map::new();
        for (key, node) in entries {
            let at = format!("{path}.{}", key.value);
            let Some(member) = members.iter().find(|member| member.name == key.value) else {
                self.problem(key.referenced.line(), unknown(&key.value, &format!("`{path}`"), members.iter()));
                continue;
            };
            self.lines.insert(at.clone(), key.referenced.line());
            if let Some(value) = self.value(&at, member.shape, node) {
                object.insert(key.value.clone(), value);
            }
        }
        object
    }

    fn problem(&mut self, line: u64, text: String) {
        self.problems.push(format!("{}:{line}: {text}", self.file.display()));
    }
}

fn find(known: &[&'static [Member]], name: &str) -> Option<&'static Member> {
    known.iter().copied().flatten().find(|member| member.name == name)
}

/// The member that a key such as `expressionFile` gives by a file.
fn in_file(known: &[&'static [Member]], key: &str) -> Option<&'static Member> {
    let member = |name| find(known, name);
    match key.strip_suffix("File") {
        Some("content") => member("file").filter(|member| matches!(member.shape, Shape::Content)),
        Some(name) => member(name).filter(|member| matches!(member.shape, Shape::Script | Shape::Secret)),
        None => None,
    }
}

fn unknown<'a>(key: &str, of: &str, known: impl Iterator<Item = &'a Member>) -> String {
    let names: Vec<&str> =
        known.filter(|member| !matches!(member.shape, Shape::ReadOnly)).map(|member| member.name).collect();
    format!("unknown key `{key}` in {of}; known are {}", names.join(", "))
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Larger than any bundle or script should be; the API refuses bodies beyond the same bound.
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
