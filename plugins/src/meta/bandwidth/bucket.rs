//! A limit in bits as the kernel's token bucket, computed as the reference does (PLG-BW-4).

use manifold_net::TokenBucket;
use manifold_plugin_conf::bandwidth::Limit;

/// How long a packet may wait before it is dropped.
const LATENCY_MILLIS: u64 = 25;

pub(super) fn of(limit: Limit) -> TokenBucket {
    let (rate, burst) = (limit.rate / 8, limit.burst / 8);
    let waiting = u128::from(rate) * u128::from(LATENCY_MILLIS) / 1000;
    let micros = small(u128::from(burst) * 1_000_000 / u128::from(rate.max(1)));
    TokenBucket {
        rate,
        limit: small(waiting + u128::from(burst)),
        // A tick is 64 ns, so a microsecond is 15.625 of them.
        buffer: small(u128::from(micros) * 125 / 8),
    }
}

/// The kernel's fields have 32 bits; the most they can say is what a larger value comes to.
fn small(n: u128) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-BW-4
    #[test]
    fn the_queue_holds_25_milliseconds_and_the_burst() {
        let bucket = of(Limit { rate: 8_000_000, burst: 16_000 });
        assert_eq!(bucket, TokenBucket { rate: 1_000_000, limit: 27_000, buffer: 31_250 });
        // 3 bytes at 7 a second: microseconds are cut before they become ticks.
        assert_eq!(of(Limit { rate: 56, burst: 24 }).buffer, 428_571 * 125 / 8);
        let most = of(Limit { rate: u64::MAX, burst: u64::MAX });
        assert_eq!((most.limit, most.buffer), (u32::MAX, 15_625_000));
        assert_eq!(of(Limit { rate: 8, burst: 34_359_738_359 }).buffer, u32::MAX);
    }
}
