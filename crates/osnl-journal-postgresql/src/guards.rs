//! Guards: more different resources within a time than expected are held until the operator has looked.
//!
//! The rules are those of one process (`osnl_core::rule::Guards`): a guard counts the different resources that came within its
//! window, held or not; one that was let through goes on being let through; a further one is held beyond so many.
//!
//! The verdict is taken when the owner of a delivery's partition admits it, in that transaction, which writes the row of the
//! guard's [window](crate::window). So the owners of all partitions, of all members, count in the same row, and the number that
//! is let through is exact: after a take-over too, and with a COMMIT without an answer, since count and admission are one
//! transaction. The time of a resource is that of its latest admission, a tenth of a second after its arrival unless its partition
//! has no owner.
//!
//! A delivery of a fallback, and one that the operator has moved, are not judged: `unguarded`. What the operator releases goes on
//! being let through while it is in the window.
//!
//! A guard counts from its first verdict on; what was admitted before it was configured is not counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use osnl_config::Rate;
use osnl_core::rule::guard_reason;
use osnl_journal::DeliveryId;
use osnl_journal::shared::{GuardRates, GuardState};
use osnl_journal::store::clock::whole_millis;
use tokio_postgres::{Error, Row};

use crate::delivery::delivery;
use crate::held::{Guard, HeldDelivery};
use crate::reader;
use crate::session::Session;
use crate::transaction::{CommitFailure, Transaction};
use crate::window::{ROUNDS, contended};

/// Resources that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 1000;

/// Deliveries on a condition. A message without an id is the same only as itself.
macro_rules! subjects {
    ($condition:literal) => {
        concat!(
            "SELECT d.id, d.rule, d.action, d.key, d.resource, \
             coalesce(nullif(a.unique_id, ''), nullif(a.message_id, ''), encode(a.identity, 'hex')), a.message_id \
             FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival WHERE d.id = ANY($1) AND ",
            $condition
        )
    };
}

const ARRIVED: &str = subjects!(
    "d.state = -1 AND d.begins = 0 AND NOT d.unguarded AND (d.rule = ANY($2) OR d.action = ANY($3)) ORDER BY d.id"
);
const RELEASED: &str = subjects!("d.state = 2 AND d.guarded");
const HOLD: &str = "UPDATE osnl_delivery d SET begins = 2, guarded = true, reason = n.reason \
     FROM unnest($1::bigint[], $2::text[]) AS n (id, reason) WHERE d.id = n.id AND d.state = -1 AND d.begins = 0";
const COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM osnl_guard_key WHERE guard = $1 AND at > $2 LIMIT $3) AS counted";
const KNOWN: &str = "SELECT key, passed FROM osnl_guard_key WHERE key = ANY($1) AND at > $2";
const FORGET: &str = "DELETE FROM osnl_guard_key WHERE key IN \
     (SELECT key FROM osnl_guard_key WHERE guard = $1 AND at <= $2 ORDER BY at LIMIT $3)";
/// A resource that is released meanwhile stays so.
const NOTE: &str = "INSERT INTO osnl_guard_key AS k (key, guard, at, passed) \
     SELECT key, $3::bytea, $4::bigint, passed FROM unnest($1::bytea[], $2::boolean[]) AS n (key, passed) \
     ON CONFLICT (key) DO UPDATE SET at = excluded.at, passed = excluded.passed OR k.passed AND k.at > $5";
const RELEASE: &str = "UPDATE osnl_guard_key SET passed = true WHERE key = ANY($1)";
const FULL: &str = "SELECT count(*) FROM (SELECT 1 FROM osnl_guard_key k JOIN osnl_window w ON w.name = k.guard \
     WHERE k.guard = $1 AND k.at > greatest(w.at, floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint + w.ahead) - $2 \
     LIMIT $3) AS counted";

/// Returns the guards with these rates, those of rules first: the order in which every transaction writes them.
fn guards(rates: &GuardRates) -> impl Iterator<Item = Guard> {
    let guard =
        |kind| move |(name, rate): (&Arc<str>, &Rate)| Guard { kind, name: name.clone(), rate: *rate };
    rates.rules.iter().map(guard("rule")).chain(rates.actions.iter().map(guard("action")))
}

impl Guard {
    fn window(&self) -> Vec<u8> {
        window(self.kind, &self.name)
    }

