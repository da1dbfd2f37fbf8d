//! Names to addresses, by the system's resolver; with a guard, only to those that may be reached.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::guard::{Forbidden, Guard};

/// What the connector asks. The addresses that it hands out are those that are connected to.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    system: GaiResolver,
    guard: Option<Arc<Guard>>,
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

impl Resolver {
    pub(crate) fn new(guard: Option<Arc<Guard>>) -> Self {
        Self { system: GaiResolver::new(), guard }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        self.system.poll_ready(context).map_err(ResolveError::from)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let guard = self.guard.clone();
        let resolving = self.system.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.collect();
            let Some(guard) = guard else { return Ok(found.into_iter()) };
            allowed(&guard, &host, found).map(Vec::into_iter)
        })
    }
}

/// The addresses that may be reached; one of several is enough.
fn allowed(guard: &Guard, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut kept = Vec::with_capacity(found.len());
    let mut refused = None;
    for address in found {
        match guard.judge(host, address.ip()) {
            Ok(()) => kept.push(address),
            Err(forbidden) => refused = Some(forbidden),
        }
    }
    match refused {
        Some(forbidden) if kept.is_empty() => Err(forbidden.into()),
        Some(_) | None => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_addresses_those_that_are_allowed_are_connected_to() {
        let check = |found: &[&str], expected: Option<&[&str]>| {
            let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
            let kept = allowed(&Guard::default(), "h", parse(found)).ok();
            assert_eq!(kept, expected.map(parse), "{found:?}");
        };
        check(&["10.0.0.1:80", "1.1.1.1:80", "[::1]:80"], Some(&["1.1.1.1:80"]));
        check(&["10.0.0.1:80", "[::1]:80"], None);
        check(&[], Some(&[]));
    }
}
