//! The admin endpoint over real connections.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "admin/client.rs"]
mod client;
#[path = "admin/document.rs"]
mod document;
#[path = "admin/hostile.rs"]
mod hostile;
#[path = "admin/http.rs"]
mod http;
#[path = "admin/otlp.rs"]
mod otlp;
#[path = "admin/packaging.rs"]
mod packaging;
#[path = "admin/promtool.rs"]
mod promtool;
#[path = "admin/slow.rs"]
mod slow;
