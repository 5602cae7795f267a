//! The operands of an element-wise kernel that may run in place.

use core::marker::PhantomData;

/// A source and a destination of equal length that are either disjoint or the very same memory.
///
/// Kernels walk it front to back and read an element before they write it, so one loop serves both cases.
#[derive(Debug)]
pub struct InOut<'a, T> {
    src: *const T,
    dst: *mut T,
    len: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: an `InOut` stands for a `&'a [T]` and a `&'a mut [T]` (or for the latter alone), which are `Send` for such `T`.
unsafe impl<T: Send + Sync> Send for InOut<'_, T> {}

impl<'a, T: Copy> InOut<'a, T> {
    /// Reads `src` and writes `dst`; `None` if their lengths differ.
    #[must_use]
    pub fn apart(src: &'a [T], dst: &'a mut [T]) -> Option<Self> {
        (src.len() == dst.len()).then_some(Self {
            src: src.as_ptr(),
            dst: dst.as_mut_ptr(),
            len: dst.len(),
            memory: PhantomData,
        })
    }

    /// Reads and writes `data`.
    #[must_use]
    pub fn in_place(data: &'a mut [T]) -> Self {
        let dst = data.as_mut_ptr();
        Self { src: dst, dst, len: data.len(), memory: PhantomData }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where to read; valid for [`InOut::len`] elements.
    #[must_use]
    pub fn src(&self) -> *const T {
        self.src
    }

    /// Where to write; valid for [`InOut::len`] elements. Either equal to [`InOut::src`] or disjoint from it.
    #[must_use]
    pub fn dst(&mut self) -> *mut T {
        self.dst
    }

    /// Splits into pieces of `len` elements (the last one shorter) that can be worked on independently.
    ///
    /// # Panics
    /// When `len` is 0.
    pub fn chunks(self, len: usize) -> impl Iterator<Item = InOut<'a, T>> {
        assert!(len > 0, "a chunk has at least one element");
        (0..self.len).step_by(len).map(move |start| InOut {
            // SAFETY: `start < self.len`, and both pointers are valid for `self.len` elements.
            src: unsafe { self.src.add(start) },
            // SAFETY: as above; the ranges of different chunks do not overlap.
            dst: unsafe { self.dst.add(start) },
            len: len.min(self.len - start),
            memory: PhantomData,
        })
    }

    /// Replaces each element by `f` of it.
    pub fn map(self, mut f: impl FnMut(T) -> T) {
        for i in 0..self.len {
            // SAFETY: `i < self.len`; the element is read before its place is written.
            unsafe { self.dst.add(i).write(f(self.src.add(i).read())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_place_and_apart_agree() {
        let src = [1, 2, 3, 4, 5];
        let mut apart = [0; 5];
        InOut::apart(&src, &mut apart).unwrap().map(|x| x * x);
        let mut same = src;
        for chunk in InOut::in_place(&mut same).chunks(2) {
            chunk.map(|x| x * x);
        }
        assert_eq!(apart, [1, 4, 9, 16, 25]);
        assert_eq!(same, apart);
        assert!(InOut::apart(&src, &mut [0; 4]).is_none());
    }
}