    fn judges(&self, subject: &GuardedDelivery) -> bool {
        let name = if self.kind == "rule" { &subject.rule } else { &subject.action };
        *name == *self.name
    }

    fn within(&self) -> i64 {
        whole_millis(self.rate.within)
    }
}

fn window(kind: &str, name: &str) -> Vec<u8> {
    format!("guard of {kind} {name}").into_bytes()
}

/// A delivery that a guard is about.
struct GuardedDelivery {
    id: DeliveryId,
    rule: String,
    action: String,
    key: Option<String>,
    /// Its resource; without one, its message and the place in it.
    resource: String,
    message: Option<String>,
}

impl GuardedDelivery {
    fn of(row: &Row) -> Result<Self, Error> {
        let key: Option<Vec<u8>> = row.try_get(3)?;
        let key = key.map(|key| String::from_utf8_lossy(&key).into_owned());
        let (place, message): (Option<i64>, String) = (row.try_get(4)?, row.try_get(5)?);
        Ok(Self {
            id: delivery(row.try_get(0)?),
            rule: row.try_get(1)?,
            action: row.try_get(2)?,
            resource: key.clone().unwrap_or_else(|| format!("{message}#{}", place.unwrap_or_default())),
            key,
            message: row.try_get(6)?,
        })
    }

    /// Returns the key of its resource with the guard of a window.
    fn key_of(&self, window: &[u8]) -> Vec<u8> {
        reader::key(b"guard", &[window, self.resource.as_bytes()])
    }
}

/// The resources in a guard's window: their number, and those that are asked about.
#[derive(Debug, Default)]
struct GuardCount {
    /// More than the rate are not told apart.
    resources: usize,
    /// Whether each was let through.
    known: BTreeMap<Vec<u8>, bool>,
}

impl GuardCount {
    fn admits(&mut self, key: &[u8], most: usize) -> bool {
        let known = self.known.get(key).copied();
        let others = self.resources - usize::from(known.is_some());
        let passes = known == Some(true) || others < most;
        self.resources += usize::from(known.is_none());
        self.known.insert(key.to_vec(), passes);
        passes
    }
}

impl Transaction<'_> {
    /// Judges what has arrived; what a guard holds begins as held. The leases of the partitions are written.
    pub(crate) async fn judge(&mut self, ids: &[i64]) -> Result<Vec<HeldDelivery>, CommitFailure> {
        let rates = self.member.limits.guards.clone();
        let names = |rates: &BTreeMap<Arc<str>, Rate>| rates.keys().map(|name| name.to_string()).collect();
        let (rules, actions): (Vec<String>, Vec<String>) = (names(&rates.rules), names(&rates.actions));
        if rules.is_empty() && actions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.query(ARRIVED, &[&ids, &rules, &actions]).await?;
        let subjects = rows.iter().map(GuardedDelivery::of).collect::<Result<Vec<_>, _>>()?;
        let mut verdicts: BTreeMap<usize, Vec<Guard>> = BTreeMap::new();
        for guard in guards(&rates) {
            let judged: Vec<usize> = (0..subjects.len()).filter(|n| guard.judges(&subjects[*n])).collect();
            if judged.is_empty() {
                continue;
            }
            let window = guard.window();
            let keys: Vec<Vec<u8>> = judged.iter().map(|n| subjects[*n].key_of(&window)).collect();
            let passed = self.let_through(&guard, &window, &keys).await?;
            for (n, _) in judged.into_iter().zip(passed).filter(|(_, passed)| !passed) {
                verdicts.entry(n).or_default().push(guard.clone());
            }
        }
        let mut held = Vec::new();
        for (n, subject) in subjects.into_iter().enumerate() {
            let Some(guards) = verdicts.remove(&n) else { continue };
            let Some(reason) = guards.first().map(|by| guard_reason(by.kind, &by.name, by.rate)) else {
                continue;
            };
            let GuardedDelivery { id, rule, action, key, message, .. } = subject;
            held.push(HeldDelivery { id, rule, action, key, message, reason, guards });
        }
        if !held.is_empty() {
            let ids: Vec<i64> = held.iter().map(|held| held.id.row()).collect();
            let reasons: Vec<&str> = held.iter().map(|held| &*held.reason).collect();
            self.execute(HOLD, &[&ids, &reasons]).await?;
        }
        Ok(held)
    }

    /// Counts resources, in their order; returns whether each is let through.
    async fn let_through(
        &mut self,
        guard: &Guard,
        name: &[u8],
        keys: &[Vec<u8>],
    ) -> Result<Vec<bool>, CommitFailure> {
        let most = guard.rate.keys as usize;
        for _ in 0..ROUNDS {
            let window = self.window(name).await?;
            let since = window.now - guard.within();
            let mut counted = self.counted(name, since, most, keys).await?;
            if !self.write_window(&window).await? {
                continue;
            }
            let passed = keys.iter().map(|key| counted.admits(key, most)).collect();
            self.execute(FORGET, &[&name, &since, &FORGOTTEN_AT_ONCE]).await?;
            let (keys, verdicts): (Vec<Vec<u8>>, Vec<bool>) = counted.known.into_iter().unzip();
            self.execute(NOTE, &[&keys, &verdicts, &name, &window.now, &since]).await?;
            return Ok(passed);
        }
        Err(contended(name))
    }

    async fn counted(
        &mut self,
        name: &[u8],
        since: i64,
        most: usize,
        keys: &[Vec<u8>],
    ) -> Result<GuardCount, CommitFailure> {
        // One more shows that there are too many without the one that is asked about.
        let rows = self.query(COUNT, &[&name, &since, &(most as i64 + 1)]).await?;
        let resources: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        let mut counted = GuardCount { resources: resources as usize, known: BTreeMap::new() };
        for row in self.query(KNOWN, &[&keys, &since]).await? {
            counted.known.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(counted)
    }

    /// The resources of these deliveries are let through from now on, those that a guard holds: they are released.
    pub(crate) async fn let_go_on(&mut self, ids: &[i64]) -> Result<(), CommitFailure> {
        let mut keys = Vec::new();
        for row in self.query(RELEASED, &[&ids]).await? {
            let subject = GuardedDelivery::of(&row)?;
            for (kind, name) in [("rule", &subject.rule), ("action", &subject.action)] {
                keys.push(subject.key_of(&window(kind, name)));
            }
        }
        if !keys.is_empty() {
            self.execute(RELEASE, &[&keys]).await?;
        }
        Ok(())
    }
}

