//! How often somebody may ask: a bucket of tokens for each key, and for each address that sends none.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::ServeConfig;

/// Seconds from one removal of full buckets to the next.
const CLEARED_SECONDS: f64 = 1.0;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Key(Arc<str>),
    Address(IpAddr),
    /// Everybody for whom there was no room.
    Others,
}

/// Tokens that come back with time.
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Buckets, and when those that are as good as new were last removed.
#[derive(Default)]
struct Buckets {
    held: HashMap<Counted, Bucket>,
    cleared: Option<Instant>,
}

/// Buckets of tokens, of which there is a bounded number.
pub(crate) struct Rates {
    /// Of keys, which are as many as were made.
    keys: Mutex<Buckets>,
    /// Of addresses, so that a crowd of them takes nothing from keys.
    addresses: Mutex<Buckets>,
    buckets_max: usize,
    burst_seconds: f64,
}

impl Rates {
    pub(crate) fn new(config: &ServeConfig) -> Self {
        let burst_seconds = f64::from(config.burst_seconds);
        Self {
            keys: Mutex::default(),
            addresses: Mutex::default(),
            buckets_max: config.counted_max,
            burst_seconds,
        }
    }

    /// Takes a token, or says after how many seconds there is one. A rate of 0 has no bound.
    pub(crate) fn take(&self, who: Counted, per_second: u32, now: Instant) -> Result<(), u64> {
        if per_second == 0 {
            return Ok(());
        }
        let (rate, full) = (f64::from(per_second), f64::from(per_second) * self.burst_seconds);
        let buckets = match who {
            Counted::Key(_) => &self.keys,
            Counted::Address(_) | Counted::Others => &self.addresses,
        };
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { held, cleared } = &mut *buckets;
        let who = match who {
            who if held.len() < self.buckets_max || held.contains_key(&who) => who,
            who => {
                // Who has not asked for so long that the bucket is full is as good as new. Looking at all takes time, so not for each.
                let burst = self.burst_seconds;
                let since = |then: Instant| now.saturating_duration_since(then).as_secs_f64();
                if cleared.is_none_or(|then| since(then) >= CLEARED_SECONDS) {
                    *cleared = Some(now);
                    held.retain(|_, bucket| since(bucket.at) < burst);
                }
                if held.len() < self.buckets_max { who } else { Counted::Others }
            }
        };
        let bucket = held.entry(who).or_insert(Bucket { tokens: full, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * rate).min(full);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err((((1.0 - bucket.tokens) / rate).ceil() as u64).max(1))
    }
}

/// What counts as one address: of IPv6 a subscriber has a whole /64.
pub(crate) fn counted(address: IpAddr) -> Counted {
    Counted::Address(match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rates(counted_max: usize) -> Rates {
        Rates::new(&ServeConfig { counted_max, burst_seconds: 2, ..ServeConfig::default() })
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_each_has_a_bucket_of_its_own() {
        let (rates, start) = (rates(10), Instant::now());
        let key = |name: &str| Counted::Key(name.into());
        for _ in 0..20 {
            assert_eq!(rates.take(key("a"), 10, start), Ok(()));
        }
        assert_eq!(rates.take(key("a"), 10, start), Err(1));
        assert_eq!(rates.take(key("b"), 10, start), Ok(()));
        let later = start + Duration::from_millis(250);
        assert_eq!([rates.take(key("a"), 10, later), rates.take(key("a"), 10, later)], [Ok(()), Ok(())]);
        assert_eq!(rates.take(key("a"), 10, later), Err(1));
        assert!((0..1_000).all(|_| rates.take(key("c"), 0, start).is_ok()), "0 is no bound");
    }

    #[test]
    fn many_addresses_share_what_is_left_and_come_apart_again() {
        let (rates, start) = (rates(3), Instant::now());
        let from = |n: u8| counted(IpAddr::from([10, 0, 0, n]));
        (0..3).for_each(|n| assert_eq!(rates.take(from(n), 1, start), Ok(())));
        // The fourth and all after it are one.
        assert_eq!([rates.take(from(3), 1, start), rates.take(from(4), 1, start)], [Ok(()), Ok(())]);
        assert!(rates.take(from(5), 1, start).is_err());
        assert!(rates.addresses.lock().unwrap().held.len() <= 4);
        let key = || Counted::Key("k".into());
        assert_eq!(
            [rates.take(key(), 1, start), rates.take(key(), 1, start)],
            [Ok(()), Ok(())],
            "keys have their own"
        );
        assert_eq!(rates.take(from(5), 1, start + Duration::from_secs(3)), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_and_a_mapped_address_is_itself() {
        let v6 = |text: &str| counted(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:2"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), counted(IpAddr::from([10, 0, 0, 1])));
    }
}
