//! Plans that a subgraph has run before and may run again.
//!
//! A plan that rests on the content of a tensor, such as the counter of a loop that cuts a list at that place, holds for one
//! turn. The next run of the loop needs the same plans in the same order.

use std::collections::VecDeque;

use ferrolite_ops::TensorValue;
use ferrolite_plan::Segment;

use crate::profile::StepTimes;

/// Steps that all kept plans may have together. A step takes one or two kilobytes.
const MOST_STEPS: usize = 4096;
/// What a plan takes besides its steps, counted in steps.
const PLAN: usize = 4;

/// Plans out of use, the longest out of use first.
#[derive(Default)]
pub(crate) struct SparePlans {
    plans: VecDeque<(Segment, StepTimes)>,
    steps: usize,
}

impl SparePlans {
    /// Keeps a plan; those longest out of use make room.
    pub fn keep(&mut self, segment: Segment, times: StepTimes) {
        if segment.start == segment.end {
            // Made before contents were there: it leads nowhere.
            return;
        }
        self.steps += size(&segment);
        self.plans.push_back((segment, times));
        while self.steps > MOST_STEPS
            && let Some((oldest, _)) = self.plans.pop_front()
        {
            self.steps -= size(&oldest);
        }
    }

    /// A plan from node `start` on that holds for what the slots contain. A loop finds its next one at the front.
    pub fn take(&mut self, start: usize, slots: &[TensorValue]) -> Option<(Segment, StepTimes)> {
        let fits = |(plan, _): &(Segment, StepTimes)| plan.start == start && plan.fits(slots);
        let found = self.plans.remove(self.plans.iter().position(fits)?)?;
        self.steps -= size(&found.0);
        Some(found)
    }

    /// Forgets all plans.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn size(segment: &Segment) -> usize {
    segment.steps.len() + PLAN
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrolite_ops::{Shape, TensorType};

    /// A plan that rests on slot 0 holding `value`.
    fn plan(start: usize, value: i32) -> Segment {
        let value = TensorValue::from_elements(Shape::scalar(), &[value]).unwrap();
        Segment {
            start,
            end: start + 1,
            steps: Vec::new(),
            infos: Vec::new(),
            constants: Vec::new(),
            views: Vec::new(),
            allocate: Vec::new(),
            fill: Vec::new(),
            arena_bytes: 0,
            shape_deps: Vec::new(),
            value_deps: vec![(0, value)],
        }
    }

    fn slots(value: i32) -> [TensorValue; 1] {
        let mut slot = TensorValue::zeros(TensorType::Int32, Shape::scalar()).unwrap();
        slot.elements_mut::<i32>().unwrap()[0] = value;
        [slot]
    }

    #[test]
    fn a_plan_is_found_by_its_place_and_what_it_rests_on() {
        let mut spare = SparePlans::default();
        for (start, value) in [(0, 1), (3, 1), (0, 2)] {
            spare.keep(plan(start, value), StepTimes::default());
        }
        assert!(spare.take(0, &slots(3)).is_none(), "another content");
        assert!(spare.take(1, &slots(1)).is_none(), "another place");
        let (found, _) = spare.take(0, &slots(2)).unwrap();
        assert_eq!((found.start, spare.plans.len()), (0, 2));
        assert!(spare.take(0, &slots(2)).is_none(), "taken is gone");
    }

    #[test]
    fn the_longest_out_of_use_make_room() {
        let mut spare = SparePlans::default();
        let most = MOST_STEPS / PLAN;
        for value in 0..most as i32 + 2 {
            spare.keep(plan(0, value), StepTimes::default());
        }
        assert_eq!((spare.plans.len(), spare.steps), (most, most * PLAN));
        assert!(spare.take(0, &slots(1)).is_none());
        assert!(spare.take(0, &slots(2)).is_some());
        spare.clear();
        assert_eq!((spare.plans.len(), spare.steps), (0, 0));
    }
}
