//! What an action would do about a notification, without doing it.

use osnl_model::Notification;

use super::{ActionConf, Driver};
use crate::action::k2hr3::{self, Unusable};

/// What would be done. No secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    /// A request.
    Request {
        /// `DELETE` and the like.
        method: &'static str,
        /// With the query.
        url: String,
        /// The body, if it has one.
        body: Option<String>,
    },
    /// A line at the end of this file, or of stdout.
    Line {
        /// Where.
        to: String,
    },
    /// Nothing: the event asks for nothing.
    Nothing {
        /// Why.
        why: String,
    },
    /// A dead letter: no request can be made of it.
    Unusable {
        /// Why.
        why: String,
    },
}

impl ActionConf {
    /// What this action would do about a notification.
    #[must_use]
    pub fn preview(&self, notification: &Notification) -> Preview {
        match &self.driver {
            Driver::K2hr3(conf) => match k2hr3::asked_for(&notification.payload, conf.no_addresses) {
                Ok(parameters) => Preview::Request {
                    method: "DELETE",
                    url: k2hr3::request_url(&conf.api_url, &parameters),
                    body: None,
                },
                Err(Unusable::NothingToDo(why)) => Preview::Nothing { why },
                Err(Unusable::Unreadable(why)) => Preview::Unusable { why },
            },
            Driver::Dump(conf) => {
                let to = conf.path.as_ref().map_or("stdout".to_owned(), |path| path.display().to_string());
                Preview::Line { to }
            }
        }
    }
}
