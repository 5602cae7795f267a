//! Summary of measured times.

use std::time::Duration;

/// Order statistics of a set of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many times were measured.
    pub runs: usize,
    /// The shortest.
    pub min: Duration,
    /// The middle one; the mean of both middle ones when their number is even.
    pub median: Duration,
    /// The shortest time that at least 90 % of the measurements do not exceed.
    pub p90: Duration,
    /// The longest.
    pub max: Duration,
    /// Their mean.
    pub mean: Duration,
}

impl Summary {
    /// Summarises `times`; `None` when there are none.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let runs = times.len();
        let (&min, &max) = (times.first()?, times.last()?);
        let median = (times[(runs - 1) / 2] + times[runs / 2]) / 2;
        let p90 = times[(runs * 9).div_ceil(10) - 1];
        let total: Duration = times.iter().sum();
        let mean = Duration::from_secs_f64(total.as_secs_f64() / runs as f64);
        Some(Self { runs, min, median, p90, max, mean })
    }
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A time for people: three significant digits or more, in µs, ms or s.
pub fn readable(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// A number of bytes for people, in powers of 1024.
pub fn readable_bytes(bytes: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let decimals = usize::from(unit != "B");
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics() {
        let ms = Duration::from_millis;
        let rows: &[(&str, Vec<u64>, [u64; 4])] = &[
            ("one", vec![5], [5, 5, 5, 5]),
            ("odd, unsorted", vec![9, 1, 5], [1, 5, 9, 9]),
            ("even", vec![1, 2, 4, 8], [1, 3, 8, 8]),
            ("ten", (1..=10).map(|i| i * 10).collect(), [10, 55, 90, 100]),
        ];
        for (name, times, [min, median, p90, max]) in rows {
            let got = Summary::of(times.iter().map(|&t| ms(t)).collect()).expect("not empty");
            let expected = (ms(*min), ms(*median), ms(*p90), ms(*max), times.len());
            assert_eq!((got.min, got.median, got.p90, got.max, got.runs), expected, "{name}");
        }
        assert_eq!(Summary::of(vec![]), None);
    }

    #[test]
    fn units_suit_the_size() {
        let rows =
            [(1_234, "1.23 µs"), (45_678, "45.7 µs"), (456_789_000, "457 ms"), (12_300_000_000, "12.3 s")];
        for (nanos, expected) in rows {
            assert_eq!(readable(Duration::from_nanos(nanos)), expected);
        }
        for (bytes, expected) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB")] {
            assert_eq!(readable_bytes(bytes), expected);
        }
    }
}
