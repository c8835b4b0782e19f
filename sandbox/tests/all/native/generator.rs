//! Writes scripts of the native subset, and claims for them; what it writes depends on its seed alone.

use serde_json::{Value, json};

/// Deepest expression.
const DEPTH: u32 = 4;

/// A source of scripts.
pub struct Generator {
    state: u64,
    variables: usize,
    /// What a callback's parameter is called, where there is one.
    element: Option<&'static str>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, variables: 0, element: None }
    }

    fn next(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % below
    }

    fn pick(&mut self, from: &[&str]) -> String {
        let at = self.next(from.len());
        from[at].to_owned()
    }

    /// A user-claim script.
    pub fn script(&mut self) -> String {
        self.variables = 0;
        let mut text = String::new();
        for _ in 0..self.next(4) {
            text.push_str(&self.statement());
        }
        let variables: String = (0..self.variables).map(|at| format!("v{at}: v{at}, ")).collect();
        format!(
            "{text}return {{ {variables}a: {}, b: {}, c: {} }};",
            self.any(DEPTH),
            self.boolean(DEPTH),
            self.text(DEPTH)
        )
    }

    fn statement(&mut self) -> String {
        let name = self.variables;
        match self.next(7) {
            0 | 1 => {
                self.variables += 1;
                let kind = self.pick(&["var", "let", "const"]);
                format!("{kind} v{name} = {};\n", self.any(DEPTH - 1))
            }
            2 => {
                self.variables += 1;
                let (test, then, otherwise) = (self.boolean(2), self.any(2), self.any(2));
                format!("var v{name}; if ({test}) {{ v{name} = {then}; }} else {{ v{name} = {otherwise}; }}\n")
            }
            3 => {
                let (test, value) = (self.boolean(2), self.any(2));
                format!("if ({test}) return {{ early: {value} }};\n")
            }
            4 => {
                self.variables += 1;
                let (subject, first, second) = (self.text(2), self.any(1), self.number(1));
                format!(
                    "var v{name} = 0; switch ({subject}) {{ case 'linux': v{name} = {first}; break; case 'ana': v{name} += {second}; default: v{name} += 1; }}\n"
                )
            }
            5 => {
                self.variables += 1;
                let (list, by) = (self.list(1), self.number(1));
                format!("var v{name} = {by}; {list}.forEach(function (e, i) {{ if (i < 3) {{ v{name} += i; }} }});\n")
            }
            _ => {
                self.variables += 1;
                let (body, argument) = (self.with_element("x", |this| this.any(2)), self.text(1));
                format!("function f{name}(x) {{ return {body}; }} const v{name} = f{name}({argument});\n")
            }
        }
    }

    fn with_element(&mut self, name: &'static str, write: impl FnOnce(&mut Self) -> String) -> String {
        let around = self.element.replace(name);
        let text = write(self);
        self.element = around;
        text
    }

    fn any(&mut self, depth: u32) -> String {
        match self.next(9) {
            0 => self.boolean(depth),
            1 | 2 => self.text(depth),
            3 => self.number(depth),
            4 => self.list(depth),
            5 => self.pick(&[
                "null",
                "undefined",
                "claims.user.none",
                "claims.user.labels",
                "claims.device.os",
                "claims.user.mixed",
            ]),
            6 => self.pick(&[
                "claims.user.labels && claims.user.labels.team",
                "claims.user?.labels?.team",
                "claims.user.mixed?.[1]",
                "claims.user.age",
                "claims.user.score",
                "(claims.user.mixed || [])[0]",
                "claims.system.clientSrcIP",
            ]),
            7 if depth > 0 => {
                let (test, then, otherwise) = (self.boolean(depth - 1), self.any(depth - 1), self.any(depth - 1));
                format!("({test} ? {then} : {otherwise})")
            }
            _ if depth > 0 => {
                let (left, right) = (self.any(depth - 1), self.any(depth - 1));
                let op = self.pick(&["||", "&&", "??"]);
                format!("(({left}) {op} ({right}))")
            }
            _ => self.number(0),
        }
    }

    fn boolean(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.pick(&[
                "true",
                "false",
                "claims.device.isFirewallEnabled === true",
                "!!claims.user.groups",
                "!claims.user.none",
            ]);
        }
        let below = depth - 1;
        match self.next(15) {
            0 => {
                let op = self.pick(&["===", "!==", "==", "!=", "<", "<=", ">", ">="]);
                format!("({} {op} {})", self.text(below), self.text(below))
            }
            1 => {
                let op = self.pick(&["===", "!==", "==", "<", ">="]);
                format!("({} {op} {})", self.number(below), self.number(below))
            }
            2 => {
                let op = self.pick(&["===", "==", "!=", "!==", "<"]);
                format!("({} {op} {})", self.any(below), self.any(below))
            }
            3 => format!("{}.includes({})", self.list(below), self.text(below)),
            4 => format!("({}.indexOf({}) >= 0)", self.list(below), self.text(below)),
            5 => {
                let method = self.pick(&["some", "every"]);
                let list = self.list(below);
                let body = self.with_element("e", |this| this.boolean(below));
                format!("{list}.{method}(e => {body})")
            }
            6 => {
                let method = self.pick(&["startsWith", "endsWith", "includes", "containsText"]);
                format!("{}.{method}({})", self.text(below), self.text(below))
            }
            7 => format!("{}.containsText({})", self.list(below), self.text(below)),
            8 => format!("!{}", self.boolean(below)),
            9 => format!("({} && {})", self.boolean(below), self.boolean(below)),
            10 => format!("({} || {})", self.boolean(below), self.boolean(below)),
            11 => {
                let name = self.pick(&["string", "number", "object", "undefined", "boolean"]);
                format!("(typeof ({}) === '{name}')", self.any(below))
            }
            12 => format!("({} == null)", self.any(below)),
            13 => format!("Array.isArray({})", self.any(below)),
            _ => self.pick(&[
                "claims.system.isClientInNetwork('10.0.0.0/8')",
                "claims.device.isClientInNetwork('192.168.0.0/16')",
                "claims.system.inTimeRange('08:00', '18:00')",
                "claims.system.inTimeRange('22:00', '09:30')",
                "claims.user.hasReason('after-hours', 60)",
                "claims.user.hasOtp('x', 5)",
                "claims.user.hasOwnProperty('groups')",
            ]),
        }
    }

    fn text(&mut self, depth: u32) -> String {
        if depth == 0 {
            if let Some(element) = self.element.filter(|_| self.state.is_multiple_of(2)) {
                return format!("String({element})");
            }
            return self.pick(&[
                "'ana'",
                "''",
                "'CN=dev,OU=x'",
                "'ä€'",
                "'a\\u{1F600}b'",
                "'10'",
                "' x '",
                "'linux'",
                "(claims.user.username || 'nobody')",
                "`t`",
            ]);
        }
        let below = depth - 1;
        match self.next(13) {
            0 => format!("({} + {})", self.text(below), self.any(below)),
            1 => format!("`${{{}}}-${{{}}}`", self.any(below), self.text(below)),
            2 => {
                let method = self.pick(&["slice", "substring", "substr"]);
                format!("{}.{method}({}, {})", self.text(below), self.small(), self.small())
            }
            3 => {
                let method = self.pick(&["slice", "substring", "charAt", "substr"]);
                format!("{}.{method}({})", self.text(below), self.small())
            }
            4 => {
                let method = self.pick(&["trim", "toLowerCase", "toUpperCase", "toString", "trimStart", "trimEnd"]);
                format!("{}.{method}()", self.text(below))
            }
            5 => {
                let separator = self.pick(&["'|'", "''", "', '"]);
                format!("{}.join({separator})", self.list(below))
            }
            6 => format!("String({})", self.any(below)),
            7 => format!("(typeof ({}))", self.any(below)),
            8 => {
                let separator = self.pick(&["','", "'='", "'a'", "'€'"]);
                format!("({}.split({separator})[{}] || '')", self.text(below), self.next(3))
            }
            9 => format!("({} ? {} : {})", self.boolean(below), self.text(below), self.text(below)),
            10 => {
                let (what, by) = (self.pick(&["'a'", "'CN='", "''", "'ä'"]), self.pick(&["'X'", "''", "'é'"]));
                format!("{}.replace({what}, {by})", self.text(below))
            }
            11 => format!("({}[{}] || '-')", self.text(below), self.next(4)),
            _ => self.text(0),
        }
    }

    fn small(&mut self) -> String {
        self.pick(&["0", "1", "2", "-1", "-3", "5", "99", "1.7"])
    }

    fn number(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.pick(&[
                "0",
                "1",
                "-1",
                "0.5",
                "7",
                "1000",
                "-0",
                "NaN",
                "claims.user.age",
                "(claims.user.groups || []).length",
            ]);
        }
        let below = depth - 1;
        match self.next(9) {
            0 => {
                let op = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {op} {})", self.number(below), self.number(below))
            }
            1 => format!("{}.length", self.text(below)),
            2 => format!("{}.length", self.list(below)),
            3 => {
                let method = self.pick(&["indexOf", "lastIndexOf"]);
                format!("{}.{method}({})", self.text(below), self.text(below))
            }
            4 => {
                let function =
                    self.pick(&["Math.floor", "Math.ceil", "Math.round", "Math.abs", "Math.trunc", "Number", "-", "+"]);
                format!("{function}({})", self.number(below))
            }
            5 => {
                let function = self.pick(&["parseInt", "parseFloat", "Number"]);
                format!("{function}({})", self.text(below))
            }
            6 => {
                let function = self.pick(&["Math.max", "Math.min"]);
                format!("{function}({}, {})", self.number(below), self.number(below))
            }
            7 => self.pick(&[
                "new Date().getHours()",
                "new Date().getDay()",
                "new Date().getTime()",
                "Date.now()",
                "new Date(86400000).getUTCDate()",
            ]),
            _ => format!("Number({})", self.any(below)),
        }
    }

    fn list(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.pick(&[
                "(claims.user.groups || [])",
                "['ana', 'x']",
                "[]",
                "[1, 'b', null]",
                "(claims.user.emails || ['none'])",
            ]);
        }
        let below = depth - 1;
        match self.next(8) {
            0 => {
                let list = self.list(below);
                let body = self.with_element("e", |this| this.boolean(below));
                format!("{list}.filter(e => {body})")
            }
            1 => {
                let list = self.list(below);
                let body = self.with_element("e", |this| this.any(below));
                format!("{list}.map(function (e, i) {{ return {body}; }})")
            }
            2 => format!("{}.concat({})", self.list(below), self.any(below)),
            3 => format!("{}.slice({})", self.list(below), self.small()),
            4 => {
                let separator = self.pick(&["','", "'a'", "'€'"]);
                format!("{}.split({separator})", self.text(below))
            }
            5 => format!("[{}, {}]", self.any(below), self.text(below)),
            6 => format!("[...{}, {}]", self.list(below), self.any(below)),
            _ => self.pick(&["Object.keys(claims.user.labels || {})", "Object.values(claims.device.os || {})"]),
        }
    }

    /// Claims, some of which are missing, empty or odd.
    pub fn claims(&mut self) -> Value {
        let mut user = serde_json::Map::new();
        let mut offer = |this: &mut Self, name: &str, values: &[Value]| {
            let at = this.next(values.len() + 1);
            if let Some(value) = values.get(at) {
                user.insert(name.to_owned(), value.clone());
            }
        };
        offer(self, "username", &[json!("ana"), json!("Änne"), json!(""), json!("a\u{1F600}b")]);
        offer(
            self,
            "groups",
            &[
                json!(["CN=dev,OU=x", "CN=all,OU=x"]),
                json!([]),
                json!(["ä", "\u{1F600}"]),
                json!("text"),
                json!(null),
                json!([1, [2], null]),
            ],
        );
        offer(self, "emails", &[json!(["ana@example.com"]), json!([])]);
        offer(
            self,
            "age",
            &[json!(41), json!(-1), json!(1.5), json!("41"), json!(9_007_199_254_740_993_i64), json!(0.1)],
        );
        offer(self, "score", &[json!(0.1), json!(1e300), json!(true)]);
        offer(
            self,
            "labels",
            &[
                json!({ "team": "red", "1": "one" }),
                json!({}),
                json!({ "team": null }),
                json!({ "__proto__": 1, "toString": 2 }),
            ],
        );
        offer(self, "mixed", &[json!([true, { "a": 1 }]), json!({ "length": 3 }), json!(0), json!(false)]);
        let device = match self.next(3) {
            0 => {
                json!({ "os": { "family": "linux", "name": "x" }, "clientIPs": ["192.168.7.9"], "isFirewallEnabled": true })
            }
            1 => json!({ "os": {}, "clientIPs": null }),
            _ => json!({}),
        };
        let system = if self.next(2) == 0 { json!({ "clientSrcIP": "10.20.30.40" }) } else { json!({}) };
        let responses = json!([{ "suffix": "after-hours", "kind": "reason", "at": 1_767_603_000 }]);
        match self.next(6) {
            0 => json!({ "device": device, "system": system }),
            _ => json!({ "user": user, "device": device, "system": system, "responses": responses }),
        }
    }
}
