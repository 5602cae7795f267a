//! Where the windows of a volume lie.

use core::ops::Range;

/// The windows of a volume: sizes per axis are depth, height, width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window3d {
    /// Volumes.
    pub batch: usize,
    /// Size of the side that is read by a convolution or pooling.
    pub input: [usize; 3],
    /// Number of windows.
    pub output: [usize; 3],
    /// Taps of a window.
    pub kernel: [usize; 3],
    /// Distance of windows.
    pub stride: [usize; 3],
    /// Distance of taps.
    pub dilation: [usize; 3],
    /// Positions before the input's first that the first window covers.
    pub before: [usize; 3],
}

impl Window3d {
    /// Taps of a window.
    #[must_use]
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Windows of one volume.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.output.iter().product()
    }

    /// Positions of one input volume.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.input.iter().product()
    }

    /// Depth, row and column of the window with this number.
    #[must_use]
    pub fn place(&self, window: usize) -> [usize; 3] {
        let [_, height, width] = self.output;
        [window / (height * width), window / width % height, window % width]
    }

    /// The input position along `axis` of a window's tap; `None` in the padding.
    #[must_use]
    pub fn read(&self, axis: usize, window: usize, tap: usize) -> Option<usize> {
        (window * self.stride[axis] + tap * self.dilation[axis])
            .checked_sub(self.before[axis])
            .filter(|&at| at < self.input[axis])
    }

    /// The taps of a window along `axis` that lie in the input, for windows without dilation.
    #[must_use]
    pub fn inside(&self, axis: usize, window: usize) -> Range<usize> {
        let start = window * self.stride[axis];
        let first = self.before[axis].saturating_sub(start).min(self.kernel[axis]);
        let last = (self.input[axis] + self.before[axis]).saturating_sub(start).min(self.kernel[axis]);
        first..last.max(first)
    }

    /// Calls `visit(tap, position)` for every tap of a window, both numbered row by row; no position in the padding.
    pub fn for_each_tap(&self, window: usize, mut visit: impl FnMut(usize, Option<usize>)) {
        let at = self.place(window);
        let [depth, height, width] = self.kernel;
        let mut tap = 0;
        for z in 0..depth {
            let z = self.read(0, at[0], z);
            for y in 0..height {
                let row = z.zip(self.read(1, at[1], y)).map(|(z, y)| (z * self.input[1] + y) * self.input[2]);
                for x in 0..width {
                    visit(tap, row.zip(self.read(2, at[2], x)).map(|(row, x)| row + x));
                    tap += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_in_the_padding_have_no_position() {
        let window = Window3d {
            batch: 1,
            input: [1, 2, 3],
            output: [1, 2, 2],
            kernel: [1, 2, 2],
            stride: [1, 1, 2],
            dilation: [1, 1, 1],
            before: [0, 1, 0],
        };
        let taps = |w| {
            let mut taps = Vec::new();
            window.for_each_tap(w, |tap, at| taps.push((tap, at)));
            taps
        };
        assert_eq!(taps(0), [(0, None), (1, None), (2, Some(0)), (3, Some(1))]);
        assert_eq!(taps(3), [(0, Some(2)), (1, None), (2, Some(5)), (3, None)]);
        assert_eq!((window.inside(1, 0), window.inside(2, 1)), (1..2, 0..1));
    }
}
