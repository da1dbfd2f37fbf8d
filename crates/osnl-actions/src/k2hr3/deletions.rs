use osnl_model::Notification;

pub const DELETIONS: [&str; 3] = ["port.delete.end", "instance.delete.end", "compute.instance.delete.end"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum K2hr3Events {
    Deletions,
    /// Each event that a rule matches, as in k2hr3_osnl: the payload alone names the host.
    All,
}

impl K2hr3Events {
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
