//! Time per step.

use std::time::Duration;

/// Accumulated times of a segment's steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepTimes {
    steps: Vec<(Duration, u64)>,
}

impl StepTimes {
    pub fn add(&mut self, step: usize, time: Duration) {
        if self.steps.len() <= step {
            self.steps.resize(step + 1, (Duration::ZERO, 0));
        }
        let (total, calls) = &mut self.steps[step];
        *total += time;
        *calls += 1;
    }

    pub fn get(&self, step: usize) -> (Duration, u64) {
        self.steps.get(step).copied().unwrap_or_default()
    }
}

/// One step of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct StepProfile {
    /// The operators it computes, by name.
    pub operator: String,
    /// Its kernel.
    pub kernel: String,
    /// Shapes of its inputs and outputs, as text.
    pub shapes: String,
    /// Time of all its runs.
    pub total: Duration,
    /// Number of runs.
    pub calls: u64,
    /// Arithmetic operations of one run, 0 when not stated.
    pub ops: f64,
}

/// Time per step since the interpreter was built or the profile was reset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The steps of all subgraphs that have run, in order.
    pub steps: Vec<StepProfile>,
}

impl Profile {
    /// Time of all steps together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.steps.iter().map(|s| s.total).sum()
    }
}
