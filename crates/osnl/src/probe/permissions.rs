use osnl_transport::{Proof, Proofs};

use crate::action::driver::Probe;
use crate::native::ListenerConf;
use crate::queues::refused;

pub(super) fn verdict(probe: Probe, proofs: &Proofs, conf: &ListenerConf) -> Probe {
    let Proofs { make, bind, read, made, user } = proofs;
    if let Some(words) = refused(proofs) {
        let command = conf.needed_permissions(user, conf.transport_url.virtual_host());
        return probe.failed(words, Some(&command));
    }
    let mut proven: Vec<String> = Vec::new();
    if make == &Some(Proof::Proven) {
        proven.push("create it".to_owned());
    }
    let bound: Vec<&str> =
        bind.iter().filter(|(_, proof)| *proof == Proof::Proven).map(|(name, _)| name.as_str()).collect();
    if !bound.is_empty() {
        proven.push(format!("bind it to {}", bound.join(", ")));
    }
    if read == &Proof::Proven {
        proven.push("read it".to_owned());
    }
    let may = match &proven[..] {
        [] => String::new(),
        [one] => format!("{user} may {one}"),
        [first @ .., last] => format!("{user} may {} and {last}", first.join(", ")),
    };
    let how = match made {
        Some(true) => " (osnl created it, bound it, and deleted it again)",
        Some(false) => " (osnl created it, and it exists now)",
        None if may.is_empty() => "",
        None => " (nothing was created)",
    };
    let unknown: Vec<String> = make
        .iter()
        .filter_map(|proof| unknown("creating", proof))
        .chain(bind.iter().filter_map(|(name, proof)| unknown(&format!("binding to {name}"), proof)))
        .chain(unknown("reading", read))
        .collect();
    if unknown.is_empty() {
        return probe.fine(format!("{may}{how}"));
    }
    let known = if may.is_empty() { String::new() } else { format!("{may}{how}; ") };
    probe.unproven(
        format!("{known}{}", unknown.join("; ")),
        "if reading is permitted, osnl status shows the listener as listening",
    )
}

fn unknown(what: &str, proof: &Proof) -> Option<String> {
    match proof {
        Proof::Unknown(why) => Some(format!("{what} was not tested, because {why}")),
        Proof::Proven | Proof::Refused(_) => None,
    }
}
