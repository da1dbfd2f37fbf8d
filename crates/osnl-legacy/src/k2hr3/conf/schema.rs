use osnl::native::journal;
use osnl_config::Options as _;
use osnl_config::sections::{ForeignSection, Schema, SectionDef};
use osnl_transport::FORMER_OPTIONS;

use super::options::{K2hr3Options, LogOptions, NotificationOptions};

pub(super) const NOTIFICATIONS: &str = "oslo_messaging_notifications";
pub(super) const K2HR3: &str = "k2hr3";
pub(super) const JOURNAL: &str = "journal";
pub(super) const DEFAULT: &str = "DEFAULT";

pub(super) static SCHEMA: Schema = Schema::oslo(SECTIONS, UNAPPLIED).with_former(FORMER_OPTIONS);

const SECTIONS: &[SectionDef] = &[
    SectionDef::new(DEFAULT, "The program itself.", LogOptions::OPTIONS),
    SectionDef::new(NOTIFICATIONS, "What is listened to.", NotificationOptions::OPTIONS),
    SectionDef::new(K2HR3, "What is called.", K2hr3Options::OPTIONS),
    SectionDef {
        defaults: &[("connection", "memory://")],
        ..journal::section("What keeps messages until they are done.")
    },
];

const UNAPPLIED: &[ForeignSection] = &[
    ForeignSection {
        name: "oslo_messaging_rabbit",
        problem: "not applied, because k2hr3_osnl did not either, and ssl, durable queues or another prefetch would change a working set-up; to apply an option, write it into the query of transport_url \
                  (rabbit://…/?ssl=1&ssl_ca_file=…) or use osnl's own form, which applies the section",
        remedy: "",
    },
    driver("oslo_messaging_kafka"),
    driver("oslo_messaging_amqp"),
    driver("oslo_messaging_metrics"),
];

const fn driver(name: &'static str) -> ForeignSection {
    ForeignSection {
        name,
        problem: "driver options are not applied, nor did k2hr3_osnl apply them; to apply an option, write it into the query \
                  of transport_url",
        remedy: "",
    }
}
