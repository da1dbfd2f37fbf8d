//! The metrics of a daemon, in the text format of Prometheus and in OpenMetrics.
//!
//! [`FAMILIES`] is the only list of names, types, labels, and help. Alert rules and dashboard name nothing else.
//! Labels are names of the configuration and fixed words, never a resource.

mod families;
mod process;
mod text;
mod values;

use osnl::control::Measurements;

pub use self::families::{FAMILIES, Family, MetricKind, table};
pub use self::process::ProcessNumbers;
use self::text::FamilyWriter;
pub use self::text::MetricsFormat;

#[must_use]
pub fn render(measured: &Measurements, process: Option<&ProcessNumbers>, format: MetricsFormat) -> String {
    let mut out = FamilyWriter::new(format);
    values::write(measured, process, &mut out);
    out.finish()
}
