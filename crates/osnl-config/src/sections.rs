//! Configurations whose sections have names: `[kind:NAME]`, with drivers that have options of their own.
//!
//! A [`SectionSchema`] lists sections and options. [`Layers`] lays files, the environment, and flags over its defaults;
//! unknown names are errors. A [`Reader`] turns the options of one section into typed values and collects [`Findings`].
//!
//! ```
//! use osnl_config::Ini;
//! use osnl_config::sections::{Findings, Layers, Reader, SectionDef, SectionOption, SectionSchema};
//!
//! static SCHEMA: SectionSchema = SectionSchema {
//!     sections: &[SectionDef::named("lamp", &[SectionOption::new("watts", Some("40"))])],
//!     foreign: &[],
//!     reference: "the manual",
//!     synonyms: &[],
//!     machine_default: |_| None,
//! };
//!
//! let mut layers = Layers::new(&SCHEMA);
//! let (ini, _) = Ini::parse("lamps.conf", "[lamp:desk]\nwatts = 900\n");
//! assert!(layers.apply(&ini).is_empty());
//!
//! let mut findings = Findings::default();
//! let section = &layers.sections[0];
//! let mut reader = Reader { file: "lamps.conf", layers: &layers, section, findings: &mut findings };
//! assert_eq!(reader.name(), "desk");
//! assert_eq!(reader.number("watts", 1, 100), None);
//! let said = findings.errors[0].to_string();
//! assert_eq!(said, "lamps.conf:2: [lamp:desk] watts: 900 is out of range; allowed: 1 to 100");
//! ```

mod driver_table;
mod layers;
mod reader;
mod schema;
mod slips;

pub use self::driver_table::{DriverOption, DriverTable};
pub use self::layers::{Layers, RawEntry, RawSection, Substitution};
pub use self::reader::{Findings, Reader};
pub use self::schema::{ForeignSection, SectionDef, SectionOption, SectionSchema};
pub use self::slips::{joined, repeated};
