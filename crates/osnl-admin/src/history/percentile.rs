use osnl_core::metrics::LATENCY;

use super::series::BUCKETS;

/// Returns the time in seconds within which this share of all deliveries was made; `None` without deliveries.
/// Times within a bucket count as evenly spread; beyond the last bound, that bound is returned.
pub(crate) fn percentile(counts: &[u32; BUCKETS], share: f64) -> Option<f64> {
    let all: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    if all == 0.0 {
        return None;
    }
    let rank = share * all;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in counts.iter().zip(LATENCY) {
        let (count, upper) = (f64::from(*count), upper as f64 / 1e6);
        if count > 0.0 && below + count >= rank {
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
        lower = upper;
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_estimated_within_its_bucket() {
        let check = |counts: &[(usize, u32)], share: f64, expected: Option<f64>| {
            let mut all = [0; BUCKETS];
            counts.iter().for_each(|(bucket, count)| all[*bucket] = *count);
            let found = percentile(&all, share);
            let is_near = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(is_near, "{counts:?} {share}: {found:?}, not {expected:?}");
        };
        check(&[], 0.5, None);
        // Half of the first 5 ms.
        check(&[(0, 100)], 0.5, Some(0.0025));
        check(&[(0, 100)], 0.99, Some(0.00495));
        check(&[(0, 98), (4, 2)], 0.5, Some(0.005 * 50.0 / 98.0));
        check(&[(0, 98), (4, 2)], 0.99, Some(0.75));
        check(&[(0, 1), (11, 1)], 0.5, Some(0.005));
        check(&[(5, u32::MAX), (6, u32::MAX)], 1.0, Some(30.0));
        // Beyond the last bound, only the bound is known.
        check(&[(12, 1)], 0.5, Some(86_400.0));
    }
}
