#![expect(clippy::unwrap_used, reason = "a test's helper: what is not there fails the test")]

mod catalogue;
mod lacking;
mod masking;
mod names;
mod recorded;
