//! `portcullis ctl` against a real controller: signing in, applying bundles, looking around, and what it says when
//! something is wrong.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::world::{ADMIN_PASSWORD, Controller};

/// A controller and a folder for the tool's files.
struct Desk {
    dir: tempfile::TempDir,
    controller: Controller,
}

impl Desk {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let controller = Controller::start(dir.path()).await;
        fs::write(dir.path().join("password"), format!("{ADMIN_PASSWORD}\n")).unwrap();
        let desk = Self { dir, controller };
        let url = desk.controller.admin_url.clone();
        let authority = desk.controller.authority.display().to_string();
        desk.succeed(&[
            "login",
            "--url",
            &url,
            "--ca",
            &authority,
            "--username",
            "admin",
            "--password-file",
            "password",
        ]);
        desk
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["ctl", "--config", "ctl.json"]).args(args).current_dir(self.path()).env_remove("RUST_LOG");
        command.stdin(std::process::Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--output", "json"];
        all.extend(args);
        serde_json::from_str(&self.succeed(&all)).unwrap()
    }

    /// What the tool says when it fails.
    #[track_caller]
    fn fail(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    #[track_caller]
    fn says(&self, args: &[&str], expected: &str) {
        let error = self.fail(args);
        assert!(error.contains(expected), "{args:?} says\n{error}\nwhich lacks\n{expected}");
    }
}

/// One object of every kind a bundle may hold, referring to each other by name and standing in the wrong order.
const BUNDLE: &str = r#"
- kind: Policy
  name: Engineers
  type: Access
  expression: return isEngineer(claims);
  entitlements: [Wiki]
  overrideSite: Lab
- kind: Policy
  name: Readers
  type: Admin
  expression: return isEngineer(claims);
  administrativeRoles: [Auditors]
- kind: AdministrativeRole
  name: Auditors
  privileges:
    - { type: View, target: AuditLog }
    - { type: View, target: Policy, scope: { all: true } }
- kind: CriteriaScript
  name: isEngineer
  expressionFile: engineer.js
- kind: Entitlement
  name: Wiki
  tags: [web]
  site: Lab
  conditions: [Office hours, Always]
  conditionLogic: or
  actions:
    - { subtype: tcp_up, action: allow, hosts: [10.0.0.1, "script://pages"], ports: [80, 8000-8999], monitor: { enabled: true } }
    - { subtype: icmp_up, action: block, hosts: [10.0.0.0/24], types: [0-255] }
  appShortcuts:
    - { name: Wiki, url: "http://10.0.0.1" }
- kind: EntitlementScript
  name: pages
  expression: return ['10.0.0.2'];
- kind: Condition
  name: Office hours
  expression: return new Date().getHours() < 18;
  repeatSchedules: ["15m"]
  remedyMethods:
    - { type: PasswordAuthentication, message: Your password please, claimSuffix: wiki, providerId: local }
- kind: Site
  name: Lab
  fallbackSite: Annex
  nameResolution:
    dnsResolvers:
      - { name: lab, servers: ["10.0.0.53"] }
- kind: Site
  name: Annex
- kind: LocalUser
  name: ana
  firstName: Ana
  lastName: Almeida
  tags: [engineer]
  passwordFile: ana
- kind: RingfenceRule
  name: Quiet
  actions:
    - { protocol: tcp, direction: in, action: block, hosts: [0.0.0.0/0], ports: [1-1024] }
- kind: IpPool
  name: Lab
  ranges: [{ first: 10.9.0.1, last: 10.9.0.9 }]
- kind: DeviceScript
  name: Disk
  filename: disk.sh
  contentFile: disk.sh
- kind: UserScript
  name: groups
  expression: return {};
- kind: GlobalSettings
  messageOfTheDay: Mind the gate.
"#;

fn write_bundle(desk: &Desk) {
    desk.write("bundle.yaml", BUNDLE);
    desk.write("engineer.js", "return (claims.user.tags || []).indexOf('engineer') >= 0;\n");
    desk.write("disk.sh", "#!/bin/sh\necho true\n");
    desk.write("ana", "correct horse battery\n");
}

