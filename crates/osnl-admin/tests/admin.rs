#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "admin/client.rs"]
mod client;
#[path = "admin/control_socket.rs"]
mod control_socket;
#[path = "admin/document.rs"]
mod document;
#[path = "admin/hostile.rs"]
mod hostile;
#[path = "admin/http.rs"]
mod http;
#[path = "admin/live.rs"]
mod live;
#[path = "admin/packaging.rs"]
mod packaging;
#[path = "admin/page.rs"]
mod page;
#[path = "admin/page_action.rs"]
mod page_action;
#[path = "admin/page_configuration.rs"]
mod page_configuration;
#[path = "admin/page_moves.rs"]
mod page_moves;
#[path = "admin/page_quarantine.rs"]
mod page_quarantine;
#[path = "admin/page_rules.rs"]
mod page_rules;
#[path = "admin/plots.rs"]
mod plots;
#[path = "admin/promtool.rs"]
mod promtool;
#[path = "admin/running_daemon.rs"]
mod running_daemon;
#[path = "admin/slow.rs"]
mod slow;
