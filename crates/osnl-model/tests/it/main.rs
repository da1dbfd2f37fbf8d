//! The crate against what services, oslo.messaging and Python were recorded with (`fixtures`), and against what is made up
//! at random.

mod emission;
mod filter;
mod fuzz;
mod heads;
mod mutation;
mod re_match;
mod resources;
mod services;
mod transport_url;
mod wire;
