use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The values that the sections of one start, or of one reload, have in common, such as logins: one of each type.
#[derive(Clone, Debug, Default)]
pub struct SharedValues(Arc<Mutex<HashMap<TypeId, Box<dyn Any + Send + Sync>>>>);

impl SharedValues {
    /// Returns the value of a type, whose clones have to share what they hold. The first call makes it.
    pub fn value<T: Any + Clone + Default + Send + Sync>(&self) -> T {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(T::default()));
        value.downcast_ref::<T>().cloned().unwrap_or_default()
    }
}
