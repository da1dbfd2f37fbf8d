//! The engine: what takes messages from a broker to a journal, and what runs until the end.
//!
//! ```text
//! transport ──► listener ──► intake ──► journal ──► delivery ──► action
//!                  ▲                       │
//!                  └─────── receipt ◄──────┘
//! ```
//!
//! - [`listener`] has the connection: it connects, reads, settles, and backs off.
//! - [`intake`] decides by the rules, and appends to the journal.
//! - [`daemon`] runs listeners, delivery loops, and the journal, drains them in order, and replaces parts on a reload.
//!
//! The engine knows no file of configuration, no screen, no driver but as an
//! [`Action`](osnl_core::attempt::Action), and no broker but as a [`Transport`](osnl_transport::Transport). Those who
//! watch it hand in an [`Oversight`](listener::Oversight) of the broker, an [`Onlooker`](intake::Onlooker) of messages,
//! and a [`Reload`](daemon::Reload).

pub mod daemon;
pub mod intake;
pub mod listener;
