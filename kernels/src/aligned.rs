//! Memory for packed weights: whole cache lines, so that vector loads never straddle two.

/// A cache line.
pub(crate) const LINE: usize = 64;

/// What memory is asked for in: fresh memory comes zeroed from the system, untouched, only for alignments up to this.
type Unit = u128;

/// A fixed-size buffer of plain numbers that starts on a cache line.
pub(crate) struct AlignedBuf<T> {
    units: Vec<Unit>,
    /// Units before the first line.
    skip: usize,
    len: usize,
    _of: core::marker::PhantomData<T>,
}

impl<T: bytemuck::Pod> AlignedBuf<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        const UNITS: usize = LINE / size_of::<Unit>();
        let lines = (len * size_of::<T>()).div_ceil(LINE);
        let units: Vec<Unit> = match lines {
            0 => Vec::new(),
            lines => vec![0; lines * UNITS + UNITS - 1],
        };
        let skip = units.as_ptr().addr().wrapping_neg() % LINE / size_of::<Unit>();
        Self { units, skip, len, _of: core::marker::PhantomData }
    }
}

impl<T: bytemuck::Pod> Clone for AlignedBuf<T> {
    /// The copy starts on a line too.
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: bytemuck::Pod> core::ops::Deref for AlignedBuf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        if self.units.is_empty() {
            return &[];
        }
        // SAFETY: behind the skipped units there are whole lines for `len` values, aligned for any plain number, and any
        // bytes are one.
        unsafe { core::slice::from_raw_parts(self.units.as_ptr().add(self.skip).cast(), self.len) }
    }
}

impl<T: bytemuck::Pod> core::ops::DerefMut for AlignedBuf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if self.units.is_empty() {
            return &mut [];
        }
        // SAFETY: as for `deref`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.units.as_mut_ptr().add(self.skip).cast(), self.len) }
    }
}

impl<T: bytemuck::Pod> core::fmt::Debug for AlignedBuf<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AlignedBuf({} x {})", self.len, core::any::type_name::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::AlignedBuf;

    #[test]
    fn starts_on_a_line_and_keeps_its_length() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut buf = AlignedBuf::<f32>::zeros(len);
            assert_eq!(buf.len(), len);
            assert!(len == 0 || buf.as_ptr().addr().is_multiple_of(64));
            buf.iter_mut().for_each(|v| *v = 1.0);
            assert!(buf.iter().all(|&v| v == 1.0));
            let copy = buf.clone();
            assert!(len == 0 || copy.as_ptr().addr().is_multiple_of(64));
            assert_eq!(copy[..], buf[..]);
        }
    }
}
