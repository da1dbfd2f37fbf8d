//! The one engine of options: tables, layers, and a reader of typed values.
//!
//! | part | contents |
//! | --- | --- |
//! | [`Schema`] | the sections of a form, each a table of [`OptionDef`](crate::OptionDef), and its [`Dialect`] |
//! | [`Layers`] | the values: defaults, files, environment, flags, each with its [`ValueOrigin`](crate::ValueOrigin) |
//! | [`SectionReader`] | the typed values of one section, and problems as [`Findings`] |
//!
//! `osnl run`, oslo.messaging's rabbit driver, `k2hr3_osnl.conf`, and `oss.conf` are such tables. Sections
//! may have names, `[kind:NAME]`, and a driver with its own options.
//!
//! ```
//! use osnl_config::{Ini, Kind, OptionDef};
//! use osnl_config::sections::{Dialect, Findings, Layers, SectionReader, Schema, SectionDef};
//!
//! const WATTS: OptionDef = OptionDef::typed("watts", Kind::Integer, "How bright.").or("40");
//! static SCHEMA: Schema = Schema {
//!     sections: &[SectionDef::named("lamp", "A lamp.", &[WATTS])],
//!     dialect: Dialect::Strict {
//!         foreign: &[],
//!         reference: "the manual",
//!         synonyms: &[],
//!         machine_default: |_| None,
//!     },
//!     former: &[],
//! };
//!
//! let mut layers = Layers::new(&SCHEMA);
//! let (ini, _) = Ini::parse("lamps.conf", "[lamp:desk]\nwatts = 900\n");
//! assert!(layers.apply(&ini).errors.is_empty());
//!
//! let mut findings = Findings::default();
//! let section = &layers.sections[0];
//! let mut reader = SectionReader { file: "lamps.conf", layers: &layers, section, findings: &mut findings };
//! assert_eq!(reader.name(), "desk");
//! assert_eq!(reader.integer("watts"), Some(900));
//! assert_eq!(reader.refuse::<i64>("watts", "900 is out of range", "allowed: 1 to 100"), None);
//! let said = findings.errors[0].to_string();
//! assert_eq!(said, "lamps.conf:2: [lamp:desk] watts: 900 is out of range; allowed: 1 to 100");
//! ```

mod driver_table;
mod findings;
mod layers;
mod raw;
mod reader;
mod schema;
mod secret_files;
mod slips;
#[cfg(test)]
mod tests;
mod unknown;

pub use self::driver_table::DriverTable;
pub use self::findings::Findings;
pub use self::layers::{LayeredValue, Layers};
pub use self::raw::{RawEntry, RawSection};
pub use self::reader::SectionReader;
pub use self::schema::{Dialect, ForeignSection, FormerOption, Schema, SectionDef, SectionOption};
pub use self::secret_files::{open_files, read_all};
pub use self::slips::{disguised, joined, repeated};
pub use self::unknown::normalized;
