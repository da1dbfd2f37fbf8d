use std::collections::BTreeMap;

use osnl_transport::{Remedy, shell_quoted};

use super::judge::messages;
use super::{Finding, FindingKind as Kind, FindingSeverity as Severity};
use crate::listener::{OwnQueue, UnreadQueue};

impl Finding {
    #[must_use]
    pub fn for_left_queue(left: &UnreadQueue) -> Option<Self> {
        let OwnQueue { vhost, queue, .. } = &left.queue;
        let seen = left.seen.map(|(seen, _)| (seen.messages.into(), seen.consumers.into()));
        let unbind = left.queue.unbind_command(&left.bindings);
        let mut finding = judge_left_queue(
            (&left.queue.broker(), vhost, queue),
            seen,
            unbind.as_deref(),
            left.delete_command().as_deref(),
        )?;
        finding.seen.extend(left.name_others().map(|others| format!("; {others}")));
        Some(finding)
    }
}

/// Judges a queue that osnl has read, and that no listener of the configuration reads. `seen` is the number of messages
/// and of consumers; `unbind` and `delete` are the commands that end its bindings and the queue, where they are known.
pub(crate) fn judge_left_queue(
    (broker, vhost, queue): (&str, &str, &str),
    seen: Option<(u64, u64)>,
    unbind: Option<&str>,
    delete: Option<&str>,
) -> Option<Finding> {
    let bindings = if unbind.is_some() { ", and its bindings fill it" } else { "" };
    let forget = format!(
        "osnl queues forget {} --vhost {}  # unless it is read under another address, delete it on that broker too",
        shell_quoted(queue),
        shell_quoted(vhost)
    );
    let (seen, command) = match seen {
        Some((_, 1..)) => return None,
        Some((0, 0)) => {
            let command = delete.or(unbind).unwrap_or(&forget).to_owned();
            (format!("it is empty{bindings}"), Remedy::command(command))
        }
        Some((count, 0)) => {
            let unbind = unbind.map_or(String::new(), |unbind| format!("; to unbind it: {unbind}"));
            let reads =
                format!("a listener with queue = {queue} and the transport_url of that broker reads them");
            (format!("{} in it{bindings}", messages(count)), format!("{reads}{unbind}").into())
        }
        None => (format!("its content is not known{bindings}"), Remedy::command(forget)),
    };
    Some(Finding {
        kind: Kind::Left,
        severity: Severity::Warning,
        subject: format!("queue {queue} at {broker}"),
        seen: format!("no listener reads it any more; {seen}"),
        consequence: if unbind.is_some() { "it fills the broker" } else { "it stays on the broker" }
            .to_owned(),
        command,
        vhost: vhost.to_owned(),
        broker: broker.to_owned(),
        deployers: BTreeMap::new(),
        files: Vec::new(),
    })
}
