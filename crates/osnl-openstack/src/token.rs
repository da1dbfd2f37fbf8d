//! One token for all callers: fetched by the first caller, renewed before its expiry, dropped when
//! a service refuses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use osnl_net::http::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::login::Grant;

/// The time before its expiry at which a token is renewed, or a tenth of its life if that is
/// shorter. A request in flight must still find the token valid.
const MARGIN: Duration = Duration::from_secs(60);

/// The time after a failed renewal in which a valid token is used without another attempt, and the
/// age up to which a catalogue counts as new.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) value: HeaderValue,
    pub(crate) granted: Grant,
    /// The end by our own clock; `None` if Keystone did not report the expiry.
    ends: Option<Instant>,
    asked: Instant,
    /// Whether the catalogue has to be read anew; the token itself is still valid.
    is_outdated: AtomicBool,
}

impl Token {
    pub(crate) fn new(value: HeaderValue, granted: Grant, asked: Instant) -> Self {
        // A Keystone whose tokens end at once, as its clocks differ, must not cost a login for each request.
        let ends = granted.lifetime.and_then(|lifetime| asked.checked_add(lifetime.max(PATIENCE)));
        Self { value, granted, ends, asked, is_outdated: AtomicBool::new(false) }
    }

    fn good(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }

    fn is_to_renew(&self, now: Instant) -> bool {
        let margin = MARGIN.min(self.granted.lifetime.unwrap_or_default() / 10);
        self.is_outdated.load(Ordering::Relaxed) || self.ends.is_some_and(|ends| now + margin >= ends)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    current: RwLock<Option<Arc<Token>>>,
    /// Held while the token is fetched; the time and error of the last failure.
    fetching: Mutex<Option<(Instant, ApiError)>>,
}

impl Tokens {
    /// Returns a valid token, fetching one if needed. Callers that waited for a failed attempt
    /// share its failure: a thousand waiting requests must not log in a thousand times.
    pub(crate) async fn get<F>(&self, fetch: impl FnOnce() -> F) -> Result<Arc<Token>, ApiError>
    where
        F: Future<Output = Result<Token, ApiError>>,
    {
        let began = Instant::now();
        if let Some(token) = self.current().filter(|token| !token.is_to_renew(began)) {
            return Ok(token);
        }
        let mut failed = self.fetching.lock().await;
        let now = Instant::now();
        let current = self.current();
        if let Some(token) = &current
            && !token.is_to_renew(now)
        {
            return Ok(token.clone());
        }
        let still_good = current.filter(|token| token.good(now));
        if let Some((at, error)) = failed.as_ref() {
            match still_good {
                Some(token) if *at + PATIENCE > now => return Ok(token),
                None if *at >= began => return Err(error.clone()),
                Some(_) | None => {}
            }
        }
        match fetch().await {
            Ok(token) => {
                let token = Arc::new(token);
                *failed = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
                Ok(token)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                match still_good {
                    Some(token) => {
                        tracing::warn!(
                            error = error.to_string(),
                            "the token cannot be renewed yet, and is still good"
                        );
                        Ok(token)
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// Requests a new catalogue with the next token: a service is missing or moved, and the
    /// operator may have corrected that. A catalogue younger than `age` is kept. Until its
    /// successor is available, the token stays in use.
    pub(crate) fn outdated(&self, age: Duration) {
        if let Some(token) = self.current()
            && token.asked + age <= Instant::now()
        {
            token.is_outdated.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn refused(&self, value: &HeaderValue) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|token| token.value == value) {
            *current = None;
        }
    }

    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;

    use super::*;
    use crate::catalog::{Catalog, CatalogError};

    fn token(lifetime: u64) -> Token {
        let granted = Grant {
            lifetime: Some(Duration::from_secs(lifetime)),
            user: String::new(),
            project: None,
            password_ends: None,
            roles: Vec::new(),
            catalog: Catalog::default(),
        };
        Token::new(HeaderValue::from_static("t"), granted, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_fetched_once_and_again_before_it_ends() {
        let (tokens, fetched) = (Tokens::default(), AtomicUsize::new(0));
        let fetch = || async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            fetched.fetch_add(1, Ordering::Relaxed);
            Ok(token(3600))
        };
        assert!(join_all((0..50).map(|_| tokens.get(fetch))).await.iter().all(Result::is_ok));
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
        for (seconds, expected) in [(3500, 1), (41, 2), (100, 2)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            tokens.get(fetch).await.unwrap();
            assert_eq!(fetched.load(Ordering::Relaxed), expected, "{seconds}");
        }
        tokens.refused(&HeaderValue::from_static("other"));
        tokens.get(fetch).await.unwrap();
        assert_eq!(fetched.load(Ordering::Relaxed), 2);
        tokens.refused(&HeaderValue::from_static("t"));
        tokens.get(fetch).await.unwrap();
        assert_eq!(fetched.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_at_once_is_used_for_a_while() {
        let (tokens, fetched) = (Tokens::default(), AtomicUsize::new(0));
        let fetch = || async {
            fetched.fetch_add(1, Ordering::Relaxed);
            Ok(token(0))
        };
        for (seconds, expected) in [(0, 1), (0, 1), (9, 1), (1, 2)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert!(join_all((0..50).map(|_| tokens.get(fetch))).await.iter().all(Result::is_ok));
            assert_eq!(fetched.load(Ordering::Relaxed), expected, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_catalogue_that_lacks_something_is_fetched_again_but_not_at_once() {
        let (tokens, fetched) = (Tokens::default(), AtomicUsize::new(0));
        let fetch = || async {
            fetched.fetch_add(1, Ordering::Relaxed);
            Ok(token(3600))
        };
        for (seconds, expected) in [(0, 1), (9, 1), (1, 1), (0, 2), (0, 2)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            tokens.get(fetch).await.unwrap();
            tokens.outdated(PATIENCE);
            assert_eq!(fetched.load(Ordering::Relaxed), expected, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outdated_catalogue_is_used_until_there_is_another() {
        let tokens = Tokens::default();
        tokens.get(|| async { Ok(token(3600)) }).await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        tokens.outdated(PATIENCE);
        let first = tokens.get(|| async { Err(CatalogError::None.into()) }).await.unwrap();
        tokio::time::advance(PATIENCE).await;
        let next = tokens.get(|| async { Ok(token(3600)) }).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &next));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_shares_the_failure_and_who_comes_later_tries_again() {
        let (tokens, fetched) = (Tokens::default(), AtomicUsize::new(0));
        let fetch = || async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            fetched.fetch_add(1, Ordering::Relaxed);
            Err(CatalogError::None.into())
        };
        assert!(join_all((0..50).map(|_| tokens.get(fetch))).await.iter().all(Result::is_err));
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(tokens.get(fetch).await.is_err());
        assert_eq!(fetched.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_still_good_outlives_a_keystone_that_is_away() {
        let (tokens, tries) = (Tokens::default(), AtomicUsize::new(0));
        tokens.get(|| async { Ok(token(3600)) }).await.unwrap();
        let fail = || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(CatalogError::None.into())
        };
        for (seconds, good, expected) in [(3550, true, 1), (5, true, 1), (10, true, 2), (40, false, 3)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(tokens.get(fail).await.is_ok(), good, "{seconds}");
            assert_eq!(tries.load(Ordering::Relaxed), expected, "{seconds}");
        }
    }
}
