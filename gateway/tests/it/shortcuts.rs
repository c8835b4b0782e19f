//! App shortcuts on their way to the client.

use std::collections::BTreeSet;

use protocol::{
    message::{ControlDown, GatewayAnswer, Question, Shortcut},
    object::ObjectKind,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::{Client, Device},
    world::{World, allow},
};

const SCRIPT: Uuid = Uuid::from_u128(50);

async fn entitlement(world: &World, address: std::net::SocketAddr, shortcuts: Value) {
    let body = json!({
        "id": world.entitlement, "name": "servers", "site": world.facts().site, "conditions": [world.condition],
        "actions": [allow(address)], "appShortcuts": shortcuts, "appShortcutScripts": [SCRIPT],
    });
    world.controller.put([(ObjectKind::Entitlement, body)]).await;
}

async fn script(world: &World, expression: &str) {
    let body = json!({ "id": SCRIPT, "name": "apps", "type": "appShortcut", "expression": expression });
    world.controller.put([(ObjectKind::EntitlementScript, body)]).await;
}

/// Reads what is told until the names are the wanted ones.
async fn told(client: &mut Client, wanted: &[&str]) -> Vec<Shortcut> {
    let names = |shortcuts: &[Shortcut]| -> BTreeSet<String> {
        shortcuts.iter().map(|shortcut| shortcut.name.clone()).collect()
    };
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let fits =
        |message: &ControlDown| matches!(message, ControlDown::Shortcuts { shortcuts } if names(shortcuts) == wanted);
    match client.next_matching(fits).await {
        ControlDown::Shortcuts { shortcuts } => shortcuts,
        other => panic!("{other:?}"),
    }
}

async fn problems(world: &World, device: &Device) -> Vec<String> {
    match world.controller.ask(Question::Sessions { name: device.name.clone() }).await {
        GatewayAnswer::Sessions { sessions } => sessions[0].entitlements[0].problems.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_entitlements_and_scripts_are_told_and_followed() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    script(&world, "return [{ name: claims.device.desk, url: 'ssh://' + claims.device.desk, groupName: 'Desks' }];")
        .await;
    let wiki = json!({ "name": "Wiki", "url": "https://wiki.example", "description": "What we know", "colorCode": 4 });
    let evil = json!({ "name": "Evil", "url": "javascript:alert(1)" });
    entitlement(&world, echo, json!([wiki, evil])).await;
    let device = world.device();
    let tokens = world.tokens(&device).reporting(json!({ "desk": "north" })).present();
    let mut client = Client::connect(&world, &device).await;
    client.show(tokens).await;
    let first = told(&mut client, &["Wiki", "north"]).await;
    let desk = Shortcut {
        name: "north".into(),
        url: "ssh://north".into(),
        description: String::new(),
        color_code: 1,
        group_name: Some("Desks".into()),
    };
    assert!(first.contains(&desk), "{first:?}");
    let refused = problems(&world, &device).await;
    assert!(refused.len() == 1 && refused[0].contains("shortcut `Evil` must begin with one of http"), "{refused:?}");

    // Renewed tokens, edited scripts and edited entitlements are other facts.
    client.show(world.tokens(&device).reporting(json!({ "desk": "south" })).present()).await;
    told(&mut client, &["Wiki", "south"]).await;
    script(&world, "return [{ name: 'one', url: 'https://a' }, { name: 'one', url: 'https://a' }];").await;
    told(&mut client, &["Wiki", "one"]).await;
    entitlement(&world, echo, json!([])).await;
    told(&mut client, &["one"]).await;

    // A failing script is a problem, and access goes on.
    script(&world, "return [{ name: claims.device.missing.deep, url: 'https://a' }];").await;
    told(&mut client, &[]).await;
    let failed = problems(&world, &device).await;
    assert!(failed.len() == 1 && failed[0].starts_with("servers#shortcuts: script `apps` "), "{failed:?}");
    client.open_tcp(echo).await.echo(b"all the same").await;

    // Without the entitlement nothing is offered.
    script(&world, "return [{ name: 'back', url: 'https://a' }];").await;
    told(&mut client, &["back"]).await;
    let mut fewer = world.tokens(&device);
    fewer.grant().grants.clear();
    client.show(fewer.present()).await;
    told(&mut client, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_hangs_or_floods_holds_up_nobody() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    script(&world, "for (;;) {}").await;
    entitlement(&world, echo, json!([])).await;
    let device = world.device();
    let began = std::time::Instant::now();
    let mut client = Client::admitted(&world, &device).await;
    client.open_tcp(echo).await.echo(b"at once").await;
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
    let many =
        "var all = []; for (var i = 0; i < 300; i++) all.push({ name: 'n' + i, url: 'https://a/' + i }); return all;";
    script(&world, many).await;
    let flood = client.next_matching(|message| matches!(message, ControlDown::Shortcuts { .. })).await;
    assert!(matches!(flood, ControlDown::Shortcuts { shortcuts } if shortcuts.len() == 100));
    let told = problems(&world, &device).await;
    assert_eq!(told, ["servers#shortcuts: more app shortcuts than are shown"]);
}
