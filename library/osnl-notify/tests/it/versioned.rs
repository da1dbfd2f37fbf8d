//! Versioned notifications against the output of ironic 39, nova 34 and oslo.versionedobjects 3.12
//! (`fixtures/emission`, `library/fixtures`).

mod catalogue;
mod compatibility;
mod emit;
mod every_recording;
mod fingerprints;
mod guide;
mod history;
mod nova_classes;
mod operation;
mod properties;
mod recordings;
mod wire;
