//! Which share of the ready-made scripts of this repository each lane takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use engine::script::ScriptKind;
use sandbox::{Lane, Sandbox, Script};
use tokio::runtime::Runtime;

use crate::report::Report;

/// Reads every script below `scripts/` in the sandbox and reports how many are proved for the warm lane.
pub fn share(runtime: &Runtime, sandbox: &Sandbox, report: &mut Report) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let mut files = Vec::new();
    scripts_below(&root, &mut files)?;
    let mut lanes: BTreeMap<&str, u32> = BTreeMap::new();
    let mut warm_runs = 0_usize;
    for file in &files {
        let name = file.file_stem().context("a script without a name")?.to_string_lossy();
        let source = std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        // Which lane it is proved for does not depend on its kind.
        let script = Script { name: name.as_ref().into(), kind: ScriptKind::Policy, source: source.as_str().into() };
        let admitted = runtime.block_on(sandbox.admit(script)).map_err(|failure| anyhow!("{failure}"))?;
        *lanes.entry(admitted.analysis.lane().as_str()).or_default() += 1;
        // Whatever names a secret gets a context of its own, proved or not.
        let runs_warm = admitted.analysis.lane() == Lane::Warm && !source.contains("%SECRET:");
        warm_runs += usize::from(runs_warm);
    }
    let warm = files.len().saturating_sub(lanes.get(Lane::Fresh.as_str()).copied().unwrap_or(0) as usize);
    let all = files.len();
    report.note(format!(
        "scripts/: {all} scripts; {warm} proved to change nothing, {warm_runs} of them name no secret and so run warm"
    ));
    report.add("scripts", "warm_share", 100.0 * warm_runs as f64 / all.max(1) as f64, "%");
    Ok(())
}

fn scripts_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read `{}`", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            scripts_below(&entry, found)?;
        } else if entry.extension().is_some_and(|extension| extension == "js") {
            found.push(entry);
        }
    }
    Ok(())
}
