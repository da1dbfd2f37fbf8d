//! `k2hr3_osnl._native`: the part of the Python module k2hr3_osnl that uses osnl's engine.
//!
//! The Python sources beside this crate have the documented names and call this module.
//! Notifications cross as JSON texts, which Python parses faster than objects could be built one by
//! one. Every call that may wait first releases the interpreter's lock, so no thread waits for our
//! threads with the lock held.

mod calls;
mod conf;
mod endpoint;
mod listen;
mod logs;
mod wait;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::calls::Calls;
    #[pymodule_export]
    use crate::conf::Conf;
    #[pymodule_export]
    use crate::endpoint::{K2hr3Caller, parameters};
    #[pymodule_export]
    use crate::listen::{listen, listen_to};
    #[pymodule_export]
    use crate::logs::forward;
    #[pymodule_export]
    use crate::version;
}

/// Returns the version of k2hr3_osnl whose place this takes, and that of osnl.
#[pyo3::pyfunction]
fn version() -> (&'static str, &'static str) {
    (osnl_legacy::k2hr3::version(), env!("CARGO_PKG_VERSION"))
}
