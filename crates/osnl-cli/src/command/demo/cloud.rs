//! A small cloud's life: servers and ports appear and disappear, between events that do not concern
//! the target.
//!
//! A seed shuffles short scenes, always with the same events. Two or three scenes play at once, so their events mix
//! as on a real broker. Each server has one of nova's two formats, as the setup of a compute node decides.
//!
//! | scene | events |
//! | --- | --- |
//! | a server boots | `port.create.end`, a change of state, `instance.create.end` or the legacy one |
//! | a second port | `port.create.end` |
//! | a server goes | its ports' `port.delete.start` and `.end` (versioned only), then its own end |
//! | background | logins, images, volumes, states, bills, reboots; a port that belongs to no server |
//! | mishap | a server that could not be made; a body that cannot be read |

use std::collections::VecDeque;

use fastrand::Rng;

use super::recording::{DemoMessage, Recording, Replacements};

const AT_FIRST: usize = 4;
const AT_ONCE: usize = 3;
const MOST: usize = 7;
const FEWEST: usize = 3;
const KINDS: [&str; 4] = ["web", "db", "api", "worker"];

pub(super) struct DemoCloud {
    recording: Recording,
    rng: Rng,
    idle: Vec<DemoServer>,
    scenes: Vec<Scene>,
    made: usize,
    ports: u32,
    events: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DemoServer {
    pub(super) name: String,
    pub(super) cuk: String,
    ports: Vec<DemoPort>,
    legacy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DemoPort {
    id: String,
    address: String,
    mac: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostEffect {
    None,
    Appears(String),
    Goes(String),
}

struct Scene {
    steps: VecDeque<(&'static str, Replacements, HostEffect)>,
    then: Option<DemoServer>,
}

impl DemoCloud {
    pub(super) fn new(seed: u64, recording: Recording) -> Self {
        let rng = Rng::with_seed(seed);
        let mut cloud =
            Self { recording, rng, idle: Vec::new(), scenes: Vec::new(), made: 0, ports: 0, events: 0 };
        for _ in 0..AT_FIRST {
            let mut server = cloud.server();
            // Both formats and a second port exist from the beginning, whatever the seed.
            server.legacy = cloud.made.is_multiple_of(2);
            if cloud.made == 1 {
                let port = cloud.port();
                server.ports.push(port);
            }
            cloud.idle.push(server);
        }
        cloud
    }

    pub(super) fn servers(&self) -> &[DemoServer] {
        &self.idle
    }

    pub(super) fn exchanges(&self) -> Vec<&str> {
        self.recording.exchanges()
    }

    pub(super) fn next(&mut self) -> anyhow::Result<(DemoMessage, HostEffect)> {
        loop {
            if self.scenes.is_empty() || self.scenes.len() < AT_ONCE && self.rng.u8(..3) == 0 {
                let scene = self.scene();
                self.scenes.push(scene);
            }
            let which = self.rng.usize(..self.scenes.len());
            if let Some((template, mut names, effect)) = self.scenes[which].steps.pop_front() {
                self.events += 1;
                names.insert("message", uuid(&mut self.rng));
                names.insert("unique", uuid(&mut self.rng).replace('-', ""));
                return Ok((self.recording.fill(template, &names)?, effect));
            }
            let over = self.scenes.swap_remove(which);
            self.idle.extend(over.then);
        }
    }

    fn scene(&mut self) -> Scene {
        let servers = self.idle.len() + self.scenes.iter().filter(|scene| scene.then.is_some()).count();
        match self.rng.u8(..20) {
            0..5 if servers > FEWEST => self.goes(),
            5..9 if servers < MOST => self.boots(),
            9..11 => self.second_port(),
            11 => Scene::new("free-port-deleted", self.port().names()),
            // An unreadable body appears only after the usual events were shown.
            12 if self.events > 8 && self.rng.bool() => Scene::new("unreadable", Replacements::new()),
            13 => Scene::new("server-failed", Replacements::new()),
            14 | 15 => self.about_a_server(),
            _ => self.elsewhere(),
        }
    }

    fn boots(&mut self) -> Scene {
        let server = self.server();
        let mut steps = VecDeque::from([
            ("port-created", server.names(0), HostEffect::None),
            ("server-updated", server.names(0), HostEffect::None),
        ]);
        let running = if server.legacy { "server-created-legacy" } else { "server-created" };
        steps.push_back((running, server.names(0), HostEffect::Appears(server.cuk.clone())));
        Scene { steps, then: Some(server) }
    }

    fn goes(&mut self) -> Scene {
        let Some(server) = self.take() else { return self.elsewhere() };
        let goes = HostEffect::Goes(server.cuk.clone());
        let mut steps = VecDeque::new();
        if server.legacy {
            steps.push_back(("server-updated", server.names(0), HostEffect::None));
            steps.push_back(("server-deleted-legacy", server.names(0), goes));
        } else {
            for number in 0..server.ports.len() {
                steps.push_back(("port-goes", server.names(number), HostEffect::None));
                steps.push_back(("port-deleted", server.names(number), HostEffect::None));
            }
            steps.push_back(("server-deleted", server.names(0), goes));
        }
        Scene { steps, then: None }
    }

    fn second_port(&mut self) -> Scene {
        let Some(mut server) = self.take() else { return self.elsewhere() };
        if server.ports.len() > 1 {
            self.idle.push(server);
            return self.elsewhere();
        }
        let port = self.port();
        server.ports.push(port);
        let steps = VecDeque::from([("port-created", server.names(1), HostEffect::None)]);
        Scene { steps, then: Some(server) }
    }

    fn about_a_server(&mut self) -> Scene {
        let Some(server) = self.take() else { return self.elsewhere() };
        let event =
            ["port-updated", "server-updated", "server-exists", "server-rebooted"][self.rng.usize(..4)];
        Scene { steps: VecDeque::from([(event, server.names(0), HostEffect::None)]), then: Some(server) }
    }

    fn elsewhere(&mut self) -> Scene {
        const EVENTS: [&str; 8] = [
            "login",
            "login",
            "login-failed",
            "user-deleted",
            "image-uploaded",
            "image-deleted",
            "volume-created",
            "volume-deleted",
        ];
        Scene::new(EVENTS[self.rng.usize(..EVENTS.len())], Replacements::new())
    }

    fn take(&mut self) -> Option<DemoServer> {
        (!self.idle.is_empty()).then(|| self.idle.swap_remove(self.rng.usize(..self.idle.len())))
    }

    fn server(&mut self) -> DemoServer {
        self.made += 1;
        let name = format!("{}-{}", KINDS[self.rng.usize(..KINDS.len())], self.made);
        let cuk = uuid(&mut self.rng);
        DemoServer { name, cuk, ports: vec![self.port()], legacy: self.rng.bool() }
    }

    fn port(&mut self) -> DemoPort {
        self.ports += 1;
        let [_, third, second, last] = self.ports.saturating_add(10).to_be_bytes();
        DemoPort {
            id: uuid(&mut self.rng),
            address: format!("10.{third}.{second}.{last}"),
            mac: format!("fa:16:3e:{third:02x}:{second:02x}:{last:02x}"),
        }
    }
}

impl DemoServer {
    pub(super) fn addresses(&self) -> Vec<String> {
        self.ports.iter().map(|port| port.address.clone()).collect()
    }

    fn names(&self, port: usize) -> Replacements {
        let mut names = self.ports.get(port).map(DemoPort::names).unwrap_or_default();
        names.insert("server", self.name.clone());
        names.insert("cuk", self.cuk.clone());
        names
    }
}

impl DemoPort {
    fn names(&self) -> Replacements {
        Replacements::from([
            ("port", self.id.clone()),
            ("address", self.address.clone()),
            ("address6", format!("2001:db8::{}", self.address.replace('.', ":"))),
            ("mac", self.mac.clone()),
        ])
    }
}

impl Scene {
    fn new(event: &'static str, names: Replacements) -> Self {
        Self { steps: VecDeque::from([(event, names, HostEffect::None)]), then: None }
    }
}

fn uuid(rng: &mut Rng) -> String {
    let (a, b) = (rng.u64(..), rng.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use osnl_model::{Notification, read_head};

    use super::*;

    fn life(seed: u64, events: usize) -> Vec<(DemoMessage, HostEffect)> {
        let mut cloud = DemoCloud::new(seed, Recording::built_in().unwrap());
        (0..events).map(|_| cloud.next().unwrap()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_life_for_ever_and_another_seed_another() {
        assert_eq!(life(7, 300), life(7, 300));
        assert_ne!(life(7, 300), life(8, 300));
        assert_eq!(life(7, 100), life(7, 300)[..100]);
    }

    #[test]
    fn most_events_are_nobodys_business_and_every_kind_comes() {
        for seed in 0..20 {
            let life = life(seed, 400);
            let gone = life.iter().filter(|(_, effect)| matches!(effect, HostEffect::Goes(_))).count();
            assert!((20..90).contains(&gone), "seed {seed}: {gone}");
            let unreadable = life.iter().filter(|(message, _)| read_head(message.body.as_bytes()).is_err());
            assert!((1..40).contains(&unreadable.count()), "seed {seed}");
            for event in [
                "\"port.delete.end",
                "\"instance.delete.end",
                "\"compute.instance.delete.end",
                "identity.authenticate",
            ] {
                let event = event.replace('"', "\\\"");
                assert!(
                    life.iter().any(|(message, _)| message.body.contains(&event)),
                    "seed {seed}: {event}"
                );
            }
        }
    }

    #[test]
    fn each_message_is_one_of_its_own_about_its_server() {
        let mut ids = std::collections::BTreeSet::new();
        for (message, effect) in life(3, 400) {
            let Ok(notification) = Notification::decode(message.body.as_bytes()) else { continue };
            assert!(ids.insert(notification.message_id), "twice: {}", message.body);
            if let HostEffect::Appears(cuk) | HostEffect::Goes(cuk) = &effect {
                assert!(message.body.contains(cuk), "{}", message.body);
            }
            assert!(!message.note.contains('{'), "{}", message.note);
        }
    }
}
