//! The drivers of actions that `osnl run` knows, in the order of their documentation.
//!
//! A program adds drivers with [`Drivers::with`], and reads files with [`Sources::drivers`].
//!
//! [`Sources::drivers`]: crate::native::Sources::drivers

use std::fmt;
use std::sync::LazyLock;

use osnl_config::sections::{DriverTable, Schema, SectionDef};

use super::kinds::ACTION;
use super::schema::SCHEMA;
use crate::action::driver::DriverEntry;
use crate::actions::cloud::HTTP;
use crate::actions::dump::DumpConf;
use crate::actions::exec::ExecConf;
use crate::actions::file::FileConf;
use crate::actions::k2hr3::K2hr3Conf;
use crate::actions::k2hr3_register::K2hr3RegisterConf;
use crate::actions::mail::MailConf;
use crate::actions::publish::PublishConf;
use crate::actions::syslog::SyslogConf;

static OWN: LazyLock<Drivers> = LazyLock::new(|| {
    Drivers::new(vec![
        DriverEntry::for_conf::<K2hr3Conf>(),
        HTTP,
        DriverEntry::for_conf::<DumpConf>(),
        DriverEntry::for_conf::<ExecConf>(),
        DriverEntry::for_conf::<FileConf>(),
        DriverEntry::for_conf::<SyslogConf>(),
        DriverEntry::for_conf::<PublishConf>(),
        DriverEntry::for_conf::<MailConf>(),
        DriverEntry::for_conf::<K2hr3RegisterConf>(),
    ])
});

/// The drivers that sections may name.
#[derive(Clone, Copy)]
pub struct Drivers {
    entries: &'static [DriverEntry],
    schema: &'static Schema,
}

impl Drivers {
    /// Adds a driver. The list is leaked, so a program should call this once.
    #[must_use]
    pub fn with(self, behind: &str, entry: DriverEntry) -> Self {
        let mut entries = self.entries.to_vec();
        let at =
            entries.iter().position(|entry| entry.table.name == behind).map_or(entries.len(), |at| at + 1);
        entries.insert(at, entry);
        Self::new(entries)
    }

    #[must_use]
    pub fn entries(self) -> &'static [DriverEntry] {
        self.entries
    }

    pub(super) fn named(self, name: &str) -> Option<&'static DriverEntry> {
        self.entries.iter().find(|entry| entry.table.name == name)
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        self.entries.iter().map(|entry| entry.table.name).collect()
    }

    pub(super) fn schema(self) -> &'static Schema {
        self.schema
    }

    fn new(entries: Vec<DriverEntry>) -> Self {
        let tables: Vec<DriverTable> = entries.iter().map(|entry| entry.table).collect();
        let tables: &'static [DriverTable] = tables.leak();
        let section = |def: &SectionDef| match def.kind {
            ACTION => SectionDef { drivers: tables, ..*def },
            _ => SectionDef { ..*def },
        };
        let sections: Vec<SectionDef> = SCHEMA.sections.iter().map(section).collect();
        let schema = Box::leak(Box::new(Schema { sections: sections.leak(), ..SCHEMA }));
        Self { entries: entries.leak(), schema }
    }
}

impl Default for Drivers {
    fn default() -> Self {
        *OWN
    }
}

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drivers").field(&self.names()).finish()
    }
}

impl PartialEq for Drivers {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for Drivers {}