#[tokio::test]
async fn a_bundle_is_applied_once_and_then_unchanged() {
    let desk = Desk::open().await;
    write_bundle(&desk);
    let first = desk.json(&["apply", "-f", "bundle.yaml"]);
    assert_eq!(first["created"], 14, "{first:#}");
    assert_eq!(first["updated"], 1, "{first:#}");

    let updated = |name: &str| desk.json(&["get", "policies", name])["updated"].clone();
    let before = updated("Engineers");
    let audit = |event: &str| desk.json(&["logs", "--limit", "1000", "--event", event]).as_array().unwrap().len();
    let changes = audit("entity_updated");
    let second = desk.json(&["apply", "-f", "bundle.yaml"]);
    assert_eq!(
        (second["created"].as_u64(), second["updated"].as_u64(), second["unchanged"].as_u64()),
        (Some(0), Some(0), Some(15)),
        "{second:#}"
    );
    assert_eq!(updated("Engineers"), before);
    // Nothing was written either: a write without effect would make gateways look at the object again.
    assert_eq!(audit("entity_updated"), changes);

    let edited = BUNDLE.replace("conditionLogic: or", "conditionLogic: and").replace("Mind the gate.", "Mind the gap.");
    desk.write("bundle.yaml", &edited.replace("  entitlements: [Wiki]\n", ""));
    let third = desk.json(&["apply", "-f", "bundle.yaml"]);
    assert_eq!((third["created"].as_u64(), third["updated"].as_u64()), (Some(0), Some(3)), "{third:#}");
    assert_eq!(desk.json(&["get", "policies", "Engineers"])["entitlements"], json!([]));

    let text = desk.succeed(&["apply", "-f", "."]);
    assert!(text.contains("unchanged  Policy `Engineers`"), "{text}");
    assert!(text.ends_with("0 created, 0 updated, 15 unchanged\n"), "{text}");
}

#[tokio::test]
async fn names_become_ids_and_passwords_stay_until_asked_for() {
    let desk = Desk::open().await;
    write_bundle(&desk);
    desk.succeed(&["apply", "-f", "bundle.yaml"]);
    let id = |kind: &str, name: &str| desk.json(&["get", kind, name])["id"].clone();
    let entitlement = desk.json(&["get", "Entitlement", "Wiki"]);
    assert_eq!(entitlement["site"], id("sites", "Lab"));
    assert_eq!(entitlement["conditions"], json!([id("conditions", "Office hours"), id("conditions", "Always")]));
    assert_eq!(
        desk.json(&["get", "conditions", "Office hours"])["remedyMethods"][0]["providerId"],
        id("identity-providers", "local")
    );
    assert_eq!(desk.json(&["get", "sites", "Lab"])["fallbackSite"], id("sites", "Annex"));

    // The file changes: without --secrets that is not even noticed.
    desk.write("ana", "another password\n");
    assert_eq!(desk.json(&["apply", "-f", "bundle.yaml"])["updated"], 0);
    assert_eq!(desk.json(&["apply", "--secrets", "-f", "bundle.yaml"])["updated"], 1);
    let password = desk.write("new", "a third password\n").display().to_string();
    desk.succeed(&["user", "set-password", "ana", "--password-file", &password]);
    assert!(!desk.succeed(&["--output", "json", "get", "local-users", "ana"]).contains("password"));
}

#[tokio::test]
async fn errors_name_file_line_and_what_to_do() {
    let desk = Desk::open().await;
    desk.write("typo.yaml", "kind: Policy\nname: p\nexpresion: return true;\n");
    desk.says(&["apply", "-f", "typo.yaml"], "typo.yaml:3: unknown key `expresion` in Policy");
    desk.write(
        "reference.yaml",
        "kind: Policy\nname: p\ntype: Access\nexpression: return true;\nentitlements:\n  - Nowhere\n",
    );
    desk.says(&["apply", "-f", "reference.yaml"], "reference.yaml:6: Policy `p`: there is no Entitlement `Nowhere`");
    desk.write("script.yaml", "kind: Condition\nname: c\nexpression: |\n  var a = 1;\n  return (a;\n");
    desk.says(&["apply", "-f", "script.yaml"], "script.yaml:3: Condition `c`: expression: line 2, column 10");
    desk.says(
        &["get", "policies", "nobody"],
        "there is no Policy `nobody`; `portcullis ctl get policies` lists what there is",
    );
    desk.says(&["get", "polices"], "no kind of object; known are");
    desk.says(&["apply", "-f", "missing.yaml"], "could not read `missing.yaml`");
    desk.says(&["revoke", " "], "an empty ending would be everybody");
    desk.says(&["delete", "conditions", "Always"], "409");
    assert_eq!(desk.json(&["get", "conditions"]).as_array().unwrap().len(), 1, "something was stored");

    let error: Value = serde_json::from_str(&desk.fail(&["--output", "json", "apply", "-f", "script.yaml"])).unwrap();
    assert_eq!(error["error"]["status"], 422);
    assert_eq!(error["error"]["errors"][0]["field"], "expression");
}

