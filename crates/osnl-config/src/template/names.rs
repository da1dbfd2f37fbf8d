//! The names of one notification for expressions, converted on access.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Value};
use osnl_model::{Notification, is_secret_path, mask_secrets, resource_at, walk, walk_object};
use serde_json::Value as Json;

use super::limits::PARTS_WORK;
use super::preview_placeholder::{Placeholder, placeholder};
use super::work;
use crate::written_secrets;

/// The names, in the order in which messages list them.
///
/// `payload` and `context` are as received. `resource` is the object of the notification in one form for all
/// services ([`osnl_model::resources`]); the first of a bulk request.
pub const NAMES: [&str; 8] =
    ["payload", "context", "event_type", "publisher_id", "priority", "message_id", "timestamp", "resource"];

pub(super) const RESOURCE: [&str; 12] = [
    "kind",
    "id",
    "project",
    "user",
    "name",
    "host",
    "state",
    "addresses",
    "created_at",
    "updated_at",
    "launched_at",
    "deleted_at",
];

/// The fields of each item of `resource.addresses`.
pub(super) const ADDRESS: [&str; 3] = ["address", "version", "kind"];

/// The fields of `resource` that services leave empty or out: nova's ports have no name, neutron's objects no
/// user. A template writes nothing for a missing one.
const MAY_BE_EMPTY: [&str; 4] = ["name", "user", "host", "state"];

/// One notification under the names that templates use. A clone is cheap and shares cached results.
#[derive(Clone, Debug)]
pub struct Names(Arc<SharedNames>);

/// The notification and the cached results that clones of its names share.
#[derive(Clone, Debug)]
struct SharedNames {
    notification: Arc<Notification>,
    part: Option<BulkPart>,
    resource: OnceLock<Json>,
    more: Vec<(Arc<str>, AdditionalValue)>,
    parts_work: Arc<AtomicU64>,
}

/// The payload of one resource of a bulk request. Nothing else is copied until a caller takes the part's
/// notification.
#[derive(Clone, Debug)]
struct BulkPart {
    payload: Json,
    notification: OnceLock<Arc<Notification>>,
}

/// The value of a name that the notification itself does not have.
#[derive(Clone, Debug)]
enum AdditionalValue {
    Own(Json),
    Found(Json),
    Unknown,
}

impl AdditionalValue {
    fn json(&self) -> Option<&Json> {
        match self {
            Self::Own(json) | Self::Found(json) => Some(json),
            Self::Unknown => None,
        }
    }
}

impl Names {
    #[must_use]
    pub fn new(notification: Arc<Notification>) -> Self {
        let (resource, more, parts_work) =
            (OnceLock::new(), Vec::new(), Arc::new(AtomicU64::new(PARTS_WORK)));
        Self(Arc::new(SharedNames { notification, part: None, resource, more, parts_work }))
    }

    #[must_use]
    pub fn for_part(notification: Arc<Notification>, payload: Json) -> Self {
        Self::new(notification).part(payload)
    }

    /// Returns the names of one part of this message. Conditions of all its parts share a bound of their work.
    #[must_use]
    pub fn part(&self, payload: Json) -> Self {
        let part = Some(BulkPart { payload, notification: OnceLock::new() });
        let (notification, parts_work) = (self.0.notification.clone(), self.0.parts_work.clone());
        Self(Arc::new(SharedNames {
            notification,
            part,
            resource: OnceLock::new(),
            more: Vec::new(),
            parts_work,
        }))
    }

    pub(super) fn parts_work(&self) -> Option<&AtomicU64> {
        self.0.part.as_ref().map(|_| &*self.0.parts_work)
    }

