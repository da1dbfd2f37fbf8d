//! The frame of every page: navigation with counts, the host, and the verdict in title and icon.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl::control::{IncidentSeverity, RequestRefusal, Status, TargetReport};
use tokio::time::{Instant, timeout};

use super::{PageVisit, text};

const FRESH: Duration = Duration::from_secs(2);
/// A disk that hangs delays the status, and must not delay every page.
const LONGEST: Duration = Duration::from_millis(500);
/// The age at which an answer says nothing about the present any more.
const KEPT: Duration = Duration::from_secs(10);

type Pages = &'static [(&'static str, &'static str)];

/// Navigation entries; each links to its first page.
const NAVIGATION: [(&str, Pages); 5] = [
    ("Overview", &[("/", "Overview"), ("/plots", "Plots")]),
    ("Deliveries", &[("/deliveries", "Deliveries")]),
    (
        "Events",
        &[("/live", "Live"), ("/rules", "Rules"), ("/unmatched", "Unmatched"), ("/explain", "Try an event")],
    ),
    ("Quarantine", &[("/quarantine", "Quarantine")]),
    ("Settings", &[("/configuration", "Settings")]),
];

pub(super) struct Frame {
    pub(super) title: String,
    pub(super) here: &'static str,
    pub(super) refresh: Option<u32>,
    pub(super) may_change: bool,
    pub(super) has_session: bool,
    pub(super) csrf: String,
    pub(super) made: String,
    pub(super) host: String,
    pub(super) environment: String,
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    is_known: bool,
    critical: usize,
    warnings: usize,
    deliveries: u64,
    quarantined: u64,
}

#[derive(Default)]
pub(super) struct SharedStanding(Mutex<Option<Look>>);

/// A look at the status, which may not have answered.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    /// The beginning of the standing's validity.
    since: Instant,
    standing: Standing,
}

impl Frame {
    pub(super) fn new(visit: PageVisit<'_>, title: impl Into<String>, here: &'static str) -> Self {
        Self {
            title: title.into(),
            here,
            refresh: None,
            may_change: visit.access.api(true).is_ok(),
            has_session: visit.caller.has_session,
            csrf: visit.caller.csrf.clone(),
            made: format!("osnl {}, {}", env!("CARGO_PKG_VERSION"), text::now()),
            host: text::cell(&rustix::system::uname().nodename().to_string_lossy()),
            environment: text::cell(visit.environment),
            standing: visit.standing,
        }
    }

    pub(super) fn tab(&self) -> String {
        match self.standing.words() {
            Some(words) => format!("{words}: {}", self.title),
            None => self.title.clone(),
        }
    }

    pub(super) fn icon(&self) -> &'static str {
        match self.standing.tone() {
            "good" => "%232e7d32",
            "warn" => "%23ef6c00",
            "bad" => "%23c62828",
            _ => "%23757575",
        }
    }

    pub(super) fn navigation(&self) -> &'static [(&'static str, Pages)] {
        &NAVIGATION
    }

    pub(super) fn count(&self, entry: &str) -> u64 {
        match entry {
            "Deliveries" => self.standing.deliveries,
            "Quarantine" => self.standing.quarantined,
            _ => 0,
        }
    }

    pub(super) fn current(&self, pages: &[(&str, &str)]) -> &'static str {
        match self.is_of(pages) {
            true if pages[0].0 == self.here => "page",
            true => "true",
            false => "",
        }
    }

    pub(super) fn subpages(&self) -> Pages {
        let own = NAVIGATION.iter().map(|(_, pages)| *pages).find(|pages| self.is_of(pages));
        own.unwrap_or_default()
    }

    fn is_of(&self, pages: &[(&str, &str)]) -> bool {
        let here = if self.here == "/actions" { "/" } else { self.here };
        pages.iter().any(|(path, _)| *path == here)
    }
}

impl Standing {
    pub(super) fn from_status(status: &Status) -> Self {
        let is_critical = |severity| severity == IncidentSeverity::Critical;
        let critical = status.incidents.iter().filter(|one| is_critical(one.severity)).count();
        let waits = |target: &TargetReport| {
            let orphaned = if target.configured == Some(false) { target.pending } else { 0 };
            target.dead + target.for_release + orphaned
        };
        Self {
            is_known: true,
            critical,
            warnings: status.incidents.len() - critical,
            deliveries: status.targets.iter().map(waits).sum(),
            quarantined: status.journal.quarantined.unwrap_or_default(),
        }
    }

