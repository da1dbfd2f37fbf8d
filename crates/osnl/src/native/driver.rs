//! The drivers of actions, as tables of options need them.

pub(super) use crate::action::driver::{DriverEntry, DriverOption};
pub(super) use crate::drivers::{DRIVERS, driver, names};
