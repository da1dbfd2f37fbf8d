//! Jinja over notifications: the expressions of `when`, and the templates of actions.
//!
//! [`NAMES`] are the parts of one notification. Expressions have Ansible's meaning, as far as minijinja
//! supports: Python's string methods, `match`, `search`, and `regex` with Python's patterns, `is defined`,
//! `default`. This crate reads no file, no clock, and no environment.
//!
//! - [`Expression::new`] and [`Template::new`] refuse an unknown name, filter, test, or method, and an
//!   invalid pattern. The error has line and column.
//! - If *this* notification lacks a name, evaluation ends with [`EvalError::Lacks`]. If `payload.a` is
//!   missing, null, or a string, `payload.a.b` counts as missing, as in Ansible.
//! - Any other failure of evaluation is [`EvalError::Failed`].
//!
//! Templates of actions may use further names: the caller lists them at compile time and sets their values
//! with [`Names::with`]. Only filters escape, or a template compiled with [`Template::escaping`]. The filters
//! are `tojson` (JSON as Python writes it, quotes included), `xml` (text and attributes of XML and HTML),
//! `urlencode` (a path; `/` stays, as in Ansible), and `form` (a value, or all pairs of an object, in a query
//! or form).
//!
//! ```
//! use osnl_config::template::{Names, Template};
//! use osnl_model::Notification;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = Template::compile("https://dns.example/{{ zone|urlencode }}/{{ payload.id }}", &["zone"])?;
//! let event = Notification { payload: serde_json::json!({"id": "vm-1"}), ..Notification::default() };
//! let names = Names::from(event).with("zone", "a b");
//! assert_eq!(url.render(&names)?, "https://dns.example/a%20b/vm-1");
//!
//! let wrong = Template::compile("{{ zoen }}", &["zone"]).unwrap_err();
//! assert_eq!((wrong.line, wrong.column, wrong.suggestion.as_deref()), (1, 4, Some("zone")));
//! # Ok(())
//! # }
//! ```
//!
//! **Bounds**: `FUEL` instructions, `WORK` values looked at, `LONGEST_SOURCE` bytes of source, `LONGEST_OUTPUT` bytes of output
//! and of each string that `replace` or `join` makes. Text of a notification is data and is never compiled.
//!
//! **Cost**: the payload is not converted. A path such as `payload.port.name` is one walk through the tree;
//! only its last value becomes a value of the engine. Comparisons joined by `and` need no engine.
//!
//! Order of the modules, lowest first: `limits`, `vocabulary`, `preview_placeholder`, `work`,
//! `names`, `conversion`, `encode`, `escape`, `methods`, `numbers`, `patterns`, `engine`, `conjuncts`, `fast_path`,
//! `foreign_syntax`, `error`, `lint`.

pub mod conjuncts;
mod conversion;
mod encode;
mod engine;
mod error;
mod escape;
mod fast_path;
mod foreign_syntax;
mod limits;
mod lint;
mod methods;
mod names;
mod numbers;
mod patterns;
mod preview_placeholder;
mod vocabulary;
mod work;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use minijinja::{Environment, Value};
use osnl_model::Notification;

use self::conjuncts::conjuncts;
use self::conversion::json;
use self::engine::{BoundedOutput, ENGINE};
pub use self::error::{EvalError, TemplateError};
pub use self::escape::Escape;
use self::fast_path::{FastPath, Truth};
pub use self::limits::{LONGEST_OUTPUT, WORK};
use self::lint::EngineSource;
use self::names::{Aliases, NameScope};
pub use self::names::{NAMES, Names};
pub use self::preview_placeholder::{placeholder, readable};
use crate::written_secrets;

/// A compiled condition of a rule or an action, such as `when`.
#[derive(Clone)]
pub struct Expression(Arc<CompiledExpression>);

/// An expression as written and as compiled, which its clones share.
struct CompiledExpression {
    source: Box<str>,
    more: Vec<Box<str>>,
    aliases: Arc<Aliases>,
    engine: minijinja::Expression<'static, 'static>,
    fast_path: Option<FastPath>,
    conjuncts: OnceLock<Vec<Expression>>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.more == other.0.more
    }
}

impl Eq for Expression {}

