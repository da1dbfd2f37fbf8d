use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::http::guard::{AddressGuard, Forbidden};

#[derive(Clone, Debug)]
pub(crate) struct Resolver<S = GaiResolver> {
    system: S,
    guard: Option<Arc<AddressGuard>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

impl Resolver {
    pub(crate) fn new(guard: Option<Arc<AddressGuard>>) -> Self {
        Self { system: GaiResolver::new(), guard }
    }
}

impl<S> Service<Name> for Resolver<S>
where
    S: Service<Name, Error = io::Error>,
    S::Response: Iterator<Item = SocketAddr>,
    S::Future: Send + 'static,
{
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

fn allowed(
    guard: &AddressGuard,
    host: &str,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, ResolveError> {
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
    use std::collections::VecDeque;
    use std::future::Ready;
    use std::sync::Mutex;

    use hyper_util::client::legacy::connect::HttpConnector;
    use osnl_testkit::Sink;

    use super::*;

    #[test]
    fn of_several_addresses_those_that_are_allowed_are_connected_to() {
        let check = |found: &[&str], expected: Option<&[&str]>| {
            let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
            let kept = allowed(&AddressGuard::default(), "h", parse(found)).ok();
            assert_eq!(kept, expected.map(parse), "{found:?}");
        };
        check(&["10.0.0.1:80", "1.1.1.1:80", "[::1]:80"], Some(&["1.1.1.1:80"]));
        check(&["10.0.0.1:80", "[::1]:80"], None);
        check(&[], Some(&[]));
    }

    #[derive(Clone)]
    struct Rebinding(Arc<Mutex<VecDeque<Vec<&'static str>>>>);

    impl Service<Name> for Rebinding {
        type Response = vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let found =
                self.0.lock().unwrap().pop_front().expect("a name is looked up once for each connection");
            let found: Vec<SocketAddr> =
                found.into_iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            std::future::ready(Ok(found.into_iter()))
        }
    }

    #[test]
    fn a_name_that_is_rebound_leads_nowhere_else() {
        let outside = Sink::start_at("127.0.0.2".parse().unwrap());
        let guard = AddressGuard { hosts: vec!["127.0.0.2".parse().unwrap()], private: false };
        let answers = [
            (vec!["127.0.0.2"], true),
            (vec!["127.0.0.1"], false),
            (vec!["127.0.0.1", "127.0.0.2"], true),
            (vec!["127.0.0.1", "127.0.0.3", "::1"], false),
            (vec!["127.0.0.2"], true),
        ];
        let said = answers.iter().map(|(addresses, _)| addresses.clone()).collect();
        let system = Rebinding(Arc::new(Mutex::new(said)));
        let resolver = Resolver { system, guard: Some(Arc::new(guard)) };
        let mut connector = HttpConnector::new_with_resolver(resolver);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url: hyper::Uri = format!("http://rebound.example:{}/", outside.port()).parse().unwrap();
        for (addresses, reached) in &answers {
            let stream = runtime.block_on(connector.call(url.clone()));
            let peer = stream.ok().map(|stream| stream.inner().peer_addr().unwrap().ip().to_string());
            assert_eq!(peer, reached.then(|| "127.0.0.2".to_owned()), "{addresses:?}");
        }
    }
}
