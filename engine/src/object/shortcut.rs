//! App shortcuts (D 8, D 12): what a client shows as an application and its operating system opens.
//!
//! They come from administrators and from scripts, and scripts repeat what directories and devices say. So an address must
//! be of a scheme that opens a program on a host; anything that could run where it is shown is no shortcut.

use serde_json::Value;

/// One application as a client shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppShortcut {
    /// Name, at most 32 characters.
    pub name: String,
    /// Address, at most 1,024 bytes.
    pub url: String,
    /// Description, at most 300 characters.
    pub description: String,
    /// Colour, 1 to 20.
    pub color: u8,
    /// Group it is shown under, at most 64 characters.
    pub group: Option<String>,
}

/// Why something is no shortcut.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum BadShortcut {
    /// It is no object, or has no name that is a text.
    #[error("a shortcut needs a name")]
    NoName,
    /// It has no address that is a text.
    #[error("shortcut `{0}` needs a url")]
    NoUrl(String),
    /// The address is too long, or holds spaces, control characters or what is no ASCII.
    #[error(
        "the url of shortcut `{0}` is longer than 1024 bytes or holds characters that no url has; write others as %XX or, in a host name, as xn--…"
    )]
    Url(String),
    /// What follows the scheme is no host.
    #[error("the url of shortcut `{0}` must name a host that begins with a letter, a digit or `[`")]
    Host(String),
    /// The address is not of a scheme that is opened.
    #[error(
        "the url of shortcut `{0}` must begin with one of http, https, ftp, ftps, sftp, ssh, telnet, rdp, vnc, smb and `://`"
    )]
    Scheme(String),
}

impl AppShortcut {
    /// Reads `{name, url, description, colorCode, groupName}`. Longer texts are cut; a mark stands where a control character
    /// was.
    ///
    /// # Errors
    /// When there is no name or no usable address.
    pub fn parse(value: &Value) -> Result<Self, BadShortcut> {
        let text = |member: &str, most| value.get(member).and_then(Value::as_str).map(|text| shown(text, most));
        let name = text("name", MAX_NAME).filter(|name| !name.is_empty()).ok_or(BadShortcut::NoName)?;
        let Some(url) = value.get("url").and_then(Value::as_str).map(str::trim) else {
            return Err(BadShortcut::NoUrl(name));
        };
        if url.len() > MAX_URL || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadShortcut::Url(name));
        }
        let of_scheme = url.split_once("://").filter(|(scheme, rest)| {
            !rest.is_empty() && SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        });
        let Some((_, rest)) = of_scheme else { return Err(BadShortcut::Scheme(name)) };
        if !names_a_host(rest) {
            return Err(BadShortcut::Host(name));
        }
        let color = value.get("colorCode").and_then(Value::as_u64).and_then(|color| u8::try_from(color).ok());
        Ok(Self {
            url: url.to_owned(),
            description: text("description", MAX_DESCRIPTION).unwrap_or_default(),
            color: color.filter(|color| (1..=20).contains(color)).unwrap_or(1),
            group: text("groupName", MAX_GROUP).filter(|group| !group.is_empty()),
            name,
        })
    }

    /// At most about so many bytes of a message it needs.
    pub fn size(&self) -> usize {
        let group = self.group.as_ref().map_or(0, String::len);
        // Quotes and backslashes double, and the names of the members come on top.
        2 * (self.name.len() + self.url.len() + self.description.len() + group) + 100
    }
}

/// Whether a character steers how others are shown, instead of being shown: control characters, ends of lines and what
/// turns the order of a text.
pub fn steers_display(character: char) -> bool {
    character.is_control() || REORDERING.contains(&character)
}

/// Whether what follows a scheme begins with a host, after any user. A host or user that begins with `-` becomes an option
/// of the program that is opened with it.
fn names_a_host(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let begins =
        |part: &str, also: char| part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == also);
    begins(host, '[') && user.is_none_or(|user| begins(user, '_'))
}

fn shown(text: &str, most: usize) -> String {
    let shown = text.trim().chars().take(most);
    shown.map(|character| if steers_display(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

/// Schemes that open a program on a host.
const SCHEMES: [&str; 10] = ["http", "https", "ftp", "ftps", "sftp", "ssh", "telnet", "rdp", "vnc", "smb"];

/// Characters that change the order in which others are shown, and ends of lines that are no control characters.
const REORDERING: [char; 14] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

const MAX_NAME: usize = 32;
const MAX_DESCRIPTION: usize = 300;
const MAX_GROUP: usize = 64;
const MAX_URL: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_url(url: &str, fine: bool) {
        let read = AppShortcut::parse(&json!({ "name": "x", "url": url }));
        assert_eq!(read.is_ok(), fine, "{url:?}: {read:?}");
    }

    #[test]
    fn an_address_opens_a_program_on_a_host_and_nothing_else() {
        for url in [
            "https://wiki.example/a?b=c#d",
            "HTTP://10.0.0.1",
            "ssh://build:22",
            "ssh://_backup@build",
            "ssh://ana@build/@x",
            "https://[2001:db8::1]:8443/",
            "rdp://host",
            " vnc://h ",
        ] {
            check_url(url, true);
        }
        let long = format!("https://{}", "a".repeat(1024));
        for url in [
            "",
            "wiki.example",
            "https://",
            "javascript:alert(1)",
            "javascript://x/%0aalert(1)",
            "java\tscript://x",
            "https://a b",
            "https://a\u{1b}[2J",
            "data:text/html,x",
            "file:///etc/passwd",
            "ms-msdt://x",
            "ssh://-oProxyCommand=id/",
            "ssh://ana@-oProxyCommand=id",
            "ssh://-oProxyCommand=id@host",
            "ssh://a@b@-oProxyCommand=id",
            "ssh://@-host",
            "https:///path",
            "https://@",
            "https://%2doProxy",
            "https://exämple",
            "https://a/\u{202e}gpj",
            "https://a\u{2028}b",
            &long,
        ] {
            check_url(url, false);
        }
    }

    #[test]
    fn texts_are_cut_and_steer_no_terminal() {
        let value = json!({
            "name": "n".repeat(40), "url": "https://a", "description": "one\ntwo\u{1b}[31m\u{202e}\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}.", "colorCode": 99,
            "groupName": "", "other": { "deep": [] },
        });
        let read = AppShortcut::parse(&value).unwrap();
        assert_eq!((read.name.len(), read.color, &read.group), (32, 1, &None));
        assert_eq!(read.description, "one\u{fffd}two\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}.");
        for broken in [json!(7), json!({}), json!({ "name": "" }), json!({ "name": 7, "url": "https://a" })] {
            assert_eq!(AppShortcut::parse(&broken), Err(BadShortcut::NoName), "{broken}");
        }
        assert_eq!(AppShortcut::parse(&json!({ "name": "x", "url": null })), Err(BadShortcut::NoUrl("x".into())));
    }
}
