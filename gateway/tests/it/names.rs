//! Names under live sessions: while they are looked up, when they move or rotate, and when their servers misbehave.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use engine::{id::EntitlementId, token::Grant};
use protocol::{
    message::{ControlDown, FlowAnswer, GatewayAnswer, Question, Resolution, TargetHost, Transport},
    object::ObjectKind,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use uuid::Uuid;

use crate::{
    client::{Client, Flow, PATIENCE},
    services::{Dns, question, reply},
    world::{World, action, allow},
};

const NAME: &str = "db.corp.example";

/// The Site looks names up at this server every second.
async fn resolved_by(world: &World, server: SocketAddr) {
    let resolver = json!({ "name": "dns", "servers": [server.to_string()], "updateInterval": 1 });
    world.site(json!({ "nameResolution": { "dnsResolvers": [resolver] } })).await;
}

async fn by_name(client: &Client, port: u16) -> Flow {
    client.ask(Transport::Tcp, TargetHost::Name(NAME.into()), port).await
}

/// An answer does not come while nothing happens.
async fn waits(flow: &mut Flow) {
    let answer = timeout(Duration::from_millis(200), flow.answer()).await;
    assert!(answer.is_err(), "{answer:?}");
}

async fn name_status(world: &World, name: &str) -> Option<Resolution> {
    match world.controller.ask(Question::Names).await {
        GatewayAnswer::Names { names, .. } => names.get(name).cloned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_waits_for_rules_that_are_being_built() {
    let world = World::new().await;
    let (echo, other) = (testing::echo_server().await, testing::echo_server().await);
    let dns = Dns::start(|query| Some(reply(query, &[Ipv4Addr::LOCALHOST]))).await;
    resolved_by(&world, dns.address).await;
    world.entitlement(json!([action("allow", "tcp_up", NAME, echo.port())])).await;
    let device = world.device();
    let mut nothing = world.tokens(&device);
    nothing.grant().grants.clear();
    let (mut client, _) = Client::present(&world, &device, nothing.present()).await;
    assert_eq!(client.denied(echo).await, "flow.no-rule");

    // Renewed tokens grant a host by name, which is not looked up yet.
    dns.open.send_replace(false);
    client.show(world.tokens(&device).present()).await;
    dns.asked(1).await;
    let mut flows = [client.tcp(echo).await, by_name(&client, echo.port()).await];
    let mut foreign = client.tcp(other).await;
    waits(&mut flows[0]).await;
    dns.open.send_replace(true);
    for flow in &mut flows {
        assert_eq!(flow.answer().await, FlowAnswer::Open);
        flow.echo(b"after the wait").await;
    }
    assert_eq!(foreign.denial().await.code, "flow.no-rule");
    client.next_matching(|message| matches!(message, ControlDown::Admitted { .. })).await;
    let began = Instant::now();
    assert_eq!(client.denied(other).await, "flow.no-rule");
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits once the rules stand");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_adds_a_name_keeps_flows_waiting_and_a_block_does_not() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let dns = Dns::start(|query| Some(reply(query, &[Ipv4Addr::LOCALHOST]))).await;
    resolved_by(&world, dns.address).await;
    let client = Client::admitted(&world, &world.device()).await;
    dns.open.send_replace(false);
    let blocked = SocketAddr::new("127.0.0.7".parse().unwrap(), 7);
    let added = action("allow", "tcp_up", NAME, echo.port());
    world.entitlement(json!([added, action("block", "tcp_up", "127.0.0.7", 7)])).await;
    let mut flow = client.tcp(echo).await;
    assert_eq!(client.denied(blocked).await, "flow.blocked");
    waits(&mut flow).await;
    dns.open.send_replace(true);
    assert_eq!(flow.answer().await, FlowAnswer::Open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotating_name_keeps_the_addresses_it_answered_a_moment_ago() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let hosts = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9)];
    let mut turn = 0;
    let dns = Dns::start(move |query| {
        turn += 1;
        Some(reply(query, &hosts[turn % 2..][..1]))
    })
    .await;
    resolved_by(&world, dns.address).await;
    world.entitlement(json!([action("allow", "tcp_up", NAME, echo.port())])).await;
    let client = Client::admitted(&world, &world.device()).await;
    let known = async {
        loop {
            let status = name_status(&world, NAME).await.unwrap();
            if status.addresses.len() == 2 {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let status = timeout(PATIENCE, known).await.expect("both addresses stand");
    assert!(status.error.is_some_and(|text| text.contains("rotates")));
    // Either address is open while it is not the newest one, and no look-up cuts it.
    let mut flow = client.open_tcp(echo).await;
    let asked = *dns.asked.borrow();
    for more in 1..=4 {
        dns.asked(asked + more).await;
        flow.echo(b"still here").await;
    }
    client.open_tcp(echo).await.echo(b"and opens").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_moved_name_is_asked_again_and_nothing_else() {
    let world = World::with(|config| config.script_networks = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let (named, plain) = (testing::echo_server().await, testing::echo_server().await);
    let web = testing::Web::start("yes").await;
    let asks = |what: &str| format!("return httpGet('http://{}/{what}').data === 'yes';", web.address);
    let (second, condition) = (EntitlementId::new(Uuid::new_v4()), Uuid::new_v4());
    let host = tokio::sync::watch::Sender::new(Ipv4Addr::LOCALHOST);
    let current = host.subscribe();
    let dns = Dns::start(move |query| Some(reply(query, &[*current.borrow()]))).await;
    resolved_by(&world, dns.address).await;
    world.condition(&asks("named")).await;
    let script = format!("httpGet('http://{}/script'); return ['{NAME}'];", web.address);
    world
        .controller
        .put([
            (ObjectKind::Condition, json!({ "id": condition, "name": "other", "expression": asks("plain") })),
            (ObjectKind::EntitlementScript, json!({ "id": Uuid::new_v4(), "name": "hosts", "expression": script })),
            (
                ObjectKind::Entitlement,
                json!({
                    "id": second, "name": "plain", "site": world.facts().site, "conditions": [condition],
                    "actions": [allow(plain)],
                }),
            ),
        ])
        .await;
    let wide = action("allow", "tcp_up", "127.0.0.1", named.port());
    world.entitlement(json!([action("allow", "tcp_up", "script://hosts", named.port()), wide])).await;
    let device = world.device();
    let mut tokens = world.tokens(&device);
    tokens.grant().grants.push(Grant { entitlement: second, policies: vec!["staff".into()] });
    let (client, _) = Client::present(&world, &device, tokens.present()).await;
    let (mut first, mut other) = (client.open_tcp(named).await, client.open_tcp(plain).await);

    let count = |what: &str| web.requests().iter().filter(|request| request.contains(&format!("/{what} "))).count();
    assert_eq!((count("named"), count("plain"), count("script")), (1, 1, 1));
    host.send_replace(Ipv4Addr::new(127, 0, 0, 9));
    let again = async {
        while count("named") < 2 || count("script") < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("script and condition are asked again");
    assert_eq!(count("plain"), 1, "its entitlement names nobody");
    first.echo(b"by its address").await;
    other.echo(b"never concerned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_not_resolved_are_named_wherever_one_looks() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let script = json!({
        "id": Uuid::new_v4(), "name": "hosts", "type": "host", "expression": "return ['gcp://instance', '127.0.0.1'];",
    });
    world.controller.put([(ObjectKind::EntitlementScript, script)]).await;
    let cloud = r#"azure://{"lbs":["a","b"]}"#;
    let hosts = [cloud, "domain://*.example.com", "script://hosts"];
    let rule = json!({ "action": "allow", "subtype": "tcp_up", "hosts": hosts, "ports": [echo.port().to_string()] });
    world.entitlement(json!([rule])).await;
    let device = world.device();
    let client = Client::admitted(&world, &device).await;
    client.open_tcp(echo).await.echo(b"what is known is open").await;
    for host in [cloud, "domain://*.example.com", "gcp://instance"] {
        let status = name_status(&world, host).await.unwrap_or_else(|| panic!("{host} is listed"));
        assert!(status.addresses.is_empty());
        assert!(status.error.is_some_and(|text| text.contains("not resolved by this version")), "{host}");
        let GatewayAnswer::Resolved(tried) = world.controller.ask(Question::Resolve { resource: host.into() }).await
        else {
            panic!("no answer")
        };
        assert!(tried.addresses.is_empty() && tried.error.is_some_and(|text| text.contains("not resolved")), "{host}");
    }
    let GatewayAnswer::Sessions { sessions } =
        world.controller.ask(Question::Sessions { name: device.name.clone() }).await
    else {
        panic!("no session")
    };
    let problems = sessions[0].entitlements[0].problems.join("\n");
    for host in [cloud, "domain://*.example.com", "gcp://instance"] {
        assert!(problems.contains(host), "{problems}");
    }
}

/// A server that misbehaves like this gives no address, in time, and opens nothing.
#[track_caller]
fn check_bad(misbehave: fn(&[u8]) -> Option<Vec<u8>>) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let world = World::new().await;
        let echo = testing::echo_server().await;
        let dns = Dns::start(misbehave).await;
        resolved_by(&world, dns.address).await;
        world.entitlement(json!([action("allow", "tcp_up", NAME, echo.port())])).await;
        let began = Instant::now();
        let client = Client::admitted(&world, &world.device()).await;
        let denied = by_name(&client, echo.port()).await.denial().await;
        assert!(denied.code.starts_with("name."), "{place}: {denied:?}");
        assert_eq!(client.denied(echo).await, "flow.no-rule", "{place}");
        let GatewayAnswer::Resolved(tried) = world.controller.ask(Question::Resolve { resource: NAME.into() }).await
        else {
            panic!("{place}: no answer")
        };
        assert!(tried.addresses.is_empty() && tried.error.is_some(), "{place}: {tried:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{place}: {:?}", began.elapsed());
        let evaluated = world.controller.record(|record| record["problems"].to_string().contains(NAME)).await;
        assert!(evaluated["problems"].to_string().contains("name."), "{place}: {evaluated}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_answer_nothing_or_nonsense_open_nothing() {
    let garbage = check_bad(|query| Some([&query[..2], &[0xff; 100]].concat()));
    let short = check_bad(|query| Some(query[..5].to_vec()));
    let other_question = check_bad(|query| {
        let mut answer = reply(query, &[Ipv4Addr::LOCALHOST]);
        answer[13] ^= 1;
        Some(answer)
    });
    let other_number = check_bad(|query| {
        let mut answer = reply(query, &[Ipv4Addr::LOCALHOST]);
        answer[0] ^= 0xff;
        Some(answer)
    });
    // Says that there is more over TCP, where nobody listens.
    let truncated = check_bad(|query| {
        let mut answer = reply(query, &[]);
        (answer[2], answer[3]) = (0x83, 0x80);
        Some(answer)
    });
    let endless_alias = check_bad(|query| {
        let mut answer = reply(query, &[]);
        (answer[3], answer[7]) = (0x80, 1);
        answer.extend([0xc0, 0x0c, 0, 5, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 0x0c]);
        Some(answer)
    });
    let failing = check_bad(|query| {
        let mut answer = reply(query, &[]);
        answer[3] = 0x82;
        Some(answer)
    });
    let silent = check_bad(|query| (question(query).is_empty()).then(Vec::new));
    tokio::join!(garbage, short, other_question, other_number, truncated, endless_alias, failing, silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_more_addresses_than_are_taken_is_cut_and_slows_nobody_else() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let mut hosts = "127.0.0.1 big.example\n".to_owned();
    (0..12_000_u32).for_each(|number| {
        hosts.push_str(&format!("{} big.example\n", Ipv4Addr::from(0x7f01_0000 + number)));
    });
    std::fs::write(world.directory.path().join("hosts"), hosts).unwrap();
    world.site(json!({ "nameResolution": { "useHostsFile": true } })).await;
    let small = EntitlementId::new(Uuid::new_v4());
    let body = json!({
        "id": small, "name": "small", "site": world.facts().site, "conditions": [world.condition],
        "actions": [allow(echo)],
    });
    world.controller.put([(ObjectKind::Entitlement, body)]).await;
    let ports: Vec<String> =
        (0..20).map(|number| format!("{}", 20_000 + number)).chain([echo.port().to_string()]).collect();
    let big: Value = json!([{ "action": "allow", "subtype": "tcp_up", "hosts": ["big.example"], "ports": ports }]);
    world.entitlement(big).await;
    let device = world.device();
    let heavy = Client::admitted(&world, &device).await;
    let GatewayAnswer::Sessions { sessions } =
        world.controller.ask(Question::Sessions { name: device.name.clone() }).await
    else {
        panic!("no session")
    };
    let problems = &sessions[0].entitlements[0].problems;
    assert!(problems.iter().any(|problem| problem.contains("more rules than a session may have")), "{problems:?}");

    let other = world.device();
    let mut tokens = world.tokens(&other);
    tokens.grant().grants = vec![Grant { entitlement: small, policies: vec!["staff".into()] }];
    let (light, _) = Client::present(&world, &other, tokens.present()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    let busy = async {
        loop {
            heavy.denied(nobody).await;
        }
    };
    let opening = async {
        let began = Instant::now();
        for _ in 0..20 {
            light.open_tcp(echo).await.echo(b"quick").await;
        }
        began.elapsed()
    };
    let took = tokio::select! {
        took = opening => took,
        () = busy => panic!("it asks for ever"),
    };
    assert!(took < Duration::from_secs(5), "{took:?}");
}
