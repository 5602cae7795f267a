//! Memory for packed weights: whole cache lines, so that vector loads never straddle two.

/// One cache line of plain data.
#[derive(Copy, Clone)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A fixed-size buffer of plain numbers that starts on a cache line.
pub(crate) struct AlignedBuf<T> {
    lines: Vec<Line>,
    len: usize,
    _of: core::marker::PhantomData<T>,
}

impl<T: bytemuck::Pod> AlignedBuf<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let lines = vec![Line([0; 64]); (len * size_of::<T>()).div_ceil(64)];
        Self { lines, len, _of: core::marker::PhantomData }
    }
}

impl<T: bytemuck::Pod> core::ops::Deref for AlignedBuf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `len` values, are aligned for any plain number, and any bytes are one.
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: bytemuck::Pod> core::ops::DerefMut for AlignedBuf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
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
        }
    }
}
