use std::collections::BTreeMap;

use osnl::control::{MeasuredAction, MeasuredJournal};
use osnl::journal::query::RowState;
use osnl::metrics::Counters;

use super::*;

struct Clockwork {
    now: Instant,
    at: SystemTime,
    measured: Measurements,
    history: DaemonHistory,
}

impl Clockwork {
    fn new(actions: usize) -> Self {
        let counters = Arc::<Counters>::default();
        let actions = (0..actions).map(|n| action(&counters, &format!("a{n}"))).collect();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let measured = Measurements {
            started: at,
            counters,
            listeners: Vec::new(),
            actions,
            rules: BTreeMap::new(),
            guards: Vec::new(),
            streams: Vec::new(),
            journal: MeasuredJournal { is_readable: true, ..MeasuredJournal::default() },
            loaded: at,
            is_reloaded: true,
            incidents: Vec::new(),
        };
        Self { now: Instant::now(), at, measured, history: DaemonHistory::default() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.at += time;
    }

    fn sample(&mut self) {
        self.pass(EACH);
        self.history.add(self.now, self.at, &self.measured);
    }

    fn deliver(&mut self, samples: usize, deliveries: u64) {
        for _ in 0..samples {
            self.measured.counters.delivered.add(deliveries);
            self.sample();
        }
    }

    fn delivered(&self) -> Vec<Option<u32>> {
        self.history.all().hour().iter().map(|sample| sample.counts.map(|of| of.delivered)).collect()
    }

    fn wait(&mut self, pending: u64, seconds: u64) {
        self.measured.actions[0].deliveries =
            BTreeMap::from([(RowState::Ready, pending), (RowState::Dead, 1000)]);
        self.measured.actions[0].oldest_pending = Some(self.at - Duration::from_secs(seconds));
    }
}

fn action(counters: &Arc<Counters>, name: &str) -> MeasuredAction {
    MeasuredAction {
        name: name.into(),
        state: Some("ok"),
        series: counters.series.action(name),
        under_way: 0,
        restarts: None,
        certificate_ends: None,
        deliveries: BTreeMap::new(),
        oldest_pending: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_a_gap_and_its_counts_belong_to_no_sample() {
    let mut of = Clockwork::new(1);
    of.deliver(3, 5);
    // The time before the first sample is unknown.
    assert_eq!(of.delivered(), [None, Some(5), Some(5)]);
    of.pass(EACH * 2);
    of.deliver(2, 100);
    assert_eq!(of.delivered(), [None, Some(5), Some(5), None, None, None, Some(100)]);
    // The machine slept: only the wall clock counts that.
    of.at += EACH * 2;
    of.deliver(2, 7);
    assert_eq!(of.delivered()[7..], [None, None, None, Some(7)]);
    // A wall clock that was set back makes no gap.
    of.at -= Duration::from_secs(86_400);
    of.deliver(1, 8);
    assert_eq!(of.delivered()[11..], [Some(8)]);
}

#[tokio::test(start_paused = true)]
async fn a_late_sample_is_a_rate_over_its_own_time() {
    let mut of = Clockwork::new(0);
    of.sample();
    of.pass(Duration::from_secs(3));
    of.deliver(1, 26);
    let last = of.history.all().hour().last().and_then(|sample| sample.counts).unwrap();
    assert_eq!((last.delivered, last.seconds), (26, 13));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_is_a_gap_in_the_backlog_alone() {
    let mut of = Clockwork::new(1);
    of.wait(3, 60);
    of.deliver(2, 1);
    of.measured.journal.is_readable = false;
    let actions = std::mem::take(&mut of.measured.actions);
    of.deliver(1, 1);
    of.measured.journal.is_readable = true;
    of.measured.actions = actions;
    of.deliver(1, 1);
    let pending = |series: &HistorySeries| -> Vec<_> {
        series.hour().iter().map(|sample| sample.backlog.map(|backlog| backlog.pending)).collect()
    };
    assert_eq!(pending(of.history.all()), [Some(3), Some(3), None, Some(3)]);
    assert_eq!(of.delivered()[1..], [Some(1); 3]);
    // The action is remembered, though only the journal knew it.
    let (_, action) = of.history.actions().next().unwrap();
    assert_eq!(pending(action), [Some(3), Some(3), None, Some(3)]);
    of.measured.actions.clear();
    of.sample();
    assert_eq!(of.history.actions().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn five_minutes_become_a_sample_of_the_day() {
    let mut of = Clockwork::new(1);
    of.wait(1, 10);
    of.deliver(29, 2);
    of.wait(50, 10);
    of.deliver(1, 2);
    of.wait(0, 0);
    of.deliver(31, 1);
    let day = of.history.all().day();
    let shown: Vec<_> = day
        .iter()
        .map(|sample| {
            let counts = sample.counts.map(|of| (of.delivered, of.seconds));
            (counts, sample.backlog.map(|backlog| backlog.pending))
        })
        .collect();
    // The first sample has no count; the last five minutes have just begun.
    let expected = [(Some((58, 290)), Some(50)), (Some((30, 300)), Some(0)), (Some((1, 10)), Some(0))];
    assert_eq!(shown, expected);
}

#[tokio::test(start_paused = true)]
async fn times_and_counts_are_those_of_the_interval() {
    let mut of = Clockwork::new(2);
    let observe = |of: &Clockwork, n: usize, millis: u64| {
        of.measured.actions[n].series.effect.observe(Duration::from_millis(millis));
    };
    observe(&of, 0, 1);
    of.sample();
    observe(&of, 0, 700);
    observe(&of, 1, 3000);
    of.sample();
    let p99 = |series: &HistorySeries| percentile(&series.hour().last()?.counts?.latency, 0.99);
    assert_eq!(p99(of.history.all()), Some(1.0 + 4.0 * 0.98));
    let each: Vec<_> = of.history.actions().map(|(name, series)| (name, p99(series))).collect();
    assert_eq!(each, [("a0", Some(0.5 + 0.5 * 0.99)), ("a1", Some(1.0 + 4.0 * 0.99))]);
    // An action that reloads have removed and brought back counts from 0.
    of.measured.actions[0] = action(&Arc::default(), "a0");
    of.sample();
    assert_eq!(p99(of.history.all()), None);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_however_many_actions_there_are_and_however_long_it_runs() {
    let mut of = Clockwork::new(MOST_ACTIONS + 8);
    of.deliver(DAY * FOLDED / 20, 1);
    of.pass(Duration::from_secs(30 * 86_400));
    of.deliver(HOUR + FOLDED, 1);
    assert_eq!((of.history.actions().count(), of.history.more()), (MOST_ACTIONS, 8));
    let all = of.history.actions().map(|(_, series)| series).chain([of.history.all()]);
    let bytes: Vec<usize> = all.map(HistorySeries::bytes).collect();
    assert!(bytes.iter().all(|bytes| *bytes <= 56 << 10), "{bytes:?}");
    assert!(bytes.iter().sum::<usize>() < 19 << 17, "{}", bytes.iter().sum::<usize>());
    let (hour, day) = (of.history.all().hour(), of.history.all().day());
    assert_eq!((hour.len(), day.len()), (HOUR, DAY));
    assert!(hour.iter().all(|sample| sample.counts.is_some()));
    assert_eq!(day.iter().filter(|sample| sample.counts.is_some()).count(), 13 + 1);
}
