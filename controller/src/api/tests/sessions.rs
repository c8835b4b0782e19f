//! Live sessions: lists of what gateways reported, and what they say when they are asked.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use engine::{
    dn::UserName,
    id::{ApplianceId, DeviceId, SessionId, SiteId},
};
use protocol::{
    carrier::{ReceiveHalf, SendHalf, Stream},
    frame::{MAX_MESSAGE, read_frame, write_frame},
    message::{
        Asked, ClientFacts, EntitlementDetails, GatewayAnswer, Question, Report, Resolution, RuleDetails,
        SessionDetails, SessionFacts, Told,
    },
};
use serde_json::Map;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    task::JoinHandle,
};

use super::*;

/// Both ends of a stream without a network.
struct Half(DuplexStream);

impl AsyncRead for Half {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Half {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl SendHalf for Half {
    fn reset(&mut self, _: u32) {}
    fn finish(&mut self) {}
}

impl ReceiveHalf for Half {
    fn stop(&mut self, _: u32) {}
}

impl World {
    /// Adds a gateway.
    async fn gateway(&self, name: &str) -> ApplianceId {
        let mut document = smallest(ObjectKind::Appliance).unwrap();
        document["name"] = json!(name);
        let made = self.post("/appliances", document).await.expect(StatusCode::OK);
        ApplianceId::new(made["id"].as_str().unwrap().parse().unwrap())
    }

    /// Has a gateway answer what it is asked; `None` is silence.
    async fn answering(
        &self,
        gateway: ApplianceId,
        answer: impl Fn(Question) -> Option<GatewayAnswer> + Send + 'static,
    ) -> JoinHandle<()> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (other_near, mut other_far) = tokio::io::duplex(1 << 20);
        let controller = Arc::clone(&self.controller);
        let stream = Stream { send: Box::new(Half(near)), receive: Box::new(Half(other_near)) };
        tokio::spawn(async move { controller.questions.serve(gateway, stream).await });
        let task = tokio::spawn(async move {
            while let Ok(Asked { number, question }) = read_frame(&mut far, MAX_MESSAGE).await {
                let Some(answer) = answer(question) else { continue };
                write_frame(&mut other_far, &Told { number, answer }).await.unwrap();
            }
        });
        // The gateway can be asked once its place is taken.
        while self.controller.questions.ask(gateway, Question::Names).await.is_err() {
            tokio::task::yield_now().await;
        }
        task
    }

