//! The shape of the house: who may import whom, what each build carries, and the rules every source file keeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the packages in a dependency tree.
fn tree(args: &[&str]) -> BTreeSet<String> {
    let mut all = vec!["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    all.extend(args);
    cargo(&all).lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Normal dependencies between the crates of the workspace.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]))
            .unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let ours = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap());
        normal.filter(|name| names.contains(name)).map(str::to_owned).collect()
    };
    packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), ours(package))).collect()
}

/// Files of the repository with the extension, outside build folders.
fn files(extension: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn is_test(path: &Path) -> bool {
    let path = path.strip_prefix(root()).unwrap();
    path.iter().any(|part| part == "tests") || path.file_stem().is_some_and(|stem| stem == "tests")
}

#[test]
fn imports_run_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("engine", [].as_slice()),
        ("protocol", &["engine"]),
        ("sandbox", &["engine", "protocol"]),
        ("controller", &["engine", "protocol", "sandbox"]),
        ("gateway", &["engine", "protocol", "sandbox"]),
        ("client", &["engine", "protocol"]),
        ("cli", &["engine", "protocol", "sandbox", "controller", "gateway", "client"]),
        ("testing", &["sandbox"]),
        ("xtask", &[]),
    ]);
    for (package, imports) in imports() {
        let allowed =
            allowed.get(package.as_str()).unwrap_or_else(|| panic!("`{package}` has no place in the graph yet"));
        for import in imports {
            assert!(allowed.contains(&import.as_str()), "`{package}` may not import `{import}`");
        }
    }
}

#[test]
fn the_engine_is_pure() {
    let tree = tree(&["--package", "engine"]);
    let shells = [
        "tokio",
        "hyper",
        "axum",
        "hickory-resolver",
        "hickory-proto",
        "quinn",
        "reqwest",
        "sqlx",
        "mio",
        "socket2",
        "boa_engine",
    ];
    assert!(shells.iter().all(|shell| !tree.contains(*shell)), "{tree:?}");
}

#[test]
fn a_client_alone_carries_neither_scripts_nor_a_database() {
    let tree = tree(&["--package", "cli", "--no-default-features", "--features", "client"]);
    assert!(tree.contains("client"), "{tree:?}");
    let unwanted = |name: &&String| {
        name.starts_with("boa")
            || name.starts_with("sqlx")
            || ["libsqlite3-sys", "sandbox", "controller", "gateway", "axum", "reqwest"].contains(&name.as_str())
    };
    assert_eq!(tree.iter().filter(unwanted).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn scripts_run_in_the_sandbox_only() {
    for package in ["engine", "protocol", "client"] {
        let tree = tree(&["--package", package]);
        assert!(tree.iter().all(|name| !name.starts_with("boa")), "{package}: {tree:?}");
    }
}

#[test]
fn one_cryptographic_provider() {
    let tree = tree(&["--workspace"]);
    assert!(tree.contains("ring"));
    assert!(!tree.contains("aws-lc-rs") && !tree.contains("aws-lc-sys") && !tree.contains("openssl-sys"), "{tree:?}");
}

#[test]
fn every_crate_inherits_the_lints() {
    for package in imports().keys() {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let lints = manifest.split_once("[lints]").map(|(_, rest)| rest.trim_start());
        assert!(
            lints.is_some_and(|lints| lints.starts_with("workspace = true")),
            "`{package}` does not inherit the workspace's lints"
        );
    }
}

#[test]
fn no_source_file_grows_beyond_reading() {
    for path in files("rs").iter().filter(|path| !is_test(path)) {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= 700, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_test_runs_and_no_test_wants_a_panic() {
    for path in files("rs") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let attribute = line.trim_start();
            let unwanted = attribute.starts_with("#[ignore") || attribute.starts_with("#[should_panic");
            assert!(!unwanted, "{}:{}: {attribute}", path.display(), number + 1);
        }
    }
}

#[test]
fn modules_have_no_mod_files_and_say_what_they_are_for() {
    for path in files("rs") {
        assert_ne!(path.file_name().unwrap(), "mod.rs", "{}", path.display());
        if is_test(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not begin with what it is for", path.display());
    }
}
