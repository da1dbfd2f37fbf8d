use crate::daemon::SectionChange;
use crate::daemon::SectionChangeKind;
use crate::native::change::Different;
use crate::native::kinds::{ACTION, ENRICH, KAFKA, LISTENER, RABBIT, RULE};
use crate::native::{ListenerConf, Native};

pub(super) fn reload_summary(different: &[Different], old: &Native, new: &Native) -> Vec<SectionChange> {
    let mut changes: Vec<SectionChange> = different
        .iter()
        .map(|section| SectionChange {
            section: section.heading.clone(),
            what: section.what,
            options: section.options.clone(),
            effect: match section.is_by_files && !section.options.is_empty() {
                true => format!("a file that it names has changed; {}", effect(section, old, new)),
                false => effect(section, old, new),
            },
        })
        .collect();
    changes.extend(listeners_by_their_rules(different, old, new));
    changes
}

fn effect(section: &Different, old: &Native, new: &Native) -> String {
    let name = section.name();
    match (section.kind(), section.what) {
        (LISTENER, what) => describe_listener(name, what, old, new),
        (RULE, SectionChangeKind::Removed) => "it no longer matches; its deliveries continue".to_owned(),
        (RULE, SectionChangeKind::Added | SectionChangeKind::Changed) => "applies to new messages".to_owned(),
        (ACTION, SectionChangeKind::Added) => "its deliveries begin".to_owned(),
        (ACTION, SectionChangeKind::Removed) => {
            "running attempts finish; its other deliveries are orphaned until an action has that name again"
                .to_owned()
        }
        (ACTION, SectionChangeKind::Changed) => {
            "applies to the next attempt; if its target is down, it is probed now".to_owned()
        }
        (ENRICH, _) => "applies to new attempts; cached answers are requested again".to_owned(),
        (RABBIT | KAFKA, _) => "the listeners that it concerns reconnect".to_owned(),
        _ => "applies from now on".to_owned(),
    }
}

fn describe_listener(name: &str, what: SectionChangeKind, old: &Native, new: &Native) -> String {
    let heard = |conf: &Native| {
        conf.heard().into_iter().map(|(listener, _)| listener.clone()).find(|l| *l.name == *name)
    };
    match (what, heard(old), heard(new)) {
        (SectionChangeKind::Removed, None, _) => "it had not been started".to_owned(),
        (SectionChangeKind::Removed, Some(gone), _) => leaves(&gone, new),
        (SectionChangeKind::Added | SectionChangeKind::Changed, _, None) => {
            "not started: no enabled rule uses it".to_owned()
        }
        (SectionChangeKind::Added | SectionChangeKind::Changed, None, Some(_)) => {
            "it starts to listen".to_owned()
        }
        (SectionChangeKind::Added | SectionChangeKind::Changed, Some(before), Some(after)) => {
            let (was, is) = (before.read_queues(), after.read_queues());
            let stays = was.iter().any(|was| is.iter().any(|is| is.own.is_same(&was.own)));
            let left: Vec<&str> = was.iter().map(|was| &*was.own.queue).collect();
            match stays {
                true => "reconnects; meanwhile the queue keeps new messages in order".to_owned(),
                false if left.is_empty() => "reconnects; its group keeps its positions".to_owned(),
                false => format!(
                    "another queue is read; when that is bound, what osnl has bound to the one before is unbound, and its last \
                     messages are delivered; queue {} stays, and osnl status shows it",
                    left.join(", ")
                ),
            }
        }
    }
}

/// Describes the end of a listener, whose unread queue fills up.
fn leaves(gone: &ListenerConf, new: &Native) -> String {
    let drains = "running work is finished, and its connection closed";
    let now = new.read_queues();
    let left = gone.read_queues().into_iter().map(|read| read.own);
    let left: Vec<String> =
        left.filter(|own| !now.iter().any(|now| now.own.is_same(own))).map(|own| own.queue).collect();
    match left.is_empty() {
        true => drains.to_owned(),
        false => format!(
            "{drains}; queue {} stays and fills up unless another consumer reads it; osnl status shows its messages",
            left.join(", ")
        ),
    }
}

fn listeners_by_their_rules(different: &[Different], old: &Native, new: &Native) -> Vec<SectionChange> {
    let is_listed = |name: &str| different.iter().any(|d| d.kind() == LISTENER && d.name() == name);
    let (was, is) = (old.heard(), new.heard());
    let mut changes = Vec::new();
    for (listener, _) in is.iter().filter(|(listener, _)| !is_listed(&listener.name)) {
        if !was.iter().any(|(before, _)| before.name == listener.name) {
            changes.push((
                &listener.name,
                SectionChangeKind::Added,
                "it starts to listen: a rule uses it now".to_owned(),
            ));
        }
    }
    for (listener, _) in was.iter().filter(|(listener, _)| !is_listed(&listener.name)) {
        if !is.iter().any(|(after, _)| after.name == listener.name) {
            let effect = format!("no enabled rule uses it any more: {}", leaves(listener, new));
            changes.push((&listener.name, SectionChangeKind::Removed, effect));
        }
    }
    let change = |(name, what, effect)| SectionChange {
        section: format!("{LISTENER}:{name}"),
        what,
        options: Vec::new(),
        effect,
    };
    changes.into_iter().map(change).collect()
}
