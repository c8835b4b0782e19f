//! The list of on-demand claims as this client understands it: what is meant for Linux, and what to do for each.

use std::{collections::BTreeSet, path::PathBuf};

use protocol::message::OnDemandClaim;

use super::{cache::Checksum, failure::Failure};
use crate::device;

/// One claim to be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(super) claim: String,
    /// What it is about, for people: the script's or the file's name.
    pub(super) subject: String,
    pub(super) job: Result<Job, Failure>,
}

/// How a value is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    Script { name: String, filename: String, checksum: Checksum, args: Vec<String> },
    File(FileFact, PathBuf),
    ProcessRunning(String),
    ServiceRunning(String),
}

/// What can be asked of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFact {
    Exists,
    Size,
    Created,
    Updated,
    Sha512,
}

/// Picks what is meant for this platform. Commands that Linux has no answer to are left out: their claims stay undefined.
pub(super) fn parse(list: Vec<OnDemandClaim>) -> Vec<Wanted> {
    let mut names = BTreeSet::new();
    let here = list.into_iter().filter(|claim| PLATFORMS.contains(&claim.platform.as_str())).take(MAX_CLAIMS);
    let wanted = here.filter_map(|asked| {
        let (claim, subject) = (asked.claim.clone(), subject(&asked));
        let job = job(asked)?;
        let job = if claim.is_empty() || claim.len() > MAX_NAME {
            Err(Failure::Mapping)
        } else if device::BUILT_IN.contains(&claim.as_str()) {
            Err(Failure::BuiltIn(claim.clone()))
        } else if names.insert(claim.clone()) {
            job
        } else {
            Err(Failure::Twice)
        };
        Some(Wanted { claim, subject, job })
    });
    wanted.collect()
}

fn subject(asked: &OnDemandClaim) -> String {
    let subject = asked.name.as_ref().or(asked.path.as_ref()).unwrap_or(&asked.command);
    subject.chars().take(MAX_NAME).collect()
}

fn job(asked: OnDemandClaim) -> Option<Result<Job, Failure>> {
    let OnDemandClaim { command, name, path, args, script, .. } = asked;
    let of_file = |fact| {
        let path = path.map(PathBuf::from).filter(|path| path.is_absolute());
        path.map(|path| Job::File(fact, path)).ok_or(Failure::Mapping)
    };
    let named = |make: fn(String) -> Job, name: Option<String>| {
        name.filter(|name| !name.is_empty() && !name.contains('/')).map(make).ok_or(Failure::Mapping)
    };
    Some(match command.as_str() {
        "runScript" => match script {
            None => Err(Failure::NoScript(name.unwrap_or_default())),
            Some(script) => match (script.sha256.parse(), split(args.as_deref().unwrap_or_default())) {
                (Ok(checksum), Some(args)) => {
                    let name = name.unwrap_or_else(|| script.filename.clone());
                    Ok(Job::Script { name, filename: script.filename, checksum, args })
                }
                (Err(()), _) | (_, None) => Err(Failure::Mapping),
            },
        },
        "fileExists" => of_file(FileFact::Exists),
        "fileSize" => of_file(FileFact::Size),
        "fileCreated" => of_file(FileFact::Created),
        "fileUpdated" => of_file(FileFact::Updated),
        "fileSha512" => of_file(FileFact::Sha512),
        "processRunning" => named(Job::ProcessRunning, name),
        "serviceRunning" => named(Job::ServiceRunning, name),
        _ => return None,
    })
}