    /// Adds or replaces a further name, such as `rule` or an enrichment's. A name of the event is never
    /// replaced. Templates must list the name at [`Template::compile`](super::Template::compile).
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<Json>) -> Self {
        self.and(name, AdditionalValue::Own(value.into()))
    }

    #[must_use]
    pub fn with_found(self, name: &str, value: Json) -> Self {
        self.and(name, AdditionalValue::Found(value))
    }

    /// Adds an enrichment that is not run: `{{ server.name }}` is `<server.name>`.
    #[must_use]
    pub fn with_unknown(self, name: &str) -> Self {
        self.and(name, AdditionalValue::Unknown)
    }

    fn and(mut self, name: &str, value: AdditionalValue) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        match inner.more.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, old)) => *old = value,
            None => inner.more.push((name.into(), value)),
        }
        self
    }

    /// Returns the results of enrichments by name; `None` without enrichments. An enrichment that was not run
    /// is `<server>`.
    #[must_use]
    pub fn found(&self) -> Option<Json> {
        let found = self.0.more.iter().filter_map(|(name, more)| match more {
            AdditionalValue::Own(_) => None,
            AdditionalValue::Found(json) => Some((name.to_string(), json.clone())),
            AdditionalValue::Unknown => Some((name.to_string(), placeholder(name).into())),
        });
        let found: serde_json::Map<String, Json> = found.collect();
        (!found.is_empty()).then_some(Json::Object(found))
    }

    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.0
            .more
            .iter()
            .filter(|(_, more)| matches!(more, AdditionalValue::Unknown))
            .map(|(name, _)| &**name)
    }

    #[must_use]
    pub fn about(&self, notification: Notification) -> Self {
        let mut names = Self::new(Arc::new(notification));
        Arc::make_mut(&mut names.0).more = self.0.more.clone();
        names
    }

    #[must_use]
    pub fn notification(&self) -> &Arc<Notification> {
        let whole = &self.0.notification;
        match &self.0.part {
            None => whole,
            Some(part) => {
                part.notification.get_or_init(|| Arc::new(whole.with_payload(part.payload.clone())))
            }
        }
    }

    fn payload(&self) -> &Json {
        self.0.part.as_ref().map_or(&self.0.notification.payload, |part| &part.payload)
    }

    fn resource(&self) -> &Json {
        self.0.resource.get_or_init(|| {
            let of_part = self.0.part.as_ref().map(|part| {
                // The code that finds resources reads only these fields.
                let event_type = self.0.notification.event_type.clone();
                Notification { event_type, payload: part.payload.clone(), ..Notification::default() }
            });
            let first = resource_at(of_part.as_ref().unwrap_or(&self.0.notification), 0);
            let mut json = first.map_or(Json::Null, |first| serde_json::to_value(first).unwrap_or_default());
            if let Json::Object(fields) = &mut json {
                fields.retain(|_, value| !value.is_null());
            }
            json
        })
    }

    /// Returns a copy with an empty text for this field, if a resource may leave the field empty.
    pub(super) fn with_blank(&self, written: &str) -> Option<Self> {
        let field = written.strip_prefix("resource.").filter(|field| MAY_BE_EMPTY.contains(field))?;
        let mut resource = self.resource().clone();
        let fields = resource.as_object_mut().filter(|fields| !fields.contains_key(field))?;
        fields.insert(field.to_owned(), "".into());
        let mut blanked = SharedNames::clone(&self.0);
        blanked.resource = OnceLock::from(resource);
        Some(Self(Arc::new(blanked)))
    }

    fn root(&self, name: &str) -> Option<RootName> {
        let more = || self.0.more.iter().position(|(known, _)| **known == *name).map(RootName::More);
        RootName::from_name(name).or_else(|| if NAMES.contains(&name) { None } else { more() })
    }

    fn tree(&self, root: RootName, path: &str) -> Option<&Json> {
        match root {
            RootName::Payload if path.is_empty() => Some(self.payload()),
            RootName::Payload => walk(self.payload(), path),
            RootName::Context if path.is_empty() => None,
            RootName::Context => walk_object(&self.0.notification.context, path),
            RootName::Resource if path.is_empty() => Some(self.resource()).filter(|json| !json.is_null()),
            RootName::Resource => walk(self.resource(), path),
            RootName::More(at) => {
                let value = self.0.more.get(at)?.1.json()?;
                if path.is_empty() { Some(value) } else { walk(value, path) }
            }
        }
    }

    fn is_unknown(&self, root: RootName) -> bool {
        match root {
            RootName::More(at) => matches!(self.0.more.get(at), Some((_, AdditionalValue::Unknown))),
            RootName::Payload | RootName::Context | RootName::Resource => false,
        }
    }

    fn plain(&self, name: &str) -> Option<&str> {
        let n = &self.0.notification;
        match name {
            "event_type" => n.event_type.as_deref(),
            "publisher_id" => n.publisher_id.as_deref(),
            "priority" => n.priority.as_ref().map(osnl_model::Priority::as_str),
            "message_id" => n.message_id.as_deref(),
            "timestamp" => n.timestamp.as_deref(),
            _ => None,
        }
    }

    /// Returns the value at a path such as `payload.port.id`, as an expression reads it; `None` if the event has no such
    /// value.
    #[must_use]
    pub fn json(&self, path: &str) -> Option<&Json> {
        match self.get(path)? {
            NameValue::Json(json) => Some(json),
            NameValue::Text(_) | NameValue::Context | NameValue::Placeholder => None,
        }
    }

    pub(super) fn get(&self, written: &str) -> Option<NameValue<'_>> {
        let (name, path) = written.split_once('.').unwrap_or((written, ""));
        match self.root(name) {
            None if path.is_empty() => self.plain(name).map(NameValue::Text),
            None => None,
            Some(RootName::Context) if path.is_empty() => Some(NameValue::Context),
            Some(root) if self.is_unknown(root) => Some(NameValue::Placeholder),
            Some(root) => self.tree(root, path).map(NameValue::Json),
        }
    }

    fn value(&self, written: &str) -> Option<Value> {
        let json = match self.get(written)? {
            NameValue::Text(text) => return Some(Value::from(text)),
            NameValue::Context => {
                return Some(Value::from_object(TemplateNode {
                    names: self.clone(),
                    root: RootName::Context,
                    steps: None,
                }));
            }
            NameValue::Placeholder => return Some(Placeholder::value(written)),
            NameValue::Json(json) => json,
        };
        let (name, path) = written.split_once('.').unwrap_or((written, ""));
        let root = self.root(name)?;
        let step = || PathStep { before: None, to: StepTarget::Path(path.into()), depth: 1 };
        Some(convert(json, || {
            let steps = if path.is_empty() { None } else { Some(Arc::new(step())) };
            TemplateNode { names: self.clone(), root, steps }
        }))
    }

    fn shown(&self, written: &str) -> Option<String> {
        let (name, path) = written.split_once('.').unwrap_or((written, ""));
        let text = match self.root(name) {
            None => Json::from(self.plain(name)?).to_string(),
            Some(RootName::Context) if path.is_empty() => "an object".to_owned(),
            Some(root) if self.is_unknown(root) => placeholder(written),
            Some(root) => {
                let json = self.tree(root, path)?;
                match json {
                    Json::String(_) | Json::Number(_) | Json::Object(_) | Json::Array(_)
                        if is_secret_path(written) =>
                    {
                        "***".to_owned()
                    }
                    json => mask_secrets(json).to_string(),
                }
            }
        };
        let mut chars = text.chars();
        let head: String = chars.by_ref().take(100).collect();
        Some(if chars.next().is_some() { format!("{head}…") } else { head })
    }
}

