//! Cutting the scratch memory of a kernel into typed slices.

use bytemuck::Pod;

/// Every slice starts at a multiple of this many bytes from the start of the scratch memory.
const ALIGN: usize = 64;

/// Adds up the sizes of slices as [`Scratch`] will cut them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScratchSize(usize);

impl ScratchSize {
    /// No slices.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// One more slice of `len` elements. Sizes beyond the address space saturate.
    #[must_use]
    pub const fn with<T>(self, len: usize) -> Self {
        let bytes = len.saturating_mul(size_of::<T>()).saturating_add(ALIGN - 1);
        Self(self.0.saturating_add(bytes - bytes % ALIGN))
    }

    /// Bytes of all slices.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// Scratch memory that is handed out slice by slice.
#[derive(Debug)]
pub struct Scratch<'a>(&'a mut [u8]);

impl<'a> Scratch<'a> {
    /// Takes the memory, which is aligned to 64 bytes.
    #[must_use]
    pub fn new(memory: &'a mut [u8]) -> Self {
        Self(memory)
    }

    /// The next slice of `len` elements, with unspecified content.
    ///
    /// # Panics
    /// When the memory is used up or misaligned: the kernel asked for less than it uses.
    pub fn take<T: Pod>(&mut self, len: usize) -> &'a mut [T] {
        let used = ScratchSize::new().with::<T>(len).bytes();
        let (head, tail) = core::mem::take(&mut self.0).split_at_mut(used);
        self.0 = tail;
        bytemuck::cast_slice_mut(&mut head[..len * size_of::<T>()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(64))]
    struct Aligned([u8; 256]);

    #[test]
    fn slices_fit_the_size_and_do_not_overlap() {
        let size = ScratchSize::new().with::<u8>(3).with::<f32>(17).with::<i16>(0);
        assert_eq!(size.bytes(), 64 + 128);
        let mut memory = Aligned([0; 256]);
        let mut scratch = Scratch::new(&mut memory.0[..size.bytes()]);
        scratch.take::<u8>(3).fill(1);
        scratch.take::<f32>(17).fill(1.0);
        assert!(scratch.take::<i16>(0).is_empty());
        assert_eq!(memory.0[..4], [1, 1, 1, 0]);
        assert_eq!(memory.0[64..68], 1f32.to_le_bytes());
        assert_eq!(memory.0[192..], [0; 64]);
    }
}
