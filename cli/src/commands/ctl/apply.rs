//! `ctl apply`: makes the collective hold what bundles describe. Applying the same bundle again changes nothing.

mod directory;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use protocol::object::ObjectKind;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    api::{Api, Call, CallError},
    bundle::{
        self, Document, compare,
        shape::{self, Shape},
    },
};
use crate::{
    output::{Output, print_json, say},
    secret,
};
use directory::{Directory, Lookup};

/// Arguments of `ctl apply`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bundles: YAML files, or directories with YAML files.
    #[arg(short, long = "file", required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Also set passwords and other secrets of objects that exist already; otherwise they are set on creation only.
    #[arg(long)]
    secrets: bool,
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// It did not exist.
    Created,
    /// It was replaced.
    Updated,
    /// It was so already.
    Unchanged,
}

impl Change {
    /// As it is shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One applied object.
#[derive(Debug)]
pub(crate) struct Applied {
    kind: ObjectKind,
    name: String,
    id: Option<Uuid>,
    change: Change,
}

/// Applies bundles and prints what became of every object, also when one fails.
pub(super) async fn run(api: &Api, args: &Args, output: Output) -> anyhow::Result<()> {
    let documents = bundle::read(&args.files)?;
    let mut applied = Vec::new();
    let result = apply(api, documents, args.secrets, &mut applied, output == Output::Table).await;
    match output {
        // What failed before anything was done is told by the error alone.
        Output::Table if applied.is_empty() && result.is_err() => {}
        Output::Table => {
            let count = |change| applied.iter().filter(|applied| applied.change == change).count();
            let [created, updated, unchanged] = [Change::Created, Change::Updated, Change::Unchanged].map(count);
            say!("{created} created, {updated} updated, {unchanged} unchanged");
        }
        Output::Json => print_json(&report(&applied)),
    }
    result
}

fn report(applied: &[Applied]) -> Value {
    let objects: Vec<Value> = applied
        .iter()
        .map(|applied| json!({ "kind": applied.kind.title(), "name": applied.name, "id": applied.id, "result": applied.change }))
        .collect();
    let count = |change| applied.iter().filter(|applied| applied.change == change).count();
    json!({
        "objects": objects,
        "created": count(Change::Created),
        "updated": count(Change::Updated),
        "unchanged": count(Change::Unchanged),
    })
}

/// Applies documents in an order in which everything referred to exists first.
pub(crate) async fn apply(
    api: &Api,
    documents: Vec<Document>,
    secrets: bool,
    applied: &mut Vec<Applied>,
    show: bool,
) -> anyhow::Result<()> {
    let mut directory = Directory::load(api, &documents).await?;
    let progress = progress_bar(documents.len(), show);
    let mut waiting: VecDeque<Document> = ordered(documents).into();
    // Objects of one kind may refer to each other, so what cannot be resolved yet is tried again after the rest.
    let mut postponed = 0;
    while let Some(document) = waiting.pop_front() {
        let wanted = match directory.resolve(&document) {
            Lookup::Resolved(wanted) => wanted,
            Lookup::Unknown { field, kind, name } => {
                if postponed < waiting.len() && waiting.iter().any(|other| other.kind == kind && other.name == name) {
                    postponed += 1;
                    waiting.push_back(document);
                    continue;
                }
                let place = document.place_of(&field);
                return Err(anyhow!(
                    "{place}: {}: there is no {kind} `{name}`, here or at the controller",
                    document.title()
                ));
            }
        };
        postponed = 0;
        let one = apply_one(api, &mut directory, &document, wanted, secrets).await?;
        progress.inc(1);
        if show {
            progress.suspend(|| say!("{:<10} {}", one.change.as_str(), document.title()));
        }
        applied.push(one);
    }
    progress.finish_and_clear();
    Ok(())
}

fn progress_bar(length: usize, show: bool) -> ProgressBar {
    if !show || length < LONG {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} objects, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

fn ordered(mut documents: Vec<Document>) -> Vec<Document> {
    let rank: BTreeMap<ObjectKind, usize> =
        shape::ORDER.into_iter().enumerate().map(|(rank, kind)| (kind, rank)).collect();
    documents.sort_by_key(|document| rank.get(&document.kind).copied());
    documents
}

async fn apply_one(
    api: &Api,
    directory: &mut Directory,
    document: &Document,
    wanted: Map<String, Value>,
    secrets: bool,
) -> anyhow::Result<Applied> {
    let kind = document.kind;
    let existing = directory.get(kind, &document.name).cloned();
    let (change, id) = match existing {
        None => {
            let created = create(api, document, wanted).await.map_err(|error| explain(document, error))?;
            let id = directory.put(kind, &document.name, created);
            (Change::Created, id)
        }
        Some(existing) => {
            let change = update(api, document, wanted, existing, secrets, directory)
                .await
                .map_err(|error| explain(document, error))?;
            (change, directory.id(kind, &document.name))
        }
    };
    Ok(Applied { kind, name: document.name.clone(), id, change })
}

async fn create(api: &Api, document: &Document, mut wanted: Map<String, Value>) -> anyhow::Result<Value> {
    add_secrets(document, &mut wanted)?;
    let body = Value::Object(wanted);
    Ok(api.call(&Call::new(Method::POST, format!("/{}", document.kind.path())).body(&body)).await?)
}

async fn update(
    api: &Api,
    document: &Document,
    mut wanted: Map<String, Value>,
    existing: Map<String, Value>,
    secrets: bool,
    directory: &mut Directory,
) -> anyhow::Result<Change> {
    let groups = shape::members(document.kind);
    if document.kind == ObjectKind::GlobalSettings {
        // There is always one; a bundle says what should be different.
        let mut merged = existing.clone();
        merged.extend(wanted);
        wanted = merged;
    }
    let has_secrets = !document.secret_files.is_empty()
        || groups
            .iter()
            .copied()
            .flatten()
            .any(|member| matches!(member.shape, Shape::Secret) && wanted.contains_key(member.name));
    if compare::is_same(&groups, &wanted, &existing) && !(secrets && has_secrets) {
        return Ok(Change::Unchanged);
    }
    if secrets {
        add_secrets(document, &mut wanted)?;
    } else {
        for member in groups.iter().copied().flatten().filter(|member| matches!(member.shape, Shape::Secret)) {
            wanted.remove(member.name);
        }
    }
    let path = match existing.get("id").and_then(Value::as_str).filter(|_| document.kind != ObjectKind::GlobalSettings)
    {
        Some(id) => format!("/{}/{}", document.kind.path(), super::api::segment(id)),
        None => format!("/{}", document.kind.path()),
    };
    let answer = api.call(&Call::new(Method::PUT, path).body(&Value::Object(wanted))).await?;
    let Value::Object(updated) = &answer else { return Ok(Change::Updated) };
    let same = without_times(updated) == without_times(&existing) && !(secrets && has_secrets);
    directory.put(document.kind, &document.name, answer);
    Ok(if same { Change::Unchanged } else { Change::Updated })
}

fn without_times(document: &Map<String, Value>) -> Map<String, Value> {
    document
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "created" | "updated"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn add_secrets(document: &Document, wanted: &mut Map<String, Value>) -> anyhow::Result<()> {
    for (name, file) in &document.secret_files {
        let value = secret::read_password(Some(file), name)
            .with_context(|| format!("{}: {}", document.place_of(name), document.title()))?;
        wanted.insert((*name).to_owned(), value.as_str().into());
    }
    Ok(())
}

/// Puts file and line before what the controller refused.
fn explain(document: &Document, error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast::<CallError>() {
        Ok(CallError::Refused(refused)) if !refused.fields.is_empty() => {
            let field = |(field, message): &(String, String)| {
                format!("{}: {}: {field}: {message}", document.place_of(field), document.title())
            };
            let message = refused.fields.iter().map(field).collect::<Vec<_>>().join("\n");
            return FieldsRefused { message, cause: CallError::Refused(refused) }.into();
        }
        Ok(other) => other.into(),
        Err(other) => other,
    };
    error.context(format!("{}: {}", document.place, document.title()))
}

/// Fields that the controller refused, with their places in the bundle.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct FieldsRefused {
    message: String,
    /// As the controller put it; not a source, because the message says the same with more.
    pub(crate) cause: CallError,
}

/// Bundles from this size on get a progress bar.
const LONG: usize = 25;
