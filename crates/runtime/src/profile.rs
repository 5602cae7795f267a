//! Time per step.

use std::time::Duration;

/// The times of one step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepTime {
    pub total: Duration,
    pub least: Duration,
    pub calls: u64,
}

/// Accumulated times of a segment's steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepTimes {
    steps: Vec<StepTime>,
}

impl StepTimes {
    pub fn add(&mut self, step: usize, time: Duration) {
        if self.steps.len() <= step {
            self.steps.resize(step + 1, StepTime::default());
        }
        let step = &mut self.steps[step];
        step.total += time;
        step.least = if step.calls == 0 { time } else { step.least.min(time) };
        step.calls += 1;
    }

    pub fn get(&self, step: usize) -> StepTime {
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
    /// Time of its shortest run.
    pub least: Duration,
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