impl Expression {
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        Self::compile(source, &[])
    }

    pub fn compile(source: &str, more: &[&str]) -> Result<Self, TemplateError> {
        Self::compiled(source, more).map_err(|error| error.placed(source))
    }

    fn compiled(source: &str, more: &[&str]) -> Result<Self, TemplateError> {
        let scanned = EngineSource::expression(source, more)?;
        let engine = ENGINE
            .compile_expression_owned(scanned.text.clone())
            .map_err(|error| TemplateError::syntax(source, &error))?;
        if scanned.may_be_cut {
            // The engine takes unreadable text at the end for the end; brackets make it an error.
            let whole = ENGINE.compile_expression_owned(format!("({}\n)", scanned.text));
            whole.map_err(|error| TemplateError::syntax_in_brackets(source, &error))?;
        }
        scanned.check(&engine.undeclared_variables(false))?;
        Ok(Self(Arc::new(CompiledExpression {
            fast_path: FastPath::read(source, &scanned.aliases),
            source: source.into(),
            more: more.iter().map(|name| (*name).into()).collect(),
            aliases: Arc::new(scanned.aliases),
            engine,
            conjuncts: OnceLock::new(),
        })))
    }

    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the expression has constants that may repeat a secret, as [`written_secrets::compares_secret`].
    #[must_use]
    pub fn compares_secret(&self) -> bool {
        written_secrets::compares_secret(&self.0.source)
    }

    /// Returns the source for people, on one line; `***` if it may repeat a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.compares_secret() {
            return "***".to_owned();
        }
        self.source().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub fn holds(&self, names: &Names) -> Result<bool, EvalError> {
        match self.0.fast_path.as_ref().map_or(Truth::Engine, |fast_path| fast_path.ask(names)) {
            Truth::Holds(holds) => Ok(holds),
            Truth::Lacks(name) => Err(EvalError::Lacks { name: name.to_owned() }),
            Truth::Engine => self.eval(names, |value| Ok(value.is_true())),
        }
    }

    pub fn prepare(&self) {
        self.0.fast_path.iter().for_each(FastPath::prepare);
    }

    pub fn value(&self, names: &Names) -> Result<serde_json::Value, EvalError> {
        self.eval(names, |value| json(value, 0))
    }

    fn eval<T>(
        &self,
        names: &Names,
        then: impl FnOnce(&Value) -> Result<T, minijinja::Error>,
    ) -> Result<T, EvalError> {
        let evaluate = || match self.0.engine.eval(NameScope::for_names(names, &self.0.aliases))? {
            value if value.is_undefined() => Ok(None),
            value => then(&value).map(Some),
        };
        match work::bounded(names.parts_work(), || unbroken(evaluate)) {
            Ok(Some(result)) => Ok(result),
            Ok(None) => Err(EvalError::lacks(None, &self.0.aliases, names)),
            Err(error) => Err(EvalError::from_engine(&self.0.source, &error, &self.0.aliases, names)),
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.aliases.0.values().map(String::as_str)
    }

    /// Returns the value if the expression reads no name, and so is the same for every event.
    pub fn constant(&self) -> Option<Result<bool, EvalError>> {
        let nothing = self.0.aliases.0.is_empty();
        nothing.then(|| self.holds(&Names::from(Notification::default())))
    }

    #[must_use]
    pub fn false_side(&self, names: &Names) -> Option<Self> {
        let sides = self.0.conjuncts.get_or_init(|| {
            let more: Vec<&str> = self.0.more.iter().map(|name| &**name).collect();
            let sides = conjuncts(&self.0.source).filter(|sides| sides.len() > 1).unwrap_or_default();
            // Behind an operand that does not compile alone, the split is not reliable.
            sides.into_iter().map_while(|side| Self::compile(side.trim(), &more).ok()).collect()
        });
        sides.iter().find(|side| matches!(side.holds(names), Ok(false))).cloned()
    }

    /// Returns each name that the expression reads with the notification's value; `None` is missing. Secrets
    /// are masked and long texts cut.
    #[must_use]
    pub fn observed(&self, names: &Names) -> Vec<(String, Option<String>)> {
        self.0.aliases.observed(names)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.shown()).finish()
    }
}

/// A compiled text with values of the event, such as a URL or a body.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    aliases: Arc<Aliases>,
    engine: Arc<Environment<'static>>,
    only: Option<Expression>,
}

const NAME: &str = "template";

