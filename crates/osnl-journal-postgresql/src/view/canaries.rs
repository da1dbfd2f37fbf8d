use super::JournalView;
use crate::options::Options;
use crate::session::Session;

/// The condition on the event type is that of the index, and the few deliveries of a message are found by
/// their numbers.
const RETURNED: &str = "SELECT DISTINCT a.message_id FROM osnl_arrival a JOIN osnl_delivery d \
       ON d.id >= a.id << 16 AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16 \
     WHERE a.event_type = 'osnl.canary' AND length(a.message_id) <= 64 AND a.message_id = ANY($1) AND d.action = $2 AND d.state BETWEEN 4 AND 5";

impl JournalView {
    pub(crate) async fn returned_canaries(
        &self,
        options: &Options,
        message_ids: &[String],
    ) -> Result<Vec<String>, String> {
        let returned = async |session: &mut Session| {
            let rows = session.query(RETURNED, &[&message_ids, &osnl_core::metrics::Canary::ACTION]).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        };
        self.ask(options, "read", returned).await
    }
}
