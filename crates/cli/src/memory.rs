//! How much memory the process has used.

/// Largest resident set so far in bytes; `None` where the system does not tell (it is read from
/// `/proc/self/status`).
pub fn peak_resident() -> Option<u64> {
    parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The `VmHWM` line, which counts KiB.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::parse_peak;

    #[test]
    fn reads_the_high_water_mark() {
        let rows = [
            ("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n", Some(2048 * 1024)),
            ("VmRSS:\t 1 kB\n", None),
            ("VmHWM:\tmuch\n", None),
        ];
        for (status, expected) in rows {
            assert_eq!(parse_peak(status), expected, "{status}");
        }
    }
}
