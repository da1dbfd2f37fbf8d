//! The admin endpoint over real connections.

#[path = "admin/client.rs"]
mod client;
#[path = "admin/document.rs"]
mod document;
#[path = "admin/http.rs"]
mod http;
#[path = "admin/packaging.rs"]
mod packaging;
#[path = "admin/promtool.rs"]
mod promtool;
#[path = "admin/slow.rs"]
mod slow;