/// Returns the state of each guard.
pub(crate) async fn states(session: &mut Session, rates: &GuardRates) -> Result<Vec<GuardState>, Error> {
    let mut states = Vec::new();
    for guard in guards(rates) {
        let most = i64::from(guard.rate.keys);
        let rows = session.query(FULL, &[&guard.window(), &guard.within(), &most]).await?;
        let counted: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        states.push((guard.kind, guard.name, counted >= most));
    }
    states.sort();
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of `osnl_core::rule::Guards`, within one window.
    #[test]
    fn beyond_so_many_different_resources_everything_new_is_held() {
        let check = |counted: GuardCount, script: &str, expected: &str| {
            let mut counted = counted;
            let held: Vec<&str> =
                script.split(' ').filter(|key| !counted.admits(key.as_bytes(), 2)).collect();
            assert_eq!(held.join(" "), expected, "{script}");
        };
        check(GuardCount::default(), "a b", "");
        check(GuardCount::default(), "a b c", "c");
        check(GuardCount::default(), "a a a b a", "");
        check(GuardCount::default(), "a b c a c b", "c c");
        let full = |known: &[(&str, bool)]| GuardCount {
            resources: 3,
            known: known.iter().map(|(key, passed)| (key.as_bytes().to_vec(), *passed)).collect(),
        };
        check(full(&[]), "a", "a");
        check(full(&[("a", true), ("b", false)]), "a b", "b");
        // One that was held passes when fewer others are there.
        let few = GuardCount { resources: 2, known: BTreeMap::from([(b"a".to_vec(), false)]) };
        check(few, "a b", "b");
    }

    /// Rows in databases have this key.
    #[test]
    fn a_key_is_of_its_guard() {
        let subject = |resource: &str| GuardedDelivery {
            id: DeliveryId(1),
            rule: "r".into(),
            action: "a".into(),
            key: None,
            resource: resource.into(),
            message: None,
        };
        let key = subject("k").key_of(&window("action", "a"));
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "afa6af38106c4c8223bb68d445f839302cbf6f55");
        assert_ne!(key, subject("k").key_of(&window("rule", "a")));
        assert_ne!(key, subject("K").key_of(&window("action", "a")));
    }
}
