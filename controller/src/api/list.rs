//! Lists (D 27): free-text queries, filters by field, order and range, and the shape of the answer by peer version.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    api::{
        accept::PeerVersion,
        error::{ApiError, FieldError},
        query::Query,
    },
    store::Object,
};

/// Something with members, as lists show it.
pub(crate) trait Listed {
    /// The document the list is searched and ordered by.
    fn document(&self) -> &Value;
}

impl Listed for Value {
    fn document(&self) -> &Value {
        self
    }
}

impl Listed for Arc<Object> {
    fn document(&self) -> &Value {
        &self.body
    }
}

/// What of a list is asked for.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest {
    queries: Vec<String>,
    filters: Vec<(String, String)>,
    range: Option<(usize, usize)>,
    order_by: String,
    descending: bool,
}

/// The part of a list that was asked for.
#[derive(Debug)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    first: usize,
    matching: usize,
    total: usize,
}

impl ListRequest {
    /// Reads the parameters; every other parameter is a filter.
    pub(crate) fn parse(query: &Query, default_order: &str) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let range = query.last("range").filter(|text| !text.is_empty()).and_then(|text| {
            let range = parse_range(text);
            if range.is_none() {
                errors.push(FieldError::new("range", "must be `first-last`, such as `0-30`"));
            }
            range
        });
        let descending = match query.last("descending") {
            None | Some("" | "false") => false,
            Some("true") => true,
            Some(_) => {
                errors.push(FieldError::new("descending", "must be true or false"));
                false
            }
        };
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        let filters = query.pairs().filter(|(name, _)| !PARAMETERS.contains(name));
        Ok(Self {
            queries: query.all("query").filter(|text| !text.is_empty()).map(str::to_owned).collect(),
            filters: filters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            range,
            order_by: query.last("orderBy").filter(|text| !text.is_empty()).unwrap_or(default_order).to_owned(),
            descending,
        })
    }

    /// Searches, orders and cuts. `readable` are all items the caller may see.
    pub(crate) fn page<T: Listed>(&self, readable: Vec<T>) -> Page<T> {
        let total = readable.len();
        let mut items: Vec<T> = readable.into_iter().filter(|item| self.matches(item.document())).collect();
        items.sort_by(|left, right| {
            let order = compare(left.document().get(&self.order_by), right.document().get(&self.order_by));
            if self.descending { order.reverse() } else { order }
        });
        let matching = items.len();
        let (first, last) = self.range.unwrap_or((0, usize::MAX));
        let count = last.saturating_sub(first).saturating_add(1);
        Page { items: items.into_iter().skip(first).take(count).collect(), first, matching, total }
    }

    /// The answer, with `data` as the documents of the page.
    pub(crate) fn answer(&self, version: PeerVersion, page: &Page<impl Sized>, data: Vec<Value>) -> Value {
        let last = page.first + data.len().saturating_sub(1);
        let mut answer = Map::new();
        answer.insert("data".to_owned(), Value::Array(data));
        answer.insert("range".to_owned(), format!("{}-{}/{}", page.first, last, page.matching).into());
        answer.insert("orderBy".to_owned(), self.order_by.clone().into());
        answer.insert("descending".to_owned(), self.descending.into());
        if !version.at_least(20) {
            answer.insert("query".to_owned(), self.queries.join(" ").into());
        }
        if version.at_least(17) {
            answer.insert("queries".to_owned(), self.queries.clone().into());
        }
        let filters: Vec<Value> =
            self.filters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        answer.insert("filterBy".to_owned(), Value::Array(filters));
        if version.at_least(19) {
            answer.insert("totalCount".to_owned(), page.total.into());
        }
        Value::Object(answer)
    }

    fn matches(&self, document: &Value) -> bool {
        let found = |needle: &String| texts(document).any(|text| contains(&text, needle));
        // A filter on a member the document lacks matches nothing: a mistyped filter must not widen what a client acts on.
        let included = |(name, value): &(String, String)| {
            document.get(name).is_some_and(|member| member_texts(member).iter().any(|text| contains(text, value)))
        };
        self.queries.iter().all(found) && self.filters.iter().all(included)
    }
}

fn texts(document: &Value) -> impl Iterator<Item = Cow<'_, str>> {
    let members = document.as_object().into_iter().flatten();
    members.filter(|(name, _)| !UNSEARCHED.contains(&name.as_str())).flat_map(|(_, member)| member_texts(member))
}

fn member_texts(member: &Value) -> Vec<Cow<'_, str>> {
    match member {
        Value::String(text) => vec![Cow::Borrowed(text)],
        Value::Bool(_) | Value::Number(_) => vec![Cow::Owned(member.to_string())],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(Cow::Borrowed).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

fn contains(text: &str, needle: &str) -> bool {
    text.to_lowercase().contains(&needle.to_lowercase())
}

fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::String(left)), Some(Value::String(right))) => {
            left.to_lowercase().cmp(&right.to_lowercase()).then_with(|| left.cmp(right))
        }
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => left.cmp(right),
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

/// Absent members come last; members of different types keep a fixed order.
fn rank(value: Option<&Value>) -> u8 {
    match value {
        Some(Value::String(_)) => 0,
        Some(Value::Number(_)) => 1,
        Some(Value::Bool(_)) => 2,
        Some(Value::Array(_) | Value::Object(_)) => 3,
        Some(Value::Null) | None => 4,
    }
}

fn parse_range(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.split_once('-')?;
    let number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<usize>().ok()).flatten();
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

const PARAMETERS: [&str; 4] = ["query", "range", "orderBy", "descending"];
/// Members that hold no words somebody would look for.
const UNSEARCHED: [&str; 4] = ["created", "updated", "expression", "file"];

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str) -> ListRequest {
        ListRequest::parse(&Query::parse(query).unwrap(), "name").unwrap()
    }

    #[track_caller]
    fn check(query: &str, expected: &[&str], range: &str) {
        let items = vec![
            json!({"name": "beta", "tags": ["x"], "notes": "second"}),
            json!({"name": "Alpha", "tags": ["X", "y"], "port": 22}),
            json!({"name": "gamma", "tags": []}),
        ];
        let request = request(query);
        let page = request.page(items);
        let data: Vec<Value> = page.items.clone();
        let names: Vec<&str> = data.iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{query}");
        assert_eq!(request.answer(PeerVersion::NEWEST, &page, data.clone())["range"], range, "{query}");
    }

    #[test]
    fn conventions() {
        check("", &["Alpha", "beta", "gamma"], "0-2/3");
        check("descending=true", &["gamma", "beta", "Alpha"], "0-2/3");
        check("range=1-1", &["beta"], "1-1/3");
        check("range=1-500", &["beta", "gamma"], "1-2/3");
        check("range=7-9", &[], "7-7/3");
        check("query=X", &["Alpha", "beta"], "0-1/2");
        check("query=x&query=SECOND", &["beta"], "0-0/1");
        check("tags=y", &["Alpha"], "0-0/1");
        check("name=a&port=22", &["Alpha"], "0-0/1");
        check("nosuch=1", &[], "0-0/0");
        check("orderBy=port", &["Alpha", "beta", "gamma"], "0-2/3");
    }

    #[test]
    fn bad_parameters_are_all_named() {
        let query = Query::parse("range=5-1&descending=yes").unwrap();
        let Err(ApiError::Invalid(errors)) = ListRequest::parse(&query, "name") else { panic!("accepted") };
        assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["range", "descending"]);
    }
}