impl Template {
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        Self::compile(source, &[])
    }

    /// Compiles with further names: [`Names::with`] sets their values. A further name without a value counts
    /// as missing.
    pub fn compile(source: &str, more: &[&str]) -> Result<Self, TemplateError> {
        Self::escaping(source, more, Escape::None)
    }

    /// Compiles for a format that values must not break out of: each value is escaped as it is written.
    pub fn escaping(source: &str, more: &[&str], escape: Escape) -> Result<Self, TemplateError> {
        Self::compiled(source, more, escape).map_err(|error| error.placed(source))
    }

    fn compiled(source: &str, more: &[&str], escape: Escape) -> Result<Self, TemplateError> {
        let scanned = EngineSource::template(source, more)?;
        let mut engine = ENGINE.clone();
        escape.install(&mut engine);
        let wrong = |error| TemplateError::syntax(source, &error);
        engine.add_template_owned(NAME, scanned.text.clone()).map_err(wrong)?;
        let undeclared = engine.get_template(NAME).map_err(wrong)?.undeclared_variables(false);
        scanned.check(&undeclared)?;
        let only = scanned.only.clone().and_then(|only| source.get(only)).map(|inner| {
            let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
            Expression::compiled(inner.strip_suffix(['-', '+']).unwrap_or(inner), more)
        });
        let only = only.transpose()?;
        Ok(Self { source: source.into(), aliases: Arc::new(scanned.aliases), engine: Arc::new(engine), only })
    }

    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the source for people, as [`written_secrets::masked`].
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        written_secrets::masked(&self.source)
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.aliases.0.values().map(String::as_str)
    }

    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.paths().map(|path| path.split('.').next().unwrap_or(path))
    }

    /// Renders the text for one notification. A resource's missing name, user, host, or state is an empty
    /// text.
    ///
    /// # Errors
    /// A name is missing and has no default, the output is too long, or another [`EvalError`] occurs.
    pub fn render(&self, names: &Names) -> Result<String, EvalError> {
        blank_where_empty(names, |names| self.rendered(names))
    }

    /// Returns the field of the resource for which [`render`](Self::render) writes an empty text, since the
    /// event has none.
    #[must_use]
    pub fn blank(&self, names: &Names) -> Option<String> {
        match self.rendered(names) {
            Err(EvalError::Lacks { name }) => names.with_blank(&name).map(|_| name),
            Ok(_) | Err(_) => None,
        }
    }

    fn rendered(&self, names: &Names) -> Result<String, EvalError> {
        let mut written = BoundedOutput::default();
        let scope = NameScope::for_names(names, &self.aliases);
        let template = self.engine.get_template(NAME);
        let evaluate =
            || template.and_then(|template| template.render_captured_to(scope, &mut written).map(drop));
        let rendered = work::bounded_loops(|| unbroken(evaluate));
        match rendered {
            Ok(()) => Ok(written.into_text()),
            Err(_) if written.full() => Err(EvalError::TooLong),
            Err(error) => Err(EvalError::from_engine(&self.source, &error, &self.aliases, names)),
        }
    }

    /// Returns JSON: a template that is only `{{ one expression }}` keeps its value's type; any other is
    /// text.
    pub fn value(&self, names: &Names) -> Result<serde_json::Value, EvalError> {
        match &self.only {
            Some(expression) => blank_where_empty(names, |names| expression.value(names)),
            None => self.render(names).map(Into::into),
        }
    }
}

/// Evaluates, and retries with an empty text for a field of the resource that the event lacks.
fn blank_where_empty<T>(
    names: &Names,
    evaluate: impl Fn(&Names) -> Result<T, EvalError>,
) -> Result<T, EvalError> {
    let mut result = evaluate(names);
    let mut blanked = names.clone();
    while let Err(EvalError::Lacks { name }) = &result
        && let Some(more) = blanked.with_blank(name)
    {
        blanked = more;
        result = evaluate(&blanked);
    }
    result
}

/// Turns a panic of the engine into an error of one event, so that the daemon continues. No panic is known
/// that [`lint`] accepts.
fn unbroken<T>(evaluate: impl FnOnce() -> Result<T, minijinja::Error>) -> Result<T, minijinja::Error> {
    catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| {
        let problem = "the engine has a mistake and cannot do this; please report it";
        Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, problem))
    })
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.shown()).finish()
    }
}

impl From<Notification> for Names {
    fn from(notification: Notification) -> Self {
        Self::new(Arc::new(notification))
    }
}

#[cfg(test)]
mod tests;
