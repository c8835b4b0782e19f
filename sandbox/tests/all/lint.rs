//! What lint says of scripts, from their text.

use engine::script::ScriptKind;
use engine::script::lint::{LintContext, lint};
use sandbox::Sandbox;

use crate::helpers::{library, sandbox, script};

/// A script with the codes and lines of what is wrong with it.
type Case = (ScriptKind, &'static str, &'static [(&'static str, u32)]);

/// Codes with the line they stand on, 0 without one.
async fn findings(
    sandbox: &Sandbox,
    kind: ScriptKind,
    source: &str,
    schedules: Option<&[String]>,
) -> Vec<(String, u32)> {
    let admission = sandbox.admit(script("s", kind, source)).await.unwrap();
    let secrets = ["UNUSED".to_owned()];
    let secrets = source.contains("MADE").then_some(secrets.as_slice());
    let context = LintContext { kind, schedules, secrets, source };
    let found = lint(&admission.tree, &context);
    found.into_iter().map(|each| (each.code.to_owned(), each.span.map_or(0, |span| span.start.line))).collect()
}

#[track_caller]
fn expect(source: &str, found: &[(String, u32)], wanted: &[(&str, u32)]) {
    let found: Vec<(&str, u32)> = found.iter().map(|(code, line)| (code.as_str(), *line)).collect();
    assert_eq!(found, wanted, "{source}");
}

#[tokio::test]
async fn mistakes_are_found() {
    use ScriptKind::{Condition, Host, Policy, PortOrType, UserClaim};
    let sandbox = sandbox().await;
    let cases: &[Case] = &[
        (Policy, "return claims.user.groups.indexOf('x') >= 0;", &[("unguarded-claim", 1)]),
        (Policy, "return claims['user']['groups'].length > 0;", &[("unguarded-claim", 1)]),
        (Policy, "var g = claims.user.groups;\nreturn g.includes('x');", &[("unguarded-claim", 2)]),
        (
            Policy,
            "return claims.user.agScripted && claims.user.agScripted.teams.includes('x');",
            &[("unguarded-claim", 1)],
        ),
        (Policy, "return claims.user.groups || claims.user.groups.length > 0;", &[("unguarded-claim", 1)]),
        (
            Policy,
            "if (!claims.user.groups) { return claims.user.groups.length; }\nreturn true;",
            &[("unguarded-claim", 1)],
        ),
        (Policy, "if (claims.user.x) { print(1); }\nreturn claims.user.x.y;", &[("unguarded-claim", 2)]),
        (Policy, "return claims.user?.groups.includes('x');", &[("unguarded-claim", 1)]),
        (Policy, "for (const g of claims.user.groups) { print(g); }\nreturn true;", &[("unguarded-claim", 1)]),
        (Policy, "return Math.max(...claims.user.scores) > 1;", &[("unguarded-claim", 1)]),
        (
            Policy,
            "return ['a'].some(function (n) { return claims.user.groups.includes(n); });",
            &[("unguarded-claim", 1)],
        ),
        (Policy, "result = true;\nresult = false;\nreturn result;", &[("implicit-global", 1)]),
        (
            Policy,
            "for (i = 0; i < 3; i++) {}\nfor (k in claims.user) {}\nreturn true;",
            &[("implicit-global", 1), ("implicit-global", 2)],
        ),
        (Policy, "if (claims.user.admin) { return true; }", &[("missing-return", 0)]),
        (Policy, "var x = 1;", &[("missing-return", 0)]),
        (Policy, "switch (claims.device.type) { case 'a': return true; }", &[("missing-return", 0)]),
        (Policy, "return ['a'].some(function (g) { g === 'a'; });", &[("missing-return", 1)]),
        (UserClaim, "return { s: httpGet('https://a.example/').statusCode };", &[("ignored-http-failure", 1)]),
        (
            UserClaim,
            "const r = httpGet('https://a.example/');\nreturn { s: r.statusCode };",
            &[("ignored-http-failure", 2)],
        ),
        (
            UserClaim,
            "let r = httpGet('https://a.example/');\nif (!r) { return {}; }\nr = httpGet('https://b.example/');\nreturn { s: r.data };",
            &[("ignored-http-failure", 4)],
        ),
        (
            Condition,
            "const r = httpGet('https://a.example/');\nreturn r !== null && r.statusCode === 200;",
            &[("http-without-schedule", 1)],
        ),
        (Host, "return claims.user.hosts || [];", &[("unbounded-list", 1)]),
        (Host, "return (claims.user.teams || []).map(t => t + '.example.com');", &[("unbounded-list", 1)]),
        (
            Host,
            "const out = [];\nfor (const t of claims.user.teams || []) { out.push(t); }\nreturn out;",
            &[("unbounded-list", 3)],
        ),
        (
            Host,
            "const out = [];\n(claims.user.teams || []).forEach(t => out.push(t));\nreturn out;",
            &[("unbounded-list", 3)],
        ),
        (
            PortOrType,
            "const r = httpGet('https://a.example/');\nif (!r) { return []; }\nreturn JSON.parse(r.data).ports;",
            &[("unbounded-list", 3)],
        ),
        (
            UserClaim,
            "const r = httpGet('https://a.example/');\nif (!r) { return {}; }\nconst all = JSON.parse(r.data).map(g => g.name);\nreturn { groups: all };",
            &[("unbounded-list", 4)],
        ),
        (Policy, "// Needs secret: TOKEN\nreturn true;", &[("unused-secret", 0)]),
        (Policy, "// MADE\nreturn true;", &[("unused-secret", 0)]),
        (Policy, "// with %SECRET:TOKEN%\nreturn true;", &[("unused-secret", 0)]),
    ];
    for (kind, source, wanted) in cases {
        let schedules: &[String] = &[];
        let found = findings(&sandbox, *kind, source, Some(schedules)).await;
        expect(source, &found, wanted);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn careful_scripts_are_left_alone() {
    use ScriptKind::{AppShortcut, Condition, Host, Policy, UserClaim};
    let sandbox = sandbox().await;
    let cases: &[(ScriptKind, &str)] = &[
        (Policy, "return claims.user.groups && claims.user.groups.containsText('x') || false;"),
        (Policy, "return !!claims.user.groups?.includes('x');"),
        (Policy, "return (claims.user.groups || []).includes('x');"),
        (Policy, "if (!claims.user.groups) { return false; }\nreturn claims.user.groups.includes('x');"),
        (
            Policy,
            "if (!claims.user.a || !claims.user.b) { return false; }\nreturn claims.user.a.x === claims.user.b.x;",
        ),
        (Policy, "if (claims.user.groups) { return claims.user.groups.includes('x'); } else { return false; }"),
        (
            Policy,
            "if (typeof claims.user.name !== 'string') { return false; }\nreturn claims.user.name.startsWith('a');",
        ),
        (Policy, "if (claims.user.g === undefined) { return false; }\nreturn claims.user.g.length > 0;"),
        (Policy, "if (claims.user.g == null) { throw new Error('none'); }\nreturn claims.user.g.length > 0;"),
        (
            Policy,
            "var has = Array.isArray(claims.user.groups);\nreturn has && claims.user.groups.some(g => g === 'x');",
        ),
        (Policy, "var g = claims.user.groups;\nif (!g) { g = []; }\nreturn g.includes('x');"),
        (
            Policy,
            "const family = claims.device.os && claims.device.os.family;\nreturn family === 'linux' && claims.device.os.type === 'desktop';",
        ),
        (Policy, "try { return claims.user.a.b; } catch (e) { return false; }"),
        (
            Policy,
            "return claims.user.groups ? claims.user.groups.some(function (g) { return claims.user.groups.indexOf(g) === 0; }) : false;",
        ),
        (Policy, "return claims.user.hasOtp('x', 5) && claims.system.inTimeRange('07:00', '19:00');"),
        (Policy, "switch (claims.device.type) { case 'a': return true; default: return false; }"),
        (Policy, "return ['a'].some(function (a) { return ['b'].some(b => ['c'].some(c => c === a + b)); });"),
        (Policy, "while (true) { if (claims.user.x) { return true; } return false; }"),
        (Policy, "var result = false;\nif (claims.user.x) { result = true; } else { return false; }\nreturn result;"),
        (Policy, "return 'groups' in claims.user && claims.user.groups.length > 0;"),
        (
            Condition,
            "// Needs schedule: 5m\nconst r = httpGet('https://a.example/');\nreturn !!r && r.statusCode === 200;",
        ),
        (
            UserClaim,
            "const r = httpGet('https://a.example/');\nif (!r || r.statusCode !== 200) { return {}; }\nreturn { s: r.data };",
        ),
        (
            UserClaim,
            "let r = null;\ntry { r = httpGet('https://a.example/'); return { s: r.data }; } catch (e) { return {}; }",
        ),
        (UserClaim, "return { department: claims.user.department };"),
        (
            UserClaim,
            "// Needs secret: TOKEN\nconst r = httpPost('https://a.example/', '%SECRET:TOKEN%');\nif (!r) { return {}; }\nreturn { n: r.statusCode };",
        ),
        (Host, "return (claims.user.teams || []).map(t => t + '.example.com').slice(0, 50);"),
        (
            Host,
            "const out = [];\nfor (const t of claims.user.teams || []) { if (out.length < 10) { out.push(t); } }\nreturn out;",
        ),
        (Host, "return (claims.user.teams || []).filter(t => ['a', 'b'].includes(t));"),
        (Host, "return claims.user.vip ? ['a.example.com'] : [];"),
        (AppShortcut, "return [{ name: claims.user.username, url: 'https://a.example/' }];"),
    ];
    for (kind, source) in cases {
        let found = findings(&sandbox, *kind, source, None).await;
        expect(source, &found, &[]);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_library_has_no_warnings() {
    let sandbox = sandbox().await;
    for (name, kind, source) in library() {
        let found = findings(&sandbox, kind, &source, None).await;
        assert_eq!(found, [], "{name}");
    }
    sandbox.stop().await;
}