/// The value of a path in a notification.
#[derive(Clone, Copy, Debug)]
pub(super) enum NameValue<'a> {
    Text(&'a str),
    Json(&'a Json),
    Context,
    Placeholder,
}

/// The first name of a path; an additional one is its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RootName {
    Payload,
    Context,
    Resource,
    More(usize),
}

impl RootName {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "payload" => Some(Self::Payload),
            "context" => Some(Self::Context),
            "resource" => Some(Self::Resource),
            _ => None,
        }
    }
}

pub(super) fn has_fields(name: &str) -> bool {
    RootName::from_name(name).is_some() || !NAMES.contains(&name)
}

/// Names and paths as the engine's source spells them: `payload.a.b` is one name there, of the same length.
#[derive(Debug, Default)]
pub(super) struct Aliases(pub(super) BTreeMap<String, String>);

impl Aliases {
    pub(super) fn written(&self, name: &str) -> String {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        match self.0.get(&name[..end]) {
            Some(path) => format!("{path}{}", &name[end..]),
            None => name.to_owned(),
        }
    }

    pub(super) fn first_missing(&self, names: &Names) -> Option<String> {
        self.0.values().find(|written| names.value(written).is_none()).cloned()
    }

    /// Whether a part of the source has the path of a secret, or reads a secret in another way.
    pub(super) fn read_secret(&self, near: &str) -> bool {
        let has_path = |path: &String| is_secret_path(path) && near.contains(path.as_str());
        self.0.values().any(has_path) || written_secrets::reads_secret(near)
    }

