use std::path::Path;

use super::standby_settings::StandbySettings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OracleSettings {
    pub(super) pool: u32,
    prefetch: u32,
    concurrency: u32,
    max_attempts: u32,
    timeout: u32,
    guard: Option<&'static str>,
    max_pending: u32,
    pub(super) standby: Option<StandbySettings>,
}

impl Default for OracleSettings {
    /// Retries refused requests without a limit, because a dead letter after six attempts would have no effect.
    fn default() -> Self {
        Self {
            pool: 0,
            prefetch: 200,
            concurrency: 16,
            max_attempts: 1000,
            timeout: 1000,
            guard: None,
            max_pending: 1_000_000,
            standby: None,
        }
    }
}

impl OracleSettings {
    pub(super) fn for_standby(standby: StandbySettings) -> Self {
        Self { standby: Some(standby), ..Self::default() }
    }

    /// Returns settings whose bound a pause of a second or a guard reaches, so that the broker keeps the rest.
    pub(super) fn bounded() -> Self {
        Self { max_pending: 150, ..Self::default() }
    }

    pub(super) fn others(&self, chance: &mut fastrand::Rng) -> Self {
        Self {
            pool: self.pool,
            // Another prefetch needs another connection.
            prefetch: if chance.u8(..3) == 0 { chance.u32(2..400) } else { self.prefetch },
            concurrency: chance.u32(1..32),
            max_attempts: if chance.bool() { 1000 } else { chance.u32(1..4) },
            timeout: chance.u32(500..1500),
            guard: (chance.u8(..4) == 0).then_some("30 per 2s"),
            max_pending: self.max_pending,
            standby: None,
        }
    }

    pub(super) fn plain(&self) -> Self {
        Self { pool: self.pool, max_pending: self.max_pending, ..Self::default() }
    }

    pub(super) fn next_pool(&self) -> Self {
        Self { pool: self.pool + 1, ..self.clone() }
    }

    pub(super) fn queue(&self) -> String {
        match self.pool {
            0 => super::QUEUE.to_owned(),
            n => format!("{}_{n}", super::QUEUE),
        }
    }

    pub(super) fn text(&self, home: &Path, transport_url: &str, api_url: &str) -> String {
        if let Some(standby) = &self.standby {
            return standby.text(home, transport_url, api_url);
        }
        let guard = self.guard.map(|guard| format!("guard = {guard}\n")).unwrap_or_default();
        format!(
            "[DEFAULT]\nstate_dir = {}\nlog_level = warn\n[journal]\nallow_volatile = yes\n\
             max_pending = {}\n[listener:neutron]\ntransport_url = {transport_url}\nexchange = neutron\npool = {}\nprefetch = {}\n\
             declare = create\n\
             [rule:deleted]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
             [action:roles]\ndriver = k2hr3\napi_url = {api_url}\ntimeout = {}ms\nretry_interval = 1s\n\
             max_attempts = {}\nconcurrency = {}\n{guard}",
            home.display(),
            self.max_pending,
            self.queue(),
            self.prefetch,
            self.timeout,
            self.max_attempts,
            self.concurrency,
        )
    }
}
