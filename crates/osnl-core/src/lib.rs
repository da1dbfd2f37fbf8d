//! Messages, events, rules, attempts, and outcomes: types and pure decisions.
//!
//! Nothing here connects, reads files, or sleeps. A message is [`received`], [`rule`]s decide which actions get it as
//! an [`event`], and an [`attempt`] reports an outcome.
//!
//! ```
//! use std::sync::Arc;
//!
//! use osnl_core::rule::{Rule, RuleDecision, RuleSet};
//! use osnl_model::Notification;
//! use osnl_config::template::{Expression, Names};
//!
//! let when = Expression::new("payload.state == 'deleted'")?;
//! let rule = Rule { name: "gone".into(), when: Some(when), actions: vec!["tell".into()], ..Rule::default() };
//! let rules = RuleSet::new(vec![rule], Arc::default());
//!
//! let payload = serde_json::json!({"state": "deleted"});
//! let names = Names::from(Notification { payload, ..Notification::default() });
//! let decisions = rules.decide(&names);
//! assert!(matches!(&decisions.decided[..], [RuleDecision::Fires(rule)] if *rule.actions[0] == *"tell"));
//! # Ok::<(), osnl_config::template::TemplateError>(())
//! ```

pub mod age;
pub mod attempt;
pub mod clock;
pub mod ended;
pub mod ends;
pub mod epoch;
pub mod event;
pub mod fallback;
pub mod metrics;
pub mod misfit;
pub mod observe;
pub mod quarantine;
pub mod received;
pub mod rule;
pub mod shutdown;
pub mod trace;