    pub(super) fn observed(&self, names: &Names) -> Vec<(String, Option<String>)> {
        self.0.values().map(|written| (written.clone(), names.shown(written))).collect()
    }
}

/// The names of a notification as the engine looks them up.
#[derive(Debug)]
pub(super) struct NameScope {
    names: Names,
    aliases: Arc<Aliases>,
}

impl NameScope {
    pub(super) fn for_names(names: &Names, aliases: &Arc<Aliases>) -> Value {
        Value::from_object(Self { names: names.clone(), aliases: aliases.clone() })
    }
}

impl Object for NameScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if work::is_spent() {
            // The engine ends at such a value.
            return Some(Value::from(work::too_much()));
        }
        self.names.value(self.aliases.0.get(key).map_or(key, String::as_str))
    }
}

/// A value below a root, which the engine reads step by step.
#[derive(Clone, Debug)]
struct TemplateNode {
    names: Names,
    root: RootName,
    steps: Option<Arc<PathStep>>,
}

/// A step toward a value, linked to the steps before it.
#[derive(Debug)]
struct PathStep {
    before: Option<Arc<PathStep>>,
    to: StepTarget,
    depth: u32,
}

/// The part of a value that a step leads to.
#[derive(Debug)]
enum StepTarget {
    Path(Box<str>),
    Key(Box<str>),
    Item(usize),
    /// A path below the step before.
    Below(Box<str>),
}

/// The dots of an attribute that a filter reads. The engine would take each key by itself, and find none with a dot.
const DOT: char = '\u{1}';

/// Lets `map(attribute=...)` and its like read a path of the event's values as all others do.
pub(super) fn with_paths(filter: &str, mut args: Vec<Value>) -> Vec<Value> {
    if !["map", "rejectattr", "selectattr", "sort", "unique"].contains(&filter) {
        return args;
    }
    let first = args.first().and_then(|list| list.try_iter().ok()?.next());
    if first.is_none_or(|first| first.downcast_object_ref::<TemplateNode>().is_none()) {
        return args;
    }
    let joined = |attribute: &Value| {
        let path = attribute.as_str().filter(|path| path.contains('.'))?;
        Some(Value::from(path.replace('.', DOT.encode_utf8(&mut [0; 4]))))
    };
    for arg in args.iter_mut().skip(1) {
        if arg.is_kwargs() {
            let Ok(options) = Kwargs::try_from(arg.clone()) else { continue };
            let option = |name| {
                let value = options.peek::<Value>(name).ok()?;
                let joined = if name == "attribute" { joined(&value) } else { None };
                Some((name, joined.unwrap_or(value)))
            };
            *arg = options.args().filter_map(option).collect::<Kwargs>().into();
        } else if filter.ends_with("attr") {
            // Only the first of them is an attribute.
            *arg = joined(arg).unwrap_or_else(|| arg.clone());
            break;
        }
    }
    args
}

