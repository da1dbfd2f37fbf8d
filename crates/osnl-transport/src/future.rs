//! The futures of traits that are used as `dyn`.

use std::future::Future;
use std::pin::Pin;

/// A boxed future that can cross threads, written out where a trait is used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
