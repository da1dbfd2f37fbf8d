
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
