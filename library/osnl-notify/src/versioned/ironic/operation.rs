//! Actions that take a while: `start`, then `end`, `success` or `error`.

use super::{EventType, IronicNotification, NotificationPublisher, NotificationStatus};
use crate::versioned::{Context, Level, Outlet};

/// An action that takes a while. The operation emits `start` when it begins, and `end` or `success` on
/// request, at level info. An operation that is dropped before, by an early return or a panic, emits `error`
/// at level error.
///
/// The payload is built only if a notification is sent. Masking applies to the emitted copy.
///
/// ```
/// use osnl_notify::versioned::ironic::{
///     Node, NodeSetPowerStateNotification, NodeSetPowerStatePayload, NodeSetPowerStatePayloadExtra,
///     NotificationPublisher, Operation, action,
/// };
/// use osnl_notify::versioned::{Context, Level, Outlet, Recorder, Threshold};
///
/// fn power_on(node: &mut Node, outlet: &Outlet, controller_answers: bool) -> Result<(), &'static str> {
///     let publisher = NotificationPublisher::new("ironic-conductor", "hostname01");
///     let payload = |node: &Node| {
///         let extra = NodeSetPowerStatePayloadExtra { to_power: Some("power on".to_owned()), traits: Some(vec![]) };
///         NodeSetPowerStatePayload::populate(node, extra)
///     };
///     let mut operation = Operation::<NodeSetPowerStateNotification>::start(
///         outlet, &Context::default(), &publisher, action::POWER_SET, || payload(node));
///     node.target_power_state = Some("power on".to_owned());
///     operation.update(|reported| *reported = payload(node));
///     if !controller_answers {
///         return Err("the controller does not answer"); // emits baremetal.node.power_set.error
///     }
///     node.power_state = node.target_power_state.take();
///     operation.update(|reported| *reported = payload(node));
///     operation.end();
///     Ok(())
/// }
///
/// let sent = Recorder::new();
/// let outlet = Outlet::new(sent.clone(), Threshold::AtLeast(Level::Info));
/// let mut event_types = |answers: bool| {
///     let _ = power_on(&mut Node::default(), &outlet, answers);
///     sent.take().into_iter().filter_map(|emission| emission.event_type).collect::<Vec<_>>()
/// };
/// assert_eq!(event_types(true), ["baremetal.node.power_set.start", "baremetal.node.power_set.end"]);
/// assert_eq!(event_types(false), ["baremetal.node.power_set.start", "baremetal.node.power_set.error"]);
/// ```
#[must_use = "dropped at once, the operation has failed at once"]
pub struct Operation<N: IronicNotification> {
    /// `None` if no notification would be sent, or the last one was emitted.
    open: Option<OpenOperation<N::Payload>>,
}

struct OpenOperation<P> {
    payload: P,
    outlet: Outlet,
    context: Context,
    publisher: NotificationPublisher,
    action: String,
}

impl<N: IronicNotification> Operation<N> {
    /// Emits `start`. The payload is only built if the end or a failure would be sent.
    pub fn start(
        outlet: &Outlet,
        context: &Context,
        publisher: &NotificationPublisher,
        action: &str,
        payload: impl FnOnce() -> N::Payload,
    ) -> Self {
        // The threshold passes no milder level if it stops errors.
        if !outlet.passes(Level::Error) {
            return Self { open: None };
        }
        let mut operation = Self {
            open: Some(OpenOperation {
                payload: payload(),
                outlet: outlet.clone(),
                context: context.clone(),
                publisher: publisher.clone(),
                action: action.to_owned(),
            }),
        };
        operation.emit(Level::Info, NotificationStatus::Start);
        operation
    }

    /// Changes the content of the next notification. `change` is not called if no notification would be sent.
    pub fn update(&mut self, change: impl FnOnce(&mut N::Payload)) {
        if let Some(open) = &mut self.open {
            change(&mut open.payload);
        }
    }

    /// Emits `end`: the action is done.
    pub fn end(mut self) {
        self.emit(Level::Info, NotificationStatus::End);
        self.open = None;
    }

    /// Emits `success`, as ironic does for a provision state that was reached at once.
    pub fn success(mut self) {
        self.emit(Level::Info, NotificationStatus::Success);
        self.open = None;
    }

    fn emit(&mut self, level: Level, status: NotificationStatus) {
        let Some(open) = &self.open else { return };
        if !open.outlet.passes(level) {
            return;
        }
        let event = EventType::new(N::OBJECT, open.action.as_str(), status);
        N::from_parts(open.payload.clone(), event, open.publisher.clone(), level)
            .emit(&open.outlet, &open.context);
    }
}

/// Emits `error` for an unfinished operation.
impl<N: IronicNotification> Drop for Operation<N> {
    fn drop(&mut self) {
        if self.open.is_some() {
            self.emit(Level::Error, NotificationStatus::Error);
        }
    }
}
