//! oslo.config's dialect: text, environment, and flags become typed values with their positions.
//!
//! No option is known by name: a caller has a table of [`OptionDef`] for each section. [`sections`] lays files
//! ([`Ini`]), the [`Environment`], and flags over the defaults, substitutes `$name`, and reads typed values. The
//! later layer wins, every value has its [`ValueOrigin`], and all errors are collected.
//!
//! ```
//! use osnl_config::sections::{Layers, Schema, SectionDef};
//! use osnl_config::{Ini, Kind, OptionDef, Value};
//!
//! const ON: OptionDef = OptionDef::typed("on", Kind::Bool, "Whether there is light.").or("no");
//! static SCHEMA: Schema = Schema::oslo(&[SectionDef::new("lamp", "The lamp.", &[ON])], &[]);
//!
//! let mut layers = Layers::new(&SCHEMA);
//! let (ini, _) = Ini::parse("lamp.conf", "[lamp]\non = yes\nof = 1\n");
//! let warnings = layers.apply(&ini).warnings;
//! assert_eq!(warnings[0].to_string(), "lamp.conf:3: [lamp] of: unknown option, ignored; did you mean on?");
//!
//! let on = layers.read("lamp", "on")?;
//! assert_eq!((on.value, on.origin.to_string()), (Some(Value::Bool(true)), "lamp.conf:2".to_owned()));
//! # Ok::<(), osnl_config::typed::ValueRefusal>(())
//! ```
//!
//! A [`Finding`] is one line, `FILE:LINE: [group] option: problem; remedy; did you mean …`, and never repeats
//! a secret.
//!
//! Shared value types have their own modules: [`duration`], [`size`], [`rate`], [`typed`]. Files with one
//! secret are in [`secret_file`], secrets within other values in [`written_secrets`].
//!
//! The corner cases are those of oslo.config 10.7.0, recorded in `fixtures/config/ini-differential.json`.

pub mod duration;
mod environment;
mod error;
mod ini;
mod log;
mod option;
mod options;
pub mod rate;
pub mod secret_file;
pub mod sections;
pub mod size;
mod source;
#[cfg(feature = "template")]
pub mod template;
pub mod typed;
mod value;
pub mod written_secrets;

#[cfg(test)]
mod differential;

pub use environment::{Environment, PREFIX, variable_name};
pub(crate) use error::unknown_value;
pub use error::{ConfigError, ConfigErrors, Finding, Warning, in_order, in_words, shown};
pub use ini::{Ini, IniEntry, IniSection};
pub use log::{Level, LogFile};
pub use option::{Kind, OptionDef, ValueOrigin};
pub use options::{Bytes, OptionValue, Options, ReadBySection, Seconds, without_defaults};
pub use osnl_model::{did_you_mean, nearest};
pub use rate::Rate;
pub use source::{
    LARGEST_FILE, ReadError, RegularFileError, files_of, folder_finding, read_regular, read_remedy, read_text,
};
pub use value::{Value, substitute};
