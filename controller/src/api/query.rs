//! The query string of a request, as pairs in the order given.

use percent_encoding::percent_decode_str;

use crate::api::error::ApiError;

/// Decoded `name=value` pairs. Names may repeat.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part after the question mark, form encoded.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        let pairs: Vec<(String, String)> = pairs.collect::<Result<_, ApiError>>()?;
        if pairs.len() > MAX_PAIRS {
            return Err(ApiError::BadRequest(format!("more than {MAX_PAIRS} query parameters")));
        }
        Ok(Self(pairs))
    }

    /// The last value of a parameter, as clients that repeat one by mistake expect.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Everything.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| ApiError::BadRequest("the query string is not UTF-8".to_owned()))
}

/// More parameters than any endpoint has.
const MAX_PAIRS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_may_repeat() {
        let query = Query::parse("query=a+b&query=c%26d&range=0-1&flag").unwrap();
        assert_eq!(query.all("query").collect::<Vec<_>>(), ["a b", "c&d"]);
        assert_eq!(query.last("range"), Some("0-1"));
        assert_eq!(query.last("flag"), Some(""));
        assert!(Query::parse("a=%ff").is_err());
    }
}
