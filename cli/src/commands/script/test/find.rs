//! Finds test files, and scripts that have none.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::commands::script::input::InputError;

/// What lies in the folders.
pub(in crate::commands::script) struct Found {
    /// Test files.
    pub(in crate::commands::script) tests: Vec<PathBuf>,
    /// Scripts.
    pub(in crate::commands::script) scripts: Vec<PathBuf>,
    /// Scripts without a test file.
    pub(in crate::commands::script) untested: Vec<PathBuf>,
}

/// Errors from looking for scripts.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands::script) enum FindError {
    /// Nothing to do is a mistake in the arguments.
    #[error("there are no scripts and no test files in {0}")]
    Nothing(String),
    /// More than anyone writes.
    #[error("`{}` holds more than {MAX_FILES} files or folders nested more than {MAX_DEPTH} deep", .0.display())]
    TooMany(PathBuf),
    /// A folder cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Ends the name of a test file.
const TEST_ENDING: &str = ".test.yaml";
/// Most files looked at.
const MAX_FILES: usize = 100_000;
/// Deepest folder looked at.
const MAX_DEPTH: usize = 32;

/// Searches folders, and takes files as they are.
pub(in crate::commands::script) fn find(paths: &[PathBuf]) -> Result<Found, FindError> {
    let mut files = BTreeSet::new();
    for path in paths {
        collect(path, 0, &mut files)?;
    }
    let (tests, others): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| name(file).ends_with(TEST_ENDING));
    let scripts: Vec<PathBuf> = others.into_iter().filter(|file| name(file).ends_with(".js")).collect();
    if tests.is_empty() && scripts.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(FindError::Nothing(paths.join(", ")));
    }
    let untested = scripts.iter().filter(|script| !test_of(script).is_file()).cloned().collect();
    Ok(Found { tests, scripts, untested })
}

/// The script a test file is for.
pub(in crate::commands::script) fn script_of(test: &Path) -> PathBuf {
    let base = name(test).strip_suffix(TEST_ENDING).unwrap_or_default().to_owned();
    test.with_file_name(format!("{base}.js"))
}

/// The test file of a script.
pub(in crate::commands::script) fn test_of(script: &Path) -> PathBuf {
    let base = name(script).strip_suffix(".js").unwrap_or_default().to_owned();
    script.with_file_name(format!("{base}{TEST_ENDING}"))
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn collect(path: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> Result<(), FindError> {
    if depth > MAX_DEPTH || files.len() > MAX_FILES {
        return Err(FindError::TooMany(path.to_owned()));
    }
    let error = |source| FindError::Input(InputError::Read { path: path.to_owned(), source });
    // Links inside a folder are not followed, so a search ends; a path on the command line may be one.
    let metadata = if depth == 0 { fs::metadata(path) } else { fs::symlink_metadata(path) }.map_err(error)?;
    if metadata.is_file() {
        files.insert(path.to_owned());
    } else if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(error)? {
            collect(&entry.map_err(error)?.path(), depth + 1, files)?;
        }
    }
    Ok(())
}
