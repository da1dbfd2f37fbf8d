//! The drivers of actions that `osnl run` knows: a line for each, in the order they are documented in.

use crate::action::driver::{DriverEntry, DriverTable};
use crate::action::dump::DumpConf;
use crate::action::exec::ExecConf;
use crate::action::file::FileConf;
use crate::action::http_request::HttpConf;
use crate::action::k2hr3::K2hr3Conf;
use crate::action::k2hr3_register::K2hr3RegisterConf;
use crate::action::mail::MailConf;
use crate::action::publish::PublishConf;
use crate::action::syslog::SyslogConf;
use crate::oss::python::PythonConf;
use crate::oss::rest::OssRestConf;

/// All drivers.
const ALL: [DriverEntry; 11] = [
    DriverEntry::of::<K2hr3Conf>(),
    DriverEntry::of::<HttpConf>(),
    DriverEntry::of::<OssRestConf>(),
    DriverEntry::of::<DumpConf>(),
    DriverEntry::of::<ExecConf>(),
    DriverEntry::of::<PythonConf>(),
    DriverEntry::of::<FileConf>(),
    DriverEntry::of::<SyslogConf>(),
    DriverEntry::of::<PublishConf>(),
    DriverEntry::of::<MailConf>(),
    DriverEntry::of::<K2hr3RegisterConf>(),
];
pub(crate) static DRIVERS: &[DriverEntry] = &ALL;
/// The options of all drivers, in the same order.
pub(crate) static TABLES: &[DriverTable] = &tables(ALL);

const fn tables<const N: usize>(drivers: [DriverEntry; N]) -> [DriverTable; N] {
    let mut tables = [drivers[0].table; N];
    let mut at = 1;
    while at < N {
        tables[at] = drivers[at].table;
        at += 1;
    }
    tables
}

/// The driver of this name.
pub(crate) fn driver(name: &str) -> Option<&'static DriverEntry> {
    DRIVERS.iter().find(|entry| entry.table.name == name)
}

/// `k2hr3, http`.
pub(crate) fn names() -> Vec<&'static str> {
    DRIVERS.iter().map(|entry| entry.table.name).collect()
}
