//! The programs that osnl replaces, as their files, words, and libraries: [`k2hr3`] and [`oss`].

pub mod k2hr3;
pub mod oss;
