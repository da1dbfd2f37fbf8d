
use osnl_model::Notification;

/// The deletions of ports and of instances: neutron's, and nova's with and without versions.
pub const DELETIONS: [&str; 3] = ["port.delete.end", "instance.delete.end", "compute.instance.delete.end"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum K2hr3Events {
    /// The [`DELETIONS`] only.
    Deletions,
    /// Each event that a rule matches, as in k2hr3_osnl: the payload alone names the host.
    All,
}

impl K2hr3Events {
    /// Returns the reason to ignore a notification; `None` if the action acts on it.
    pub(super) fn refuses(self, notification: &Notification) -> Option<String> {
        let event_type = notification.event_type.as_deref().unwrap_or("an event without a type");
        match self {
            Self::All => None,
            Self::Deletions if DELETIONS.contains(&event_type) => None,
            Self::Deletions => Some(format!(
                "{event_type} is not the deletion of a port or an instance (events = deletions)"
            )),
        }
    }
}
