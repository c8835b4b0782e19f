//! The matrix of roles and routes as a golden file: a change of who may do what is a diff somebody reads.

use super::*;
use crate::api::route::routes;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/tests/privileges.txt");

fn roles() -> Vec<(&'static str, Value)> {
    let all = json!({ "all": true });
    vec![
        ("none", json!([{ "type": "View", "target": "License" }])),
        ("viewer", json!([{ "type": "View", "target": "All", "scope": all }])),
        ("editor", json!([{ "type": "Edit", "target": "All", "scope": all }])),
        ("tenant", json!([{ "type": "All", "target": "Policy", "scope": { "tags": ["a"] } }])),
        ("policies", json!([{ "type": "All", "target": "Policy", "scope": all }])),
        ("devices", json!([{ "type": "All", "target": "TokenRecord" }])),
        ("everything", json!([{ "type": "All", "target": "All" }])),
    ]
}

/// What a role gets at a route with an empty body: `-` where a privilege is missing, else the status.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let world = World::new().await;
    let mut tokens = Vec::new();
    for (name, privileges) in roles() {
        tokens.push(world.token_for(name, privileges).await);
    }
    let names: Vec<String> = roles().iter().map(|(name, _)| format!("{name:>12}")).collect();
    let mut table = format!("{:<58}{}\n", "", names.concat());
    for (method, path) in routes().listed {
        let asks_for_a_token =
            crate::api::caller::EXCEPTIONS.iter().all(|(other, route, _, _)| *other != method || *route != path);
        if !asks_for_a_token
            || path.ends_with("/revoked/by-type/{type}")
            || (path == "/admin/global-settings" && method == Method::DELETE)
        {
            continue;
        }
        table.push_str(&format!("{:<58}", format!("{method} {path}")));
        for token in &tokens {
            let path = path
                .strip_prefix("/admin")
                .unwrap()
                .replace("{id}", &Uuid::from_u128(1).to_string())
                .replace("{dn}", "CN=x,OU=y");
            let status = world.call_as(token, method.clone(), &path, Some(json!({}))).await.status;
            let cell = if status == StatusCode::FORBIDDEN { "-".to_owned() } else { status.as_u16().to_string() };
            table.push_str(&format!("{cell:>12}"));
        }
        table.push('\n');
    }
    let found: Vec<&str> = table.lines().map(str::trim_end).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, found.join("\n") + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert_eq!(found, golden.lines().collect::<Vec<_>>(), "run with UPDATE_GOLDEN=1 and read the difference");
}
