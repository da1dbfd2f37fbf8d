use std::sync::Arc;
use std::time::Duration;

use osnl_core::event::EnrichedValues;
use osnl_journal::{DeliveryId, UsedLimits};
use tokio_postgres::{Error, Row};

use crate::partition::PartitionNumber;

pub(crate) fn delivery(row: i64) -> DeliveryId {
    DeliveryId(row.unsigned_abs())
}

#[derive(Clone, Debug)]
pub(crate) struct DeliveryRow {
    pub(crate) arrival: i64,
    pub(crate) partition: PartitionNumber,
    pub(crate) rule: String,
    pub(crate) action: String,
    pub(crate) key: Option<String>,
    pub(crate) resource: Option<u32>,
    pub(crate) used: UsedLimits,
    pub(crate) due: i64,
    pub(crate) enriched: Option<Arc<EnrichedValues>>,
    pub(crate) ordered: bool,
}

impl TryFrom<&Row> for DeliveryRow {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Self, Error> {
        let key: Option<Vec<u8>> = row.try_get(5)?;
        let number = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
        let resource: Option<i64> = row.try_get(6)?;
        let found: Option<String> = row.try_get(11)?;
        Ok(Self {
            arrival: row.try_get(1)?,
            partition: row.try_get(2)?,
            rule: row.try_get(3)?,
            action: row.try_get(4)?,
            key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
            resource: resource.and_then(|resource| u32::try_from(resource).ok()),
            used: UsedLimits {
                attempts: u32::try_from(number(7)?).unwrap_or(u32::MAX),
                age: Duration::from_millis(number(8)?),
                made: u32::try_from(number(9)?).unwrap_or(u32::MAX),
            },
            due: row.try_get(10)?,
            enriched: found.and_then(|found| serde_json::from_str(&found).ok()).map(Arc::new),
            ordered: row.try_get(12)?,
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Promotion {
    pub(crate) id: DeliveryId,
    pub(crate) action: String,
    pub(crate) row: Option<Arc<DeliveryRow>>,
}

impl Promotion {
    pub(crate) fn new(id: DeliveryId, action: String) -> Self {
        Self { id, action, row: None }
    }
}

/// A delivery of this member's partitions that is in no lane yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivedDelivery {
    pub(crate) id: i64,
    pub(crate) partition: PartitionNumber,
    pub(crate) lane: Option<i64>,
}

impl ArrivedDelivery {
    pub(crate) fn all(rows: &[Row]) -> Result<Vec<Self>, Error> {
        rows.iter()
            .map(|row| Ok(Self { id: row.try_get(0)?, partition: row.try_get(1)?, lane: row.try_get(2)? }))
            .collect()
    }
}
