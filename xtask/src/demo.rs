//! `cargo xtask demo`: the whole story on real processes.
//!
//! Every step is checked from outside, by bytes that arrive, by what the API answers or by what a client's status says.
//! Everything lives in a private directory and on a loopback network of its own; all processes are ended by their ids,
//! whatever ends the demo.

mod admin;
mod download;
mod place;
mod process;
mod report;
mod socks;
mod story;
mod user;
mod wait;
mod world;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};

use self::{place::Place, process::Launcher, report::Report, world::World};
use crate::{Output, cargo, reaper::Reaper};

/// How to run.
pub struct Options {
    /// Leave everything running.
    pub keep: bool,
    /// For whom to print.
    pub output: Output,
}

/// Builds what is needed and tells the story.
///
/// # Errors
/// When the demo itself cannot run; a failed step is no error but a failed exit code.
pub fn run(options: Options) -> Result<ExitCode> {
    let mut executables = cargo::build(&["--package", "cli", "--bin", "portcullis", "--example", "thief"])?;
    let mut built = |name: &str| executables.remove(name).with_context(|| format!("cargo built no `{name}`"));
    let (portcullis, thief) = (built("portcullis")?, built("thief")?);
    let reaper = Arc::new(Reaper::start()?);
    let place = Place::make()?;
    reaper.remove_at_end(place.directory());
    let launcher = Launcher::new(reaper.clone(), place.directory().to_path_buf(), place.logs());
    let mut world = World::new(place, launcher, portcullis, thief);
    let mut report = Report::new(options.output);
    report.note(format!("Everything lives in {} and on {}", world.place.directory().display(), world.place.network()));
    story::tell(&mut world, &mut report);
    let code = report.end();
    if report.has_failed() {
        reaper.keep_directory();
        eprintln!("The logs are in {}", world.place.logs().display());
    }
    if options.keep {
        leave_running(&mut world, &report)?;
        reaper.release();
    }
    drop(world);
    reaper.finish();
    Ok(code)
}

fn leave_running(world: &mut World, report: &Report) -> Result<()> {
    let mut pids = Vec::new();
    for (_, process) in world.processes() {
        if process.exited().is_none() {
            process.stay();
            pids.push(process.pid().to_string());
        }
    }
    let directory = world.place.directory().to_path_buf();
    let stop = directory.join("stop.sh");
    place::write_private(&stop, &stop_script(&pids.join(" "), &directory.display().to_string()))?;
    let (binary, socks) = (
        world.portcullis_path().display().to_string(),
        world.user("ana").map(|ana| ana.socks().to_string()).unwrap_or_default(),
    );
    let directory = directory.display();
    report.note(format!(
        "\nEverything keeps running. Look around:\n  \
         {binary} ctl --config {directory}/ctl.json sessions\n  \
         {binary} ctl --config {directory}/ctl.json logs --limit 20\n  \
         {binary} client status --data {directory}/ana\n  \
         curl --proxy socks5h://{socks} http://{}:8080/hello\n\
         Logs: {directory}/logs\nStop everything: sh {}",
        place::WIKI.name,
        stop.display(),
    ));
    Ok(())
}

/// Ends the processes by their ids, as far as these are still theirs, and removes the directory.
fn stop_script(pids: &str, directory: &str) -> String {
    let here = format!("[ \"$(readlink /proc/$pid/cwd)\" = '{directory}' ]");
    format!(
        "for pid in {pids}; do\n  \
           {here} && kill $pid\n  \
           while {here}; do sleep 0.1; done\n\
         done\n\
         rm -r '{directory}'\n"
    )
}
