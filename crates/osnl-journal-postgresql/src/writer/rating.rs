//! Calls of actions with a rate: asked for, settled, given back.

use std::sync::{Arc, PoisonError};

use super::PostgresWriter;
use crate::job::TransactionJob;
use crate::results::JobResult;
use crate::tokens::RateTokens;

impl PostgresWriter {
    /// Asks for calls of an action, and settles those that were granted before.
    pub(super) async fn order_calls(&mut self, action: &str) {
        let tokens = self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(action).cloned();
        if let Some(tokens) = tokens {
            self.order(&tokens, false).await;
        }
    }

    /// Settles grants that are used up or void, also while no loop asks for more.
    pub(super) async fn settle_calls(&mut self) {
        for tokens in self.all_tokens() {
            if tokens.is_settled_late() {
                self.order(&tokens, false).await;
            }
        }
    }

    /// Gives all calls back at the end.
    pub(super) async fn give_calls_back(&mut self) {
        for tokens in self.all_tokens() {
            self.order(&tokens, true).await;
        }
    }

    fn all_tokens(&self) -> Vec<Arc<RateTokens>> {
        self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    async fn order(&mut self, tokens: &RateTokens, is_last: bool) {
        let Some(order) = tokens.order(is_last) else { return };
        let answer = match self.transact(&TransactionJob::Calls(order)).await {
            Ok((JobResult::Calls(answer), sent)) => Some((answer, sent)),
            Ok(_) => None,
            Err(refusal) => {
                _ = self.bear(refusal).await;
                None
            }
        };
        tokens.answered(answer);
    }
}
