//! The library of ready-made scripts: it passes its tests, and its headers and its page say what is there.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{portcullis, text};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn library() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for kind in fs::read_dir(root().join("scripts")).unwrap() {
        let kind = kind.unwrap().path();
        for file in fs::read_dir(&kind).into_iter().flatten() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "js") {
                let name = format!("{}/{}", kind.file_name().unwrap().display(), file.file_name().unwrap().display());
                scripts.push((name, fs::read_to_string(file).unwrap()));
            }
        }
    }
    scripts.sort();
    scripts
}

#[test]
fn the_library_passes_its_tests_and_gives_no_warning() {
    let output = portcullis(&root(), &["test", "scripts"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let output = portcullis(&root(), &["lint", "scripts", "--deny-warnings"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

/// What stands after each occurrence of `before`, up to a character of `ends`.
fn named(source: &str, before: &str, ends: &[char]) -> BTreeSet<String> {
    source.split(before).skip(1).map(|rest| rest.split(ends).next().unwrap().to_owned()).collect()
}

#[test]
fn headers_of_the_library_say_what_scripts_need() {
    let scripts = library();
    assert!(scripts.len() >= 25);
    for (name, source) in scripts {
        let header: String =
            source.lines().take_while(|line| line.starts_with("//")).map(|line| format!("{line}\n")).collect();
        let body = source.strip_prefix(&header).unwrap();
        assert!(header.lines().next().unwrap().ends_with('.'), "{name}: the first line says what it does");
        assert!(header.contains("// Needs "), "{name}: no needs");
        let ends = [' ', '\n', '%', '\''];
        assert_eq!(named(&header, "Needs secret: ", &ends), named(body, "%SECRET:", &ends), "{name}: secrets");
        let called: BTreeSet<String> = if body.contains("httpGet(") || body.contains("httpPost(") {
            named(body, "'https://", &['/', '\''])
                .into_iter()
                .filter(|host| !host.is_empty())
                .map(|host| format!("https://{host}"))
                .collect()
        } else {
            BTreeSet::new()
        };
        assert_eq!(named(&header, "Calls: ", &ends), called, "{name}: origins");
        for claim in named(&header, "Needs claim: ", &[' ', '\n']) {
            assert!(body.contains(&format!("claims.{claim}")) || claim == "system.clientSrcIP", "{name}: {claim}");
        }
    }
}

#[test]
fn every_calling_script_of_the_library_is_tested_without_an_answer() {
    for (name, _) in library().into_iter().filter(|(_, source)| source.contains("// Calls: ")) {
        let test = fs::read_to_string(root().join("scripts").join(name.replace(".js", ".test.yaml"))).unwrap();
        assert!(test.contains("fails: "), "{name}: no case without an answer");
        assert!(test.contains("status: 401") || test.contains("status: 403"), "{name}: no refused credential");
    }
}

#[test]
fn the_library_page_lists_every_script() {
    let page = fs::read_to_string(root().join("docs/script-library.md")).unwrap();
    for (name, _) in library() {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/script-library.md");
    }
}
