//! The drivers of actions besides HTTP: programs, mails, files, syslog, brokers, K2HR3; and the logins to clouds that the
//! HTTP action takes.
//!
//! [`osnl_action::driver`] is their contract, and `osnl`'s `native/drivers.rs` lists them. A driver reads its options from
//! a section, explains and previews its effect, probes its target, and builds the [`Action`](osnl_action::Action):
//!
//! ```
//! use osnl_action::driver::{ActionDriver, DriverEntry, OptionDef, SectionReader};
//! use osnl_actions::file::FileConf;
//! use osnl_config::Ini;
//! use osnl_config::sections::{Dialect, Findings, Layers, Schema, SectionDef};
//!
//! const FILE: DriverEntry = DriverEntry::for_conf::<FileConf>();
//! const NAME: OptionDef = OptionDef::new("driver", "name", "The driver.");
//! static SECTIONS: [SectionDef; 1] =
//!     [SectionDef { drivers: &[FILE.table], ..SectionDef::named("action", "What a rule calls.", &[NAME]) }];
//! static SCHEMA: Schema = Schema {
//!     sections: &SECTIONS,
//!     dialect: Dialect::Strict { foreign: &[], reference: "", synonyms: &[], machine_default: |_| None },
//!     former: &[],
//! };
//!
//! /// Reads the one action of a file.
//! fn read(text: &str) -> (Option<ActionDriver>, Findings) {
//!     let mut layers = Layers::new(&SCHEMA);
//!     let mut findings = layers.apply(&Ini::parse("osnl.conf", text).0);
//!     let section = &layers.sections[0];
//!     let mut reader = SectionReader { file: "osnl.conf", layers: &layers, section, findings: &mut findings };
//!     ((FILE.read)(&mut reader), findings)
//! }
//!
//! let (driver, _) = read("[action:audit]\ndriver = file\npath = /var/log/audit.jsonl\n");
//! let does = driver.unwrap().conf().does();
//! assert_eq!(does, "writes each event to /var/log/audit.jsonl, one line of JSON each");
//!
//! let (_, findings) = read("[action:audit]\ndriver = file\n");
//! assert!(findings.errors[0].to_string().starts_with("osnl.conf:1: [action:audit] path: "));
//! ```

pub mod broker;
pub mod canary;
pub mod cloud;
pub mod dump;
pub(crate) mod event_names;
pub mod exec;
pub mod file;
pub mod k2hr3;
pub mod k2hr3_register;
pub mod mail;
pub mod publish;
pub mod syslog;
pub mod transport_url;
mod wire;