    async fn get_as_version(&self, version: u32, path: &str) -> Reply {
        let accept = format!("application/vnd.appgate.peer-v{version}+json");
        self.send(request(Method::GET, path, &accept, Some(&self.token)).body(Body::empty()).unwrap()).await
    }
}

fn name(number: u128, user: &str) -> DistinguishedName {
    DistinguishedName { device: DeviceId::new(Uuid::from_u128(number)), user: UserName::new(user, "local") }
}

fn info(name: &DistinguishedName) -> String {
    let name = percent_encoding::utf8_percent_encode(&name.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string();
    format!("/session-info/{name}")
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn details() -> SessionDetails {
    let rule = |name: &str, protocol: &str, ports: &str| RuleDetails {
        name: name.to_owned(),
        protocol: protocol.to_owned(),
        direction: "up".to_owned(),
        action: "allow".to_owned(),
        subnets: vec!["10.0.0.1".to_owned()],
        ports: vec![ports.to_owned()],
    };
    SessionDetails {
        session: SessionId::new(Uuid::from_u128(9)),
        address: [192, 0, 2, 1].into(),
        since: 1_700_000_000,
        expires: 1_700_000_600,
        flows: 2,
        user: members(json!({ "username": "ana" })),
        device: members(json!({ "os": { "family": "linux" } })),
        system: members(json!({ "clientSrcIP": "192.0.2.1" })),
        entitlements: vec![EntitlementDetails {
            name: "ssh".to_owned(),
            access: false,
            all_conditions: true,
            conditions: [("office".to_owned(), Some(false)), ("mfa".to_owned(), None)].into(),
            rules: vec![rule("ssh#0", "tcp", "22"), rule("ssh#1", "icmp", "0-255")],
            truncated: false,
            policies: vec!["staff".to_owned()],
            problems: vec!["ssh#2: `x` has no address".to_owned()],
            domains_only: false,
        }],
    }
}

/// Answers with the session for that name, and none for others.
fn holder(holding: DistinguishedName) -> impl Fn(Question) -> Option<GatewayAnswer> + Send + 'static {
    move |question| match question {
        Question::Sessions { name } => {
            let sessions = if name == holding { vec![details()] } else { Vec::new() };
            Some(GatewayAnswer::Sessions { sessions })
        }
        Question::Resolve { resource } => Some(GatewayAnswer::Resolved(match resource.as_str() {
            "wiki.example.com" => Resolution { addresses: vec!["10.0.0.1".to_owned()], error: None },
            _ => Resolution { addresses: Vec::new(), error: Some("no such name".to_owned()) },
        })),
        Question::Names => {
            let known =
                Resolution { addresses: vec!["10.0.0.1".to_owned()], error: Some("the servers failed".to_owned()) };
            Some(GatewayAnswer::Names { names: [("wiki.example.com".to_owned(), known)].into(), truncated: false })
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_info_comes_from_the_gateways_in_the_shape_of_the_version() {
    let world = World::new().await;
    let ana = name(1, "ana");
    let north = world.gateway("north").await;
    let south = world.gateway("south").await;
    let _north = world.answering(north, holder(ana.clone())).await;
    let _south = world.answering(south, holder(name(2, "ben"))).await;
    let newest = world.get(&info(&ana)).await.expect(StatusCode::OK);
    assert_eq!((&newest["username"], &newest["providerName"]), (&json!("ana"), &json!("local")));
    assert_eq!(newest["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["north"]);
    assert_eq!(newest["unanswered"], json!([]));
    let session = &newest["data"]["north"];
    assert_eq!((&session["userClaims"]["username"], &session["site"]), (&json!("ana"), &json!("Default Site")));
    assert_eq!(session["deviceClaims"]["os"]["family"], "linux");
    assert_eq!(session["systemClaims"]["clientSrcIP"], "192.0.2.1");
    let held = &session["entitlementInfos"]["ssh"];
    assert_eq!(
        (&held["access"], &held["conditionLogic"], &held["domainEntitlement"]),
        (&json!(false), &json!("and"), &json!(false))
    );
    assert_eq!(
        (&held["conditionResults"], &held["conditionsNotAsked"]),
        (&json!({ "office": false }), &json!(["mfa"]))
    );
    assert_eq!(held["policyNames"], json!(["staff"]));
    let rule = &held["firewallRules"][0];
    assert_eq!(
        (&rule["protocol"], &rule["subnets"], &rule["ports"], &rule["types"]),
        (&json!("tcp"), &json!(["10.0.0.1"]), &json!(["22"]), &json!([]))
    );
    assert_eq!(
        (&held["firewallRules"][1]["types"], &held["firewallRules"][1]["ports"]),
        (&json!(["0-255"]), &json!([]))
    );
    for (version, present) in
        [(16, [false, false, false]), (17, [true, false, false]), (20, [true, true, false]), (21, [true; 3])]
    {
        let answer = world.get_as_version(version, &info(&ana)).await.expect(StatusCode::OK);
        let held = answer["data"]["north"]["entitlementInfos"]["ssh"].as_object().unwrap().clone();
        let found = ["conditionLogic", "access", "domainEntitlement"].map(|member| held.contains_key(member));
        assert_eq!(found, present, "version {version}");
    }
    assert_eq!(world.records("entity_viewed").await[0]["entity_name"], ana.to_string());
    world.get(&info(&name(3, "cleo"))).await.expect(StatusCode::NOT_FOUND);
    world.get("/session-info/OU%3Dlocal").await.expect(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_answer_is_named() {
    let world = World::new().await;
    let ana = name(1, "ana");
    let north = world.gateway("north").await;
    let south = world.gateway("south").await;
    let _idle = world.gateway("never enrolled").await;
    let _north = world.answering(north, holder(ana.clone())).await;
    let confused = |question: Question| match question {
        Question::Names | Question::Resolve { .. } => holder(name(4, "x"))(question),
        Question::Sessions { .. } => Some(GatewayAnswer::Resolved(Resolution::default())),
    };
    let south_task = world.answering(south, confused).await;
    let found = world.get(&info(&ana)).await.expect(StatusCode::OK);
    assert_eq!(
        found["unanswered"],
        json!([{ "gateway": "south", "reason": "answered something else than was asked" }])
    );
    let nothing = world.get(&info(&name(2, "ben"))).await.expect(StatusCode::GATEWAY_TIMEOUT);
    assert!(nothing["message"].as_str().unwrap().contains("`south`"), "{nothing}");
    south_task.abort();
    let silent = |question: Question| match question {
        Question::Names => holder(name(4, "x"))(question),
        Question::Sessions { .. } | Question::Resolve { .. } => None,
    };
    let _south = world.answering(south, silent).await;
    let found = world.get(&info(&ana)).await.expect(StatusCode::OK);
    assert_eq!(found["unanswered"], json!([{ "gateway": "south", "reason": "did not answer within 5 seconds" }]));
}

fn facts(number: u128, user: &str, host: &str) -> SessionFacts {
    SessionFacts {
        session: SessionId::new(Uuid::new_v4()),
        name: name(number, user),
        site: SiteId::new(builtin::DEFAULT_SITE),
        address: [192, 0, 2, 1].into(),
        since: 1_700_000_000,
        expires: 1_700_000_600,
        entitlements: vec!["ssh".to_owned()],
        client: Box::new(ClientFacts {
            hostname: Some(host.to_owned()),
            os_family: Some("linux".to_owned()),
            version: Some("0.0.1".to_owned()),
            kind: Some("headless".to_owned()),
            ..ClientFacts::default()
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn active_sessions_have_the_rows_of_the_version() {
    let world = World::new().await;
    let gateways = &world.controller.gateways;
    for gateway in ["north", "south"] {
        let id = world.gateway(gateway).await;
        let sessions = vec![facts(1, "ana", "laptop")];
        gateways.report(id, [192, 0, 2, 9].into(), &Report::Sessions { sessions }, world.controller.now());
    }
    let by_name = world.get("/stats/active-sessions/dn").await.expect(StatusCode::OK);
    let row = &by_name["data"][0];
    assert_eq!((by_name["totalCount"].as_u64(), &row["gateways"]), (Some(1), &json!(["north", "south"])));
    assert_eq!((&row["hostname"], &row["osFamily"]), (&json!("laptop"), &json!("linux")));
    assert_eq!((&row["clientType"], &row["clientSupport"]), (&json!("headless"), &json!("partial")));
    assert_eq!((row.get("osName"), row.get("ips"), &by_name["name"]), (None, None, &json!("active-sessions-dn")));
    let older = world.get_as_version(18, "/stats/active-sessions/dn").await.expect(StatusCode::OK);
    assert_eq!((&older["data"][0]["ips"], older["data"][0].get("osFamily")), (&json!(["192.0.2.1"]), None));
    world.get_as_version(16, "/stats/active-sessions/dn").await.expect(StatusCode::NOT_FOUND);

    for version in [16, 21] {
        let all = world.get_as_version(version, "/stats/active-sessions").await.expect(StatusCode::OK);
        let row = &all["data"][1];
        assert_eq!((all["data"].as_array().unwrap().len(), &all["distinctUserCount"]), (2, &json!(1)));
        assert_eq!(
            (&row["ip"], &row["hostname"], &row["loginTime"]),
            (&json!("192.0.2.1"), &json!("laptop"), &json!("2023-11-14T22:13:20.000000Z"))
        );
        assert_eq!(row.get("osFamily").is_some(), version == 21);
    }
    world.get_as_version(22, "/stats/active-sessions").await.expect(StatusCode::NOT_FOUND);
    let near = world.get("/stats/active-sessions/dn?latitude=59.4&longitude=17.8&radiusKilometers=200").await;
    assert_eq!(near.fields(), ["latitude", "longitude", "radiusKilometers"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_tried_on_a_gateway_by_those_who_may() {
    let world = World::new().await;
    let north = world.gateway("north").await;
    let path = |rest: &str| format!("/appliances/{north}/{rest}");
    let tester = path("test-resolver-name");
    let test = |resource: Value| world.post(&tester, json!({ "resourceName": resource }));
    let away = test(json!("wiki.example.com")).await.expect(StatusCode::PRECONDITION_FAILED);
    assert_eq!(away["message"], "gateway `north` is not connected");
    let _north = world.answering(north, holder(name(1, "ana"))).await;
    let found = test(json!("wiki.example.com")).await.expect(StatusCode::OK);
    assert_eq!(found, json!({ "ips": ["10.0.0.1"] }));
    let failed = test(json!("other.example.com")).await.expect(StatusCode::OK);
    assert_eq!(failed, json!({ "ips": [], "error": "no such name" }));
    for wrong in [json!(null), json!(""), json!(7), json!("x".repeat(5000))] {
        assert_eq!(test(wrong).await.fields(), ["resourceName"]);
    }
    assert_eq!(world.records("resolver_name_tested").await[0]["resource_name"], "other.example.com");

    let status = world.get(&path("name-resolution-status")).await.expect(StatusCode::OK);
    let known = &status["resolutions"]["wiki.example.com"];
    assert_eq!(known, &json!({ "ips": ["10.0.0.1"], "errors": ["the servers failed"] }));
    let older = world.get_as_version(20, &path("name-resolution-status")).await.expect(StatusCode::OK);
    assert_eq!(older["resolutions"]["wiki.example.com"]["finals"], json!(["10.0.0.1"]));

    let own = world.controller.store.appliance();
    let reply = world.get(&format!("/appliances/{own}/name-resolution-status")).await;
    reply.expect(StatusCode::PRECONDITION_FAILED);
    let scope = json!({ "ids": [Uuid::from_u128(5)] });
    let elsewhere =
        world.token_for("elsewhere", json!([{ "type": "View", "target": "Appliance", "scope": scope }])).await;
    let reply = world.call_as(&elsewhere, Method::GET, &path("name-resolution-status"), None).await;
    reply.expect(StatusCode::NOT_FOUND);
    let body = Some(json!({ "resourceName": "wiki.example.com" }));
    let reply = world.call_as(&elsewhere, Method::POST, &path("test-resolver-name"), body).await;
    reply.expect(StatusCode::FORBIDDEN);
}