    pub(super) fn tone(self) -> &'static str {
        match self {
            Self { is_known: false, .. } => "quiet",
            Self { critical: 1.., .. } => "bad",
            Self { warnings: 1.., .. } => "warn",
            _ => "good",
        }
    }

    fn words(self) -> Option<String> {
        match self {
            Self { critical: 0, warnings: 0, .. } => None,
            Self { critical: 0, warnings: 1, .. } => Some("1 warning".to_owned()),
            Self { critical: 0, warnings, .. } => Some(format!("{warnings} warnings")),
            Self { critical, .. } => Some(format!("{critical} critical")),
        }
    }
}

impl SharedStanding {
    pub(super) async fn get<F>(&self, ask: impl FnOnce() -> F) -> Standing
    where
        F: Future<Output = Result<Status, RequestRefusal>>,
    {
        let known = *self.lock();
        if let Some(look) = known.filter(|look| look.at.elapsed() < FRESH) {
            return look.standing;
        }
        let asked = timeout(LONGEST, ask()).await;
        let at = Instant::now();
        let look = match (asked, known) {
            (Ok(Ok(status)), _) => Look { at, since: at, standing: Standing::from_status(&status) },
            (_, Some(known)) if at - known.since < KEPT => Look { at, ..known },
            (Ok(Err(_)) | Err(_), _) => Look { at, since: at, standing: Standing::default() },
        };
        *self.lock() = Some(look);
        look.standing
    }

    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use serde_json::json;

    use super::*;

    fn status(severities: &[&str]) -> Status {
        let incident = |severity: &&str| {
            json!({"kind": "target-down", "severity": severity, "subject": "a", "actions": [], "listeners": [], "what": "a",
                   "why": null, "since": null, "since_seconds": null, "waiting": 0, "oldest_seconds": null, "for_release": 0,
                   "must_act": "osnl", "to_do": null, "by_itself": null, "symptoms": []})
        };
        let incidents: Vec<_> = severities.iter().map(incident).collect();
        let target = |configured: bool| TargetReport {
            configured: Some(configured),
            pending: 100,
            for_release: 2,
            dead: 3,
            ..Default::default()
        };
        let status = json!({
            "verdict": "", "numbers": {}, "running": true, "healthy": false, "incidents": incidents, "version": "0",
            "pid": 1, "started": null, "uptime_seconds": 1, "listeners": [], "targets": [target(true), target(false)],
            "counters": {}, "journal": {"store": "sqlite", "deliveries": 0, "quarantined": 7},
        });
        serde_json::from_value(status).unwrap()
    }

    fn frame(standing: Standing, here: &'static str) -> Frame {
        let (csrf, made, host, environment) = Default::default();
        Frame {
            title: "Live".to_owned(),
            here,
            refresh: None,
            may_change: false,
            has_session: false,
            csrf,
            made,
            host,
            environment,
            standing,
        }
    }

    #[test]
    fn title_and_icon_say_how_many_are_critical() {
        for (severities, tab, tone) in [
            (&[][..], "Live", "good"),
            (&["warning"], "1 warning: Live", "warn"),
            (&["critical", "critical", "warning"], "2 critical: Live", "bad"),
        ] {
            let standing = Standing::from_status(&status(severities));
            assert_eq!((&*frame(standing, "/live").tab(), standing.tone()), (tab, tone));
        }
        assert_eq!(Standing::default().tone(), "quiet");
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_that_cannot_be_had_any_more_is_unknown_until_it_is_there_again() {
        let (shared, good) = (SharedStanding::default(), Standing::from_status(&status(&[])));
        assert_eq!(shared.get(|| ready(Ok(status(&[])))).await, good);
        let mut seen = Vec::new();
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(3)).await;
            seen.push(shared.get(pending).await);
        }
        let unknown = Standing::default();
        assert_eq!(seen, [good, good, unknown, unknown, unknown]);
        tokio::time::advance(FRESH).await;
        assert_eq!(shared.get(|| ready(Ok(status(&[])))).await, good);
    }

    #[test]
    fn an_entry_of_the_navigation_counts_what_waits_for_an_operator() {
        let shown = |here| {
            let frame = frame(Standing::from_status(&status(&[])), here);
            let entries = frame.navigation().iter();
            let shown: Vec<_> =
                entries.map(|(name, pages)| (frame.count(name), frame.current(pages))).collect();
            (shown, frame.subpages().len())
        };
        let expected = |overview, events| vec![(0, overview), (110, ""), (0, events), (7, ""), (0, "")];
        assert_eq!(shown("/actions"), (expected("true", ""), 2));
        assert_eq!(shown("/"), (expected("page", ""), 2));
        assert_eq!(shown("/rules"), (expected("", "true"), 4));
        assert_eq!(shown("/quarantine").1, 1);
    }
}
