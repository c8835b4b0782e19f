//! Nothing acknowledged is lost: the controller is killed with SIGKILL under concurrent writes, again and again, and
//! everything it answered with 2xx is there after the restart.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{Api, Controller};

/// What was acknowledged, by whom it was written.
#[derive(Default)]
struct Acknowledged {
    /// Site id and the highest note that was acknowledged.
    written: BTreeMap<String, u64>,
    deleted: Vec<String>,
    /// Tokens that were signed out.
    dead_tokens: Vec<String>,
    live_tokens: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_kill_nine() {
    let rounds = if std::env::var_os("PORTCULLIS_LONG").is_some() { 200 } else { 20 };
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start(dir.path()).await;
    let mut acknowledged_writes = 0;
    for round in 0..rounds {
        let admin = controller.admin().await;
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            writers.spawn(write_until_killed(admin.clone(), format!("round {round} writer {writer}")));
        }
        writers.spawn(sign_in_and_out(controller.api()));
        // Spread over the time a write takes and over the first group commits.
        tokio::time::sleep(Duration::from_millis(150 + (round * 37) % 400)).await;
        controller.process.kill();
        let mut all = Vec::new();
        while let Some(done) = writers.join_next().await {
            all.push(done.unwrap());
        }
        drop(controller);
        controller = Controller::start(dir.path()).await;
        let admin = controller.admin().await;
        for acknowledged in &all {
            acknowledged_writes += acknowledged.written.len() + acknowledged.deleted.len();
            check(&controller, &admin, acknowledged).await;
        }
    }
    println!("{rounds} rounds, {acknowledged_writes} acknowledged objects");
    assert!(acknowledged_writes > rounds as usize * 4, "only {acknowledged_writes} writes were acknowledged");
}

async fn write_until_killed(admin: Api, name: String) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for number in 0_u64.. {
        let body = json!({ "name": format!("{name} site {number}"), "notes": "0" });
        let Ok((StatusCode::OK, site)) = admin.call(Method::POST, "sites", Some(&body)).await else { break };
        let id = site["id"].as_str().unwrap().to_owned();
        acknowledged.written.insert(id.clone(), 0);
        let path = format!("sites/{id}");
        let body = json!({ "name": format!("{name} site {number}"), "notes": (number + 1).to_string() });
        let Ok((StatusCode::OK, _)) = admin.call(Method::PUT, &path, Some(&body)).await else { break };
        acknowledged.written.insert(id.clone(), number + 1);
        if number % 3 == 0 {
            // Whether an unanswered delete went through is anybody's guess, so it is no longer looked at.
            acknowledged.written.remove(&id);
            let Ok((StatusCode::NO_CONTENT, _)) = admin.call(Method::DELETE, &path, None).await else { break };
            acknowledged.deleted.push(id);
        }
    }
    acknowledged
}

async fn sign_in_and_out(api: Api) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    loop {
        let body = json!({ "providerName": "local", "username": "admin", "password": crate::world::ADMIN_PASSWORD, "deviceId": uuid::Uuid::new_v4() });
        let Ok((StatusCode::OK, answer)) = api.call(Method::POST, "login", Some(&body)).await else { break };
        let token = answer["token"].as_str().unwrap().to_owned();
        if acknowledged.live_tokens.len() <= acknowledged.dead_tokens.len() {
            acknowledged.live_tokens.push(token);
            continue;
        }
        let signed_in = Api { token: Some(token.clone()), ..api.clone() };
        let Ok((StatusCode::NO_CONTENT, _)) = signed_in.call(Method::POST, "authentication/logout", None).await else {
            break;
        };
        acknowledged.dead_tokens.push(token);
    }
    acknowledged
}

async fn check(controller: &Controller, admin: &Api, acknowledged: &Acknowledged) {
    for (id, note) in &acknowledged.written {
        let site = admin.expect(Method::GET, &format!("sites/{id}"), None, StatusCode::OK).await;
        let kept: u64 = site["notes"].as_str().unwrap().parse().unwrap();
        assert!(kept >= *note, "site {id} fell back from note {note} to {kept}");
    }
    for id in &acknowledged.deleted {
        admin.expect(Method::GET, &format!("sites/{id}"), None, StatusCode::NOT_FOUND).await;
    }
    for (tokens, wanted) in
        [(&acknowledged.live_tokens, StatusCode::OK), (&acknowledged.dead_tokens, StatusCode::UNAUTHORIZED)]
    {
        for token in tokens {
            let bearer = Api { token: Some(token.clone()), ..controller.api() };
            bearer.expect(Method::GET, "sites?range=0-0", None, wanted).await;
        }
    }
}
