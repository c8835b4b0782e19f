use std::time::Duration;

use super::*;
use crate::http::HttpMethod;

fn call(method: HttpMethod, url: &str) -> HttpRequest {
    HttpRequest {
        method,
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        content_type: None,
        timeout: Duration::from_secs(1),
        allowed_origins: None,
        script: "s".into(),
    }
}

fn with_headers(headers: &[(&str, &str)]) -> HttpRequest {
    let mut request = call(HttpMethod::Post, "http://a.example/");
    request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request
}

/// The headers that are sent, as `name: value`, sorted.
fn sent(request: &HttpRequest) -> Vec<String> {
    let request = Hop::first(request).unwrap_or_else(|stop| panic!("{stop:?}")).request().unwrap();
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    let mut lines: Vec<String> = request.headers().iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn framing_is_not_the_scripts() {
    let mut request = with_headers(&[
        ("Host", "evil.example"),
        ("connection", "upgrade"),
        ("CONTENT-LENGTH", "99999"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAA"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Expect", "100-continue"),
        ("Keep-Alive", "timeout=9"),
        ("Proxy-Authorization", "Basic x"),
        ("Proxy-Anything", "x"),
        ("Accept-Encoding", "gzip"),
        ("X-Mine", " stays "),
    ]);
    request.body = Some("abc".to_owned());
    assert_eq!(
        sent(&request),
        [
            "accept: */*",
            "content-length: 3",
            "content-type: text/plain;charset=UTF-8",
            "host: a.example",
            "user-agent: Portcullis",
            "x-mine: stays",
        ]
    );
}

#[test]
fn headers_of_the_script_come_before_ours() {
    let mut request = with_headers(&[
        ("content-TYPE", "a/b"),
        ("Content-Type", "application/json"),
        ("User-Agent", "mine"),
        ("accept", "text/html"),
        ("X-Twice", "1"),
        ("x-twice", "2"),
    ]);
    request.content_type = Some("text/xml".to_owned());
    assert_eq!(
        sent(&request),
        [
            "accept: text/html",
            "content-length: 0",
            "content-type: application/json",
            "host: a.example",
            "user-agent: mine",
            "x-twice: 1",
            "x-twice: 2",
        ]
    );
    request.headers.clear();
    assert!(sent(&request).contains(&"content-type: text/xml".to_owned()));
}

#[test]
fn nothing_breaks_out_of_a_header() {
    for (name, value) in [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\nX-B: 2"),
        ("X-A", "\u{0}"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("X-A\r\nX-B", "1"),
        ("", "1"),
        ("Ü", "1"),
    ] {
        let Err(Stop::Invalid(text)) = Hop::first(&with_headers(&[("Ok", "1"), (name, value)])) else {
            panic!("{name:?} {value:?}");
        };
        assert!(text.contains("header 2"), "{text}");
    }
    let mut request = call(HttpMethod::Post, "http://a.example/");
    request.content_type = Some("a/b\r\nX: 1".to_owned());
    assert!(matches!(Hop::first(&request), Err(Stop::Invalid(_))));
}

#[test]
fn sizes_are_bounded() {
    let many: Vec<(&str, &str)> = (0..65).map(|_| ("a", "b")).collect();
    assert!(matches!(Hop::first(&with_headers(&many)), Err(Stop::Invalid(_))));
    let long = "x".repeat(64 * 1024);
    assert!(matches!(Hop::first(&with_headers(&[("a", &long)])), Err(Stop::Invalid(_))));
    assert!(matches!(
        Hop::first(&call(HttpMethod::Get, &format!("http://a.example/{}", "x".repeat(8 * 1024)))),
        Err(Stop::Invalid(_))
    ));
    let mut request = call(HttpMethod::Put, "http://a.example/");
    request.body = Some("x".repeat(1024 * 1024 + 1));
    assert!(matches!(Hop::first(&request), Err(Stop::Invalid(_))));
}

#[test]
fn the_url_becomes_line_host_and_credentials() {
    for (url, target, host, authorization) in [
        ("http://A.example", "/", "a.example", None),
        ("http://a.example:80/b c?d e#f", "/b%20c?d%20e", "a.example", None),
        ("https://a.example:8443/%0d%0aX:1", "/%0d%0aX:1", "a.example:8443", None),
        ("http://[::1]:81/\r\n/../x", "/x", "[::1]:81", None),
        ("http://u:p%40@127.1/", "/", "127.0.0.1", Some("Basic dTpwQA==")),
        ("http://u@a.example/|^`{}\"[]?|^`{}\"[]'", "/|^%60%7B%7D%22[]?|^`{}%22[]%27", "a.example", Some("Basic dTo=")),
    ] {
        let request =
            Hop::first(&call(HttpMethod::Get, url)).unwrap_or_else(|stop| panic!("{stop:?}")).request().unwrap();
        assert_eq!(request.uri().to_string(), target, "{url}");
        assert_eq!(request.headers()[HOST], host, "{url}");
        let found = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
        assert_eq!(found, authorization, "{url}");
    }
    let mut request = call(HttpMethod::Get, "http://u:p@a.example/");
    request.headers = vec![("authorization".to_owned(), "Bearer t".to_owned())];
    assert!(sent(&request).contains(&"authorization: Bearer t".to_owned()));
}

/// Where a call goes on to: `METHOD url-path`, or nothing.
#[track_caller]
fn check_redirect(method: HttpMethod, status: u16, location: &str, expected: Option<&str>) {
    let mut request = call(method, "http://u:p@a.example:8080/x/y?z");
    request.headers = vec![("X".to_owned(), "1".to_owned())];
    let hop = Hop::first(&request).unwrap_or_else(|stop| panic!("{stop:?}"));
    let answer = Answer { status, location: Some(location.to_owned()), body: Vec::new() };
    let next = hop.after(&answer).map(|hop| hop.request().unwrap());
    let shown = next
        .as_ref()
        .map(|next| format!("{} {} {}", next.method(), next.headers()[HOST].to_str().unwrap(), next.uri()));
    assert_eq!(shown.as_deref(), expected, "{status} {location}");
    if let Some(next) = next {
        assert_eq!(next.headers()["x"], "1");
        assert_eq!(next.headers()[AUTHORIZATION], "Basic dTpw");
        assert!(!next.headers().contains_key(CONTENT_TYPE) && !next.headers().contains_key(CONTENT_LENGTH));
    }
}

#[test]
fn redirects_stay_at_home() {
    use HttpMethod::{Delete, Get, Post, Put};
    let here = Some("GET a.example:8080 /n");
    for status in [301, 302, 303, 307, 308] {
        check_redirect(Get, status, "/n", here);
    }
    for method in [Post, Put, Delete] {
        check_redirect(method, 303, "/n", here);
        for status in [301, 302, 307, 308] {
            check_redirect(method, status, "/n", None);
        }
    }
    for status in [200, 201, 300, 304, 305, 306, 400, 500] {
        check_redirect(Get, status, "/n", None);
    }
    check_redirect(Get, 302, "n", Some("GET a.example:8080 /x/n"));
    check_redirect(Get, 302, "?n#f", Some("GET a.example:8080 /x/y?n"));
    check_redirect(Get, 302, "http://A.EXAMPLE:8080/n", here);
    check_redirect(Get, 302, "http://other:secret@a.example:8080/n", here);
    check_redirect(Get, 302, "https://a.example/n", Some("GET a.example /n"));
    check_redirect(Get, 302, "https://a.example:8443/n", Some("GET a.example:8443 /n"));
    for elsewhere in [
        "http://b.example/n",
        "http://a.example/n",
        "http://a.example:8081/n",
        "http://a.example.:8080/n",
        "//b.example/n",
        "\\\\b.example/n",
        "https://b.example/n",
        "file:///etc/passwd",
        "http://",
        "http://169.254.169.254/",
    ] {
        check_redirect(Get, 302, elsewhere, None);
    }
}