#[tokio::test]
async fn a_sign_in_is_private_and_ends() {
    let desk = Desk::open().await;
    let file = desk.path().join("ctl.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(ADMIN_PASSWORD));

    // An expired token is replaced with the help of the password file.
    let mut saved: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    saved["token"]["expires"] = "2020-01-01T00:00:00Z".into();
    fs::write(&file, saved.to_string()).unwrap();
    desk.succeed(&["get", "policies"]);
    saved.as_object_mut().unwrap().remove("passwordFile");
    fs::write(&file, saved.to_string()).unwrap();
    desk.says(&["get", "policies"], "the sign-in expired; use `portcullis ctl login`");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    desk.says(&["get", "policies"], "can be read by others");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    desk.write("wrong", "wrong\n");
    desk.says(&["login", "--password-file", "wrong"], "did not accept user name and password");
    desk.succeed(&["login", "--password-file", "password"]);
    let token = serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap()["token"].clone();
    desk.succeed(&["logout"]);
    desk.says(&["get", "policies"], "`portcullis ctl login`");

    // The token is dead at the controller too, not only forgotten here.
    let mut saved: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    saved["token"] = token;
    fs::write(&file, saved.to_string()).unwrap();
    desk.says(&["get", "policies"], "not signed in");
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_of_another_authority() {
    let (desk, other) = (Desk::open().await, Desk::open().await);
    let url = desk.controller.admin_url.clone();
    // The other desk trusts its own authority, as it has from its first sign-in on.
    let login = ["login", "--url", &url, "--password-file", "password"];
    other.says(&login, "is not the controller that the given authority vouches for");
    let plain = ["login", "--url", "http://localhost:1", "--password-file", "password"];
    other.says(&plain, "is not an address of the form");
    other.succeed(&["get", "policies"]);
}

#[tokio::test]
async fn gateways_profiles_and_raw_calls() {
    let desk = Desk::open().await;
    let add = [
        "gateway",
        "add",
        "gw1",
        "--site",
        "Default Site",
        "--hostname",
        "127.0.0.1",
        "--port",
        "4433",
        "--seed-out",
        "seed",
    ];
    let added = desk.json(&add);
    assert_eq!(added["seed"], Value::Null, "the seed is in the file and nowhere else");
    assert_eq!(fs::metadata(desk.path().join("seed")).unwrap().permissions().mode() & 0o777, 0o600);
    let first = fs::read_to_string(desk.path().join("seed")).unwrap();
    assert_eq!(desk.json(&add)["id"], added["id"]);
    assert_ne!(fs::read_to_string(desk.path().join("seed")).unwrap(), first, "a new export voids the old seed");
    let status = desk.json(&["gateway", "status"]);
    assert!(
        status
            .as_array()
            .unwrap()
            .iter()
            .any(|appliance| appliance["name"] == "gw1" && appliance["state"] == "appliance_inactive")
    );

    let profile = desk.json(&["profile"]);
    assert!(profile["url"].as_str().unwrap().starts_with("appgate://localhost:"), "{profile}");
    assert_eq!(profile["identityProviderName"], "local");
    desk.says(&["profile", "--provider", "nobody"], "there is no identity provider `nobody`");

    let created =
        desk.json(&["api", "POST", "conditions", "--body", r#"{"name":"Never","expression":"return false;"}"#]);
    assert_eq!(created["name"], "Never");
    let page = desk.json(&["api", "get", "/admin/conditions?range=0-0", "--peer-version", "16"]);
    assert_eq!(page["range"], "0-0/2");
    desk.says(&["api", "GET", "/nowhere"], "404");
    desk.says(&["api", "GET", "/conditions", "--peer-version", "5"], "406");
    assert!(desk.succeed(&["logs", "--event", "entity_created", "--query", "Never"]).contains("entity_name=Never"));
    assert_eq!(desk.json(&["sessions"]), json!([]));
}
