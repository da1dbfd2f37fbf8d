//! How the places of a claim are shared between deliveries that have never failed and those whose retry is due.

/// Sees to it that neither kind starves the other. One per action.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Quarters of a place that retries are owed.
    owed: usize,
}

impl Share {
    /// Returns how many of each kind get one of these places. Where there are more deliveries than places, retries get a
    /// quarter over any number of claims, and more only if the others leave places free.
    pub(super) fn of(&mut self, places: usize, fresh: usize, retries: usize) -> (usize, usize) {
        if fresh + retries <= places || fresh == 0 || retries == 0 {
            self.owed = 0;
            return (fresh.min(places), retries.min(places));
        }
        self.owed += places;
        let theirs = retries.min((self.owed / 4).min(places).max(places.saturating_sub(fresh)));
        self.owed = self.owed.saturating_sub(4 * theirs).min(4 * places);
        (fresh.min(places - theirs), theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_kind_gets_less_than_a_quarter_of_the_places() {
        for (places, fresh, retries, expected) in [
            (10, 3, 4, (3, 4)),
            (8, 100, 100, (6, 2)),
            (8, 1, 100, (1, 7)),
            (8, 100, 1, (7, 1)),
            (8, 0, 100, (0, 8)),
            (8, 100, 0, (8, 0)),
            (0, 5, 5, (0, 0)),
        ] {
            assert_eq!(
                Share::default().of(places, fresh, retries),
                expected,
                "{places} of {fresh} and {retries}"
            );
        }
        // A place at a time: every fourth.
        for places in 1..6 {
            let mut share = Share::default();
            let (mut all, mut theirs) = (0, 0);
            for _ in 0..100 {
                let (fresh, retries) = share.of(places, 1000, 1000);
                assert_eq!(fresh + retries, places);
                all += places;
                theirs += retries;
            }
            assert_eq!(theirs, all / 4, "{places}");
        }
    }
}
