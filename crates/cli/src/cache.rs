//! What became of the cache of packed weights (`--weight-cache`).

use std::fmt;

use ferrolite::WeightCacheStatus;
use serde::Serialize;

/// The report of a cache. Field names are those of the JSON line.
#[derive(Debug, Serialize)]
pub struct CacheReport {
    state: State,
    /// Weights that came from the file.
    hits: usize,
    /// Weights that were packed.
    misses: usize,
    written: bool,
    /// Why it was rejected, or could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// There was none, or it has nothing of the model.
    Missing,
    /// All weights came from it.
    Used,
    /// Some weights came from it.
    PartlyUsed,
    /// It, or a part of it, is not fit for use.
    Rejected,
}

impl From<WeightCacheStatus> for CacheReport {
    fn from(status: WeightCacheStatus) -> Self {
        let state = match (&status.rejected, status.hits, status.misses) {
            (Some(_), ..) => State::Rejected,
            (None, 0, _) => State::Missing,
            (None, _, 0) => State::Used,
            (None, ..) => State::PartlyUsed,
        };
        let reasons: Vec<String> =
            status.rejected.map(|reason| reason.to_string()).into_iter().chain(status.write_error).collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        Self { state, hits: status.hits, misses: status.misses, written: status.written, reason }
    }
}

impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Missing => "missing",
            State::Used => "used",
            State::PartlyUsed => "partly used",
            State::Rejected => "rejected",
        };
        write!(f, "{state}{}", if self.written { ", written" } else { "" })?;
        write!(f, " ({} found, {} packed)", self.hits, self.misses)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrolite::WeightCacheRejection;

    #[test]
    fn what_is_told() {
        let status = |hits, misses, rejected, written, write_error: Option<&str>| {
            let mut status = WeightCacheStatus::default();
            (status.hits, status.misses, status.rejected, status.written) = (hits, misses, rejected, written);
            status.write_error = write_error.map(str::to_owned);
            CacheReport::from(status).to_string()
        };
        let rows = [
            (status(0, 3, None, true, None), "missing, written (0 found, 3 packed)"),
            (status(3, 0, None, false, None), "used (3 found, 0 packed)"),
            (status(2, 1, None, true, None), "partly used, written (2 found, 1 packed)"),
            (
                status(0, 3, Some(WeightCacheRejection::Damaged), false, Some("cannot write c: denied")),
                "rejected (0 found, 3 packed): it is damaged; cannot write c: denied",
            ),
        ];
        for (told, want) in rows {
            assert_eq!(told, want);
        }
    }
}