impl TemplateNode {
    fn json(&self) -> Option<&Json> {
        fn along<'a>(node: &'a TemplateNode, step: &PathStep) -> Option<&'a Json> {
            let from = match &step.before {
                Some(before) => Some(along(node, before)?),
                None => node.names.tree(node.root, ""),
            };
            match (&step.to, from) {
                (StepTarget::Path(path), _) => node.names.tree(node.root, path),
                (StepTarget::Key(key), Some(from)) => from.get(&**key),
                (StepTarget::Key(key), None) => node.names.0.notification.context.get(&**key),
                (StepTarget::Item(at), from) => from?.get(*at),
                (StepTarget::Below(path), from) => walk(from?, path),
            }
        }
        match &self.steps {
            Some(step) => along(self, step),
            None => self.names.tree(self.root, ""),
        }
    }

    fn depth(&self) -> u32 {
        self.steps.as_ref().map_or(0, |step| step.depth)
    }

    fn may_access(&self) -> bool {
        work::take(1 + u64::from(self.depth() / 8))
    }

    fn is_context(&self) -> bool {
        self.steps.is_none() && self.root == RootName::Context
    }

    fn child(&self, json: &Json, to: impl FnOnce() -> StepTarget) -> Value {
        convert(json, || {
            let step = PathStep { before: self.steps.clone(), to: to(), depth: self.depth() + 1 };
            Self { names: self.names.clone(), root: self.root, steps: Some(Arc::new(step)) }
        })
    }
}

impl Object for TemplateNode {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.json() {
            Some(Json::Array(_)) => ObjectRepr::Seq,
            Some(Json::Object(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) | None => {
                ObjectRepr::Map
            }
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(key) => self.get_value_by_str(key),
            None => {
                if !self.may_access() {
                    return None;
                }
                let at = key.as_usize()?;
                let item = self.json()?.as_array()?.get(at)?;
                Some(self.child(item, || StepTarget::Item(at)))
            }
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if !self.may_access() {
            return None;
        }
        let found = match self.json() {
            Some(json) if key.contains(DOT) => {
                let path = key.replace(DOT, ".");
                let found = walk(json, &path)?;
                return Some(self.child(found, || StepTarget::Below(path.into())));
            }
            Some(json) => json.get(key)?,
            None => self.names.0.notification.context.get(key)?,
        };
        Some(self.child(found, || StepTarget::Key(key.into())))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = |object: &serde_json::Map<String, Json>| {
            let work = object.keys().map(|key| 1 + work::count_text(key)).sum();
            if !work::take(work) {
                return Enumerator::Empty;
            }
            Enumerator::Values(object.keys().map(|key| Value::from(key.as_str())).collect())
        };
        if work::is_spent() {
            return Enumerator::Empty;
        }
        match self.json() {
            Some(Json::Object(object)) => keys(object),
            Some(Json::Array(items)) => Enumerator::Seq(items.len()),
            None if self.is_context() => keys(&self.names.0.notification.context),
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) | None => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.json() {
            Some(Json::Object(object)) => Some(object.len()),
            Some(Json::Array(items)) => Some(items.len()),
            None if self.is_context() => Some(self.names.0.notification.context.len()),
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) | None => Some(0),
        }
    }
}

fn convert(json: &Json, node: impl FnOnce() -> TemplateNode) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (None, Some(number), _) => Value::from(number),
            (None, None, Some(number)) => Value::from(number),
            (None, None, None) => Value::from(()),
        },
        Json::String(text) => {
            work::take(work::count_text(text));
            Value::from(text.as_str())
        }
        Json::Array(_) | Json::Object(_) => Value::from_object(node()),
    }
}
