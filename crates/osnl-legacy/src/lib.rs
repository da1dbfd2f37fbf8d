mod incidents;
pub mod k2hr3;
pub mod oss;
