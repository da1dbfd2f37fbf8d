//! Sessions: a browser sends the token once and then a cookie.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::COOKIE;
use hyper::http::request::Parts;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::Instant;

pub(super) const NAME: &str = "osnl_session";
pub(super) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
const MOST: usize = 64;

/// The sessions end with the process.
pub(super) struct Sessions {
    random: SystemRandom,
    live: Mutex<Vec<PageSession>>,
    /// For callers without a session: a client certificate, a Unix socket, a header with the token.
    pub(super) own_csrf: String,
}

struct PageSession {
    /// The digest of the cookie's value, so that the time of a comparison reveals nothing.
    digest: [u8; 32],
    csrf: String,
    owner: Arc<str>,
    ends: Instant,
}

impl Sessions {
    pub(super) fn new() -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let own_csrf = number(&random)?;
        Ok(Self { random, live: Mutex::default(), own_csrf })
    }

    pub(super) fn begin(&self, owner: Arc<str>) -> Result<String, ring::error::Unspecified> {
        let (value, csrf) = (number(&self.random)?, number(&self.random)?);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.len() >= MOST {
            live.remove(0);
        }
        live.push(PageSession { digest: digest(&value), csrf, owner, ends: Instant::now() + LIFE });
        Ok(value)
    }

    /// Returns the secret number of its forms and the name of the token's owner.
    pub(super) fn find(&self, head: &Parts) -> Option<(String, Arc<str>)> {
        let digest = digest(cookie(head)?);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|session| session.ends > Instant::now());
        live.iter()
            .find(|session| session.digest == digest)
            .map(|session| (session.csrf.clone(), session.owner.clone()))
    }

    pub(super) fn watch(self: &Arc<Self>, head: &Parts) -> Box<dyn Fn() -> bool + Send> {
        let (own, digest) = (self.clone(), cookie(head).map(digest));
        Box::new(move || {
            let live = own.live.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            live.iter().any(|session| Some(session.digest) == digest && session.ends > now)
        })
    }

    pub(super) fn end(&self, head: &Parts) {
        if let Some(value) = cookie(head) {
            let digest = digest(value);
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.retain(|session| session.digest != digest);
        }
    }
}

/// Returns the cookie. Two cookies of this name count as none, as another site on the same host may have set
/// one.
fn cookie(head: &Parts) -> Option<&str> {
    let cookies = head.headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut values = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(|(name, value)| (name == NAME).then_some(value));
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

pub(super) fn digest(text: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn number(random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0_u8; 32];
    random.fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(cookie: &str) -> Parts {
        let request = hyper::Request::builder().header(COOKIE, cookie).body(()).unwrap();
        request.into_parts().0
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lives_until_it_is_ended_or_old() {
        let sessions = Sessions::new().unwrap();
        let (one, other) = (sessions.begin("".into()).unwrap(), sessions.begin("".into()).unwrap());
        let found = |value: &str| sessions.find(&head(&format!("a=b; {NAME}={value}"))).is_some();
        assert!(found(&one) && found(&other));
        assert!(!found("") && !found(&one[1..]) && !found(&format!("{one}; {NAME}={other}")));
        sessions.end(&head(&format!("{NAME}={one}")));
        assert!(!found(&one) && found(&other));
        tokio::time::advance(LIFE).await;
        assert!(!found(&other));
    }

    #[tokio::test]
    async fn sessions_are_bounded() {
        let sessions = Sessions::new().unwrap();
        let first = sessions.begin("".into()).unwrap();
        for _ in 0..MOST {
            sessions.begin("".into()).unwrap();
        }
        assert!(sessions.find(&head(&format!("{NAME}={first}"))).is_none());
    }
}