/// Splits the arguments of a script at blanks; quotes of either kind hold blanks together, a backslash takes the next
/// character as it is, except between single quotes. Nothing else has a meaning: no shell sees them.
fn split(text: &str) -> Option<Vec<String>> {
    if text.len() > MAX_ARGUMENTS || text.contains('\0') {
        return None;
    }
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().push(characters.next()?),
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (_, Some(open)) if character == open => quote = None,
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            (other, _) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

const PLATFORMS: [&str; 3] = ["desktop.linux.all", "desktop.all", "all"];

/// Most claims that are found out on demand.
const MAX_CLAIMS: usize = 64;

/// Longest name of a claim, and of what it is about.
const MAX_NAME: usize = 128;

/// Longest arguments of a script, in bytes.
const MAX_ARGUMENTS: usize = 4096;

#[cfg(test)]
mod tests {
    use protocol::message::DeviceScriptRef;
    use uuid::Uuid;

    use super::*;

    fn claim(claim: &str, platform: &str, command: &str, subject: &str) -> OnDemandClaim {
        let text = || Some(subject.to_owned());
        OnDemandClaim {
            claim: claim.to_owned(),
            platform: platform.to_owned(),
            command: command.to_owned(),
            name: text().filter(|text| !text.starts_with('/')),
            path: text().filter(|text| text.starts_with('/')),
            args: None,
            script: None,
        }
    }

    #[track_caller]
    fn check(list: Vec<OnDemandClaim>, expected: &[(&str, Result<Job, Failure>)]) {
        let found = parse(list).into_iter().map(|wanted| (wanted.claim, wanted.job));
        let expected = expected.iter().map(|(claim, job)| ((*claim).to_owned(), job.clone()));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_for_others_or_has_no_answer_here_is_left_out() {
        let exists = |path: &str| Ok(Job::File(FileFact::Exists, PathBuf::from(path)));
        check(
            vec![
                claim("a", "desktop.linux.all", "fileExists", "/a"),
                claim("b", "desktop.windows.all", "fileExists", "/b"),
                claim("c", "all", "regExists", "/c"),
                claim("d", "desktop.all", "processRunning", "sshd"),
            ],
            &[("a", exists("/a")), ("d", Ok(Job::ProcessRunning("sshd".to_owned())))],
        );
    }

    #[test]
    fn broken_entries_have_no_value_and_take_nobodys_place() {
        check(
            vec![
                claim("os", "all", "fileExists", "/a"),
                claim("x", "all", "fileSize", "relative"),
                claim("x", "all", "fileExists", "/a"),
                claim("y", "all", "runScript", "gone"),
                claim("z", "all", "processRunning", "a/../b"),
            ],
            &[
                ("os", Err(Failure::BuiltIn("os".to_owned()))),
                ("x", Err(Failure::Mapping)),
                ("x", Err(Failure::Twice)),
                ("y", Err(Failure::NoScript("gone".to_owned()))),
                ("z", Err(Failure::Mapping)),
            ],
        );
    }

    #[test]
    fn a_script_is_named_by_its_checksum() {
        let script = |sha256: &str| {
            let script = DeviceScriptRef { id: Uuid::nil(), filename: "disk.sh".to_owned(), sha256: sha256.to_owned() };
            let args = Some("--list 'two words'".to_owned());
            vec![OnDemandClaim { args, script: Some(script), ..claim("disk", "all", "runScript", "disk") }]
        };
        let checksum = Checksum::of(b"");
        let args = vec!["--list".to_owned(), "two words".to_owned()];
        let (name, filename) = ("disk".to_owned(), "disk.sh".to_owned());
        let job = Job::Script { name, filename, checksum: checksum.clone(), args };
        check(script(&checksum.to_string()), &[("disk", Ok(job))]);
        check(script("../x"), &[("disk", Err(Failure::Mapping))]);
    }

    #[test]
    fn arguments_are_split_like_words_and_nothing_is_expanded() {
        for (text, expected) in [
            ("", Some(vec![])),
            ("  a  b ", Some(vec!["a", "b"])),
            (r#"a"b c"d 'e\f' "g\"h" i\ j"#, Some(vec!["ab cd", r"e\f", "g\"h", "i j"])),
            ("$HOME `id` ; * ''", Some(vec!["$HOME", "`id`", ";", "*", ""])),
            ("'open", None),
            ("end\\", None),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
