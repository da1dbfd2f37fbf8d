//! Reading configuration in the dialect of oslo.config, with a place for everything it says.
//!
//! Three steps, each pure (text in, values out):
//!
//! 1. [`Ini`] splits a file into sections and entries and keeps the line of each. It collects every
//!    syntax error instead of stopping at the first.
//! 2. [`Settings`] lays such files over the defaults of a [`Schema`]; the later layer wins and every
//!    value knows its [`Origin`]. The [`Environment`] is one more layer, handed in as a value. Names that the schema lacks become [`Warning`]s.
//! 3. [`Settings::read`] substitutes `$name` and gives a typed [`Value`], or a [`ValueError`] that says
//!    what is allowed.
//!
//! What is wrong is said in one line, `FILE:LINE: [group] option: what is wrong; what is allowed; did
//! you mean …`, and never repeats a secret: see [`Finding`].
//!
//! [`read_text`] and [`files_of`] are what opens files, for those who have paths.
//!
//! The corner cases are those of oslo.config 10.7.0, recorded in `fixtures/config/ini-differential.json`.

pub mod duration;
mod environment;
mod error;
mod ini;
mod log;
pub mod rate;
pub mod secret_file;
pub mod sections;
mod settings;
pub mod size;
mod source;
pub mod typed;
mod value;
pub mod written_secrets;

#[cfg(test)]
mod differential;

pub use environment::PREFIX;
pub use environment::{Environment, variable_name};
pub use error::in_order;
pub use error::{ConfigError, ConfigErrors, Finding, Warning, in_words, shown};
pub use ini::{Entry, Ini, Section};
pub use log::{Level, LogFile};
pub use osnl_model::nearest;
pub use rate::Rate;
pub use settings::{Kind, OptionDef, Origin, Reading, Schema, Settings, UnappliedGroup};
pub use source::folder_finding;
pub use source::{ReadError, files_of, read_text};
pub use value::{Value, ValueError, substitute};
