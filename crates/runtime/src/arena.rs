//! Views of an interpreter's memory for the operands of a step.
//!
//! This is the one place where the arena is cut into slices that live side by side. It rests on what the planner
//! checks for every step it makes: whatever a step writes overlaps no other operand of the step, except an input that
//! is marked as being overwritten in place, of which no view is made.

use core::marker::PhantomData;

use ferrolite_model::TensorType;
use ferrolite_ops::{InputData, InputView, OutputData, OutputView, TensorValue};
use ferrolite_plan::{Graph, Place, Segment, StepOperand};

/// An interpreter's memory while one segment runs.
pub(crate) struct Memory<'a> {
    arena: *mut u8,
    arena_len: usize,
    slots: *mut TensorValue,
    slot_count: usize,
    graph: &'a Graph,
    segment: &'a Segment,
    owner: PhantomData<&'a mut TensorValue>,
}

impl<'a> Memory<'a> {
    /// Takes the arena and the slots for as long as views are made.
    pub fn new(
        graph: &'a Graph,
        segment: &'a Segment,
        arena: &'a mut [u8],
        slots: &'a mut [TensorValue],
    ) -> Self {
        Self {
            arena: arena.as_mut_ptr(),
            arena_len: arena.len(),
            slots: slots.as_mut_ptr(),
            slot_count: slots.len(),
            graph,
            segment,
            owner: PhantomData,
        }
    }

    #[inline]
    fn arena_range(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.arena_len),
            "an operand lies outside the arena"
        );
        // SAFETY: `offset <= arena_len`, checked above, so the pointer stays within the arena or one past its end.
        unsafe { self.arena.add(offset) }
    }

    #[inline]
    fn slot(&self, t: usize) -> *mut TensorValue {
        assert!(t < self.slot_count, "an operand names a slot that does not exist");
        // SAFETY: `t < slot_count`, checked above.
        unsafe { self.slots.add(t) }
    }

    /// The view of an input.
    ///
    /// # Safety
    /// While the view lives, no view of the same bytes may be written. Operands of one step of the segment this memory
    /// was made for satisfy that among each other.
    #[inline]
    pub unsafe fn input<'v>(&'v self, operand: &'v StepOperand) -> InputView<'v> {
        let mut shape: &[usize] = &operand.shape;
        let data = match operand.place {
            Place::Arena { offset, len } => {
                let start = self.arena_range(offset, len);
                // SAFETY: within the arena (checked), initialised bytes, not written meanwhile (the caller's promise).
                InputData::Bytes(unsafe { core::slice::from_raw_parts(start, len) })
            }
            Place::Slot(t) => {
                // SAFETY: a valid slot (checked), not written meanwhile (the caller's promise).
                let value: &TensorValue = unsafe { &*self.slot(t) };
                if operand.dynamic {
                    shape = value.shape();
                }
                content(value)
            }
            Place::Constant(t) if operand.dtype == TensorType::Variant => {
                self.graph.folded(t).map_or(InputData::Absent, content)
            }
            Place::Constant(t) => InputData::Bytes(self.graph.constant(t).unwrap_or_default()),
            Place::Folded(i) => content(&self.segment.constants[i]),
            Place::InPlace(output) => InputData::InPlace(output),
            Place::Absent => InputData::Absent,
        };
        InputView { dtype: operand.dtype, shape, data }
    }

    /// The view of an output or a state.
    ///
    /// # Safety
    /// While the view lives, no other view of the same bytes may exist. Operands of one step of the segment this memory
    /// was made for satisfy that among each other.
    #[inline]
    pub unsafe fn output<'v>(&'v self, operand: &'v StepOperand) -> OutputView<'v> {
        let data = match operand.place {
            // SAFETY: within the arena (checked), initialised bytes, no other view (the caller's promise).
            Place::Arena { offset, len } => OutputData::Bytes(unsafe {
                core::slice::from_raw_parts_mut(self.arena_range(offset, len), len)
            }),
            Place::Slot(t) => {
                // SAFETY: a valid slot (checked), no other view (the caller's promise).
                let value: &mut TensorValue = unsafe { &mut *self.slot(t) };
                if operand.dynamic { OutputData::Value(value) } else { OutputData::Bytes(value.bytes_mut()) }
            }
            // The planner gives outputs no other place; a kernel that writes here would only miss its bytes.
            Place::Constant(_) | Place::Folded(_) | Place::InPlace(_) | Place::Absent => {
                OutputData::Bytes(&mut [])
            }
        };
        OutputView { dtype: operand.dtype, shape: &operand.shape, data }
    }

    /// Lets the contents of two slots change places.
    ///
    /// # Safety
    /// No view of either slot is alive.
    pub unsafe fn swap(&self, (a, b): (usize, usize)) {
        // SAFETY: valid slots (checked), no views of them (the caller's promise); a slot may swap with itself.
        unsafe { core::ptr::swap(self.slot(a), self.slot(b)) };
    }

    /// Scratch memory of a step.
    ///
    /// # Safety
    /// As for [`Memory::output`].
    #[allow(clippy::mut_from_ref, reason = "disjointness is the planner's, as for outputs")]
    pub unsafe fn scratch(&self, (offset, len): (usize, usize)) -> &mut [u8] {
        // SAFETY: within the arena (checked), initialised bytes, no other view (the caller's promise).
        unsafe { core::slice::from_raw_parts_mut(self.arena_range(offset, len), len) }
    }
}

/// What a kernel sees of an input with memory of its own.
#[inline]
fn content(value: &TensorValue) -> InputData<'_> {
    match value.dtype() {
        TensorType::Variant => InputData::Value(value),
        _ => InputData::Bytes(value.bytes()),
    }
}
