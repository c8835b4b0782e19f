//! What clients are told to find out about their devices, and who gets the files of device scripts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use controller::store::Op;
use protocol::object::ObjectKind;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::harness::{House, id_of, refused};

/// Stores a device script; answers its checksum.
async fn add_script(house: &House, name: &str, content: &[u8]) -> String {
    let sha256: String = digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({ "id": id_of(name), "name": name, "filename": format!("{name}.sh"), "checksumSha256": sha256 });
    let id = house.put(ObjectKind::DeviceScript, body).await;
    let value = STANDARD.encode(content).into_bytes();
    house.transact(vec![Op::PutSecret { kind: ObjectKind::DeviceScript, id, field: "file", value }]).await;
    sha256
}

/// Lists the mappings on the built-in provider.
async fn list(house: &House, mappings: Value) {
    let config = house.running.controller.config.current();
    let mut provider = config.by_name(ObjectKind::IdentityProvider, "local").unwrap().body.clone();
    provider["onDemandClaimMappings"] = mappings;
    house.put(ObjectKind::IdentityProvider, provider).await;
}

fn runs(claim: &str, script: &str) -> Value {
    let parameters = json!({ "name": script, "args": "--all" });
    json!({ "command": "runScript", "claimName": claim, "platform": "desktop.linux.all", "parameters": parameters })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_gets_the_list_of_its_provider_and_the_files_it_names() {
    let house = House::new().await;
    house.add_user("ana").await;
    let disk = add_script(&house, "disk", b"#!/bin/sh\necho ok\n").await;
    let other = add_script(&house, "other", b"echo other").await;
    let exists = json!({
        "command": "fileExists", "claimName": "managed", "platform": "desktop.all", "parameters": { "path": "/etc/managed" },
    });
    list(&house, json!([runs("disk", "disk"), exists, runs("gone", "no such script")])).await;
    let session = house.sign_in("ana").await;
    let told: Vec<_> = session.on_demand.iter().map(|asked| (asked.claim.as_str(), asked.command.as_str())).collect();
    assert_eq!(told, [("disk", "runScript"), ("managed", "fileExists"), ("gone", "runScript")]);
    let script = session.on_demand[0].script.as_ref().unwrap();
    assert_eq!((script.filename.as_str(), &script.sha256), ("disk.sh", &disk));
    assert_eq!(session.on_demand[0].args.as_deref(), Some("--all"));
    assert_eq!(session.on_demand[1].path.as_deref(), Some("/etc/managed"));
    assert_eq!(session.on_demand[2].script, None, "a script that is not there is told as such");

    assert_eq!(session.download(&disk).await.unwrap(), b"#!/bin/sh\necho ok\n");
    assert_eq!(refused(session.download(&other).await), "device-script.gone", "only what the list names");
    assert_eq!(refused(session.download("../disk").await), "device-script.gone");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_brings_the_list_as_it_is_by_then() {
    let house = House::new().await;
    house.add_user("ana").await;
    let first = add_script(&house, "disk", b"echo one").await;
    list(&house, json!([runs("disk", "disk")])).await;
    let session = house.sign_in("ana").await;
    let second = add_script(&house, "disk", b"echo two").await;
    let renewed = session.renew_all().await.ok().unwrap();
    assert_eq!(renewed.on_demand[0].script.as_ref().unwrap().sha256, second);
    assert_eq!(session.download(&second).await.unwrap(), b"echo two");
    assert_eq!(refused(session.download(&first).await), "device-script.gone");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_signed_in_sessions_only() {
    let house = House::new().await;
    house.add_user("ana").await;
    house.add_user("eve").await;
    let disk = add_script(&house, "disk", b"echo ok").await;
    list(&house, json!([runs("disk", "disk")])).await;
    let (mut ana, eve) = (house.sign_in("ana").await, house.sign_in("eve").await);
    house.disable_user("ana").await;
    assert_eq!(refused(ana.download(&disk).await), "sign-in.user-gone");
    ana.carrier = house.connect(None).await;
    assert_eq!(refused(ana.download(&disk).await), "certificate.session-required");
    ana.carrier = eve.carrier.clone();
    assert_eq!(refused(ana.download(&disk).await), "token.refused");
    eve.download(&disk).await.unwrap();
    house.running.stop().await;
}
