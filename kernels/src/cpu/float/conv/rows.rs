//! Convolution windows as the rows of a matrix.

use super::shape::product;
use crate::cpu::float::gemm::{Even, MAX_ROWS, MAX_TAPS, RowSource, evenly};

/// How the pieces of a window are found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A piece is a row of the window, which lies in one run of memory; rows that hang over the left or right
    /// edge are copied.
    Lines,
    /// A piece is one tap; taps outside of the input point at zeros.
    Taps,
    /// Windows are copied: many taps of few channels.
    Copies,
}

impl Access {
    /// The cheapest way for a kernel and the channels of a group.
    pub(crate) fn choose(kernel: [usize; 3], dilation: [usize; 3], depth: usize, groups: usize) -> Self {
        const FEW_CHANNELS: usize = 8;
        if groups == 1
            && (dilation[2] == 1 || kernel[2] <= 1)
            && kernel[0].saturating_mul(kernel[1]) <= MAX_TAPS
        {
            Self::Lines
        } else if depth >= FEW_CHANNELS && product(&kernel) <= MAX_TAPS {
            Self::Taps
        } else {
            Self::Copies
        }
    }
}

/// Where the windows of a convolution lie and where their results go.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Windows {
    pub(crate) input: [usize; 3],
    /// Values from pixel to pixel of the input.
    pub(crate) in_channels: usize,
    /// Channels of a window.
    pub(crate) depth: usize,
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) dilation: [usize; 3],
    /// Where the first window starts, relative to the input.
    pub(crate) start: [isize; 3],
    /// Windows along each axis.
    pub(crate) count: [usize; 3],
    /// Size of the output image.
    pub(crate) output: [usize; 3],
    /// The output pixel of the first window and the pixels from window to window.
    pub(crate) out_first: [usize; 3],
    pub(crate) out_step: [usize; 3],
    pub(crate) out_channels: usize,
    pub(crate) access: Access,
}

impl Windows {
    pub(crate) fn per_image(&self) -> usize {
        product(&self.count)
    }

    pub(crate) fn window_len(&self) -> usize {
        product(&self.kernel) * self.depth
    }

    /// Whether a window hangs over the left or right edge.
    fn hangs_over(&self) -> bool {
        let last =
            self.start[2] + (self.count[2].saturating_sub(1) * self.stride[2] + self.kernel[2]) as isize;
        self.start[2] < 0 || last > self.input[2] as isize
    }

    /// Whether every window lies on the input with all its taps.
    fn inside(&self) -> bool {
        let covered = self.covered();
        (0..3).all(|axis| {
            usize::try_from(self.start[axis])
                .ok()
                .and_then(|start| start.checked_add(covered[axis]))
                .is_some_and(|end| end <= self.input[axis])
        })
    }

    /// Pixels along each axis from the first to the last that a window covers.
    pub(crate) fn covered(&self) -> [usize; 3] {
        core::array::from_fn(|axis| {
            let span = self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]) + 1;
            self.count[axis].saturating_sub(1).saturating_mul(self.stride[axis]).saturating_add(span)
        })
    }

    /// Windows of an image that hang over the left or right edge.
    pub(crate) fn hanging(&self) -> usize {
        let [depth, height, width] = self.count;
        let begin = |x: usize| self.start[2] + (x * self.stride[2]) as isize;
        let whole = (0..width).filter(|&x| self.whole_windows(begin(x), 1) > 0).count();
        product(&[depth, height, width - whole])
    }

    /// How many of `most` windows (one at least) from column `x` of the input on, one after another, hang over no edge.
    fn whole_windows(&self, x: isize, most: usize) -> usize {
        let span = (self.kernel[2].saturating_sub(1)) * self.dilation[2] + 1;
        match usize::try_from(x).ok().and_then(|x| self.input[2].checked_sub(x + span)) {
            None => 0,
            Some(room) if (most - 1) * self.stride[2] <= room => most,
            Some(room) => room / self.stride[2].max(1) + 1,
        }
    }

    /// The rows of the filter, plane by plane.
    fn filter_rows(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let [planes, rows, _] = self.kernel;
        (0..planes).flat_map(move |kz| (0..rows).map(move |ky| [kz, ky]))
    }

    /// Pieces of a row of the filter that is not copied, and values of each.
    fn pieces_of_a_filter_row(&self) -> (usize, usize) {
        match self.access {
            Access::Lines => (1, self.kernel[2] * self.depth),
            _ => (self.kernel[2], self.depth),
        }
    }

    /// Values that [`ConvRows::locate`] needs for a tile.
    pub(crate) fn scratch_len(&self) -> usize {
        match self.access {
            Access::Taps => 0,
            Access::Lines if !self.hangs_over() => 0,
            _ => MAX_ROWS * self.window_len(),
        }
    }

    /// Values of padding that must be at hand.
    pub(crate) fn padding_len(&self) -> usize {
        match self.access {
            Access::Lines => self.kernel[2] * self.depth,
            _ => self.depth,
        }
    }

    /// The window of a row.
    fn window(&self, row: usize) -> Window {
        let [depth, height, width] = self.count;
        // No division for the first plane and the first image, which most tensors have alone.
        let split = |at: usize, len: usize| if at < len { (0, at) } else { (at / len, at % len) };
        let (line, x) = split(row, width);
        let (plane, y) = split(line, height);
        let (image, z) = split(plane, depth);
        Window { image, at: [z, y, x] }
    }

    /// The first input pixel under a window, which may be padding.
    fn corner(&self, window: &Window) -> [isize; 3] {
        core::array::from_fn(|axis| self.start[axis] + (window.at[axis] * self.stride[axis]) as isize)
    }

    /// The line of the input, counted over all images, that a filter row of a window lies on.
    #[inline]
    fn line(&self, window: &Window, corner: [isize; 3], [kz, ky]: [usize; 2]) -> Option<usize> {
        let on = |axis: usize, tap: usize| {
            let at = corner[axis] + (tap * self.dilation[axis]) as isize;
            usize::try_from(at).ok().filter(|&at| at < self.input[axis])
        };
        Some((window.image * self.input[0] + on(0, kz)?) * self.input[1] + on(1, ky)?)
    }
}

/// The place of a window: its image and its position along each axis.
struct Window {
    image: usize,
    at: [usize; 3],
}

impl Window {
    /// Goes on by `windows`, at most to the first one of the next line.
    fn advance(&mut self, windows: usize, count: [usize; 3]) {
        self.at[2] += windows - 1;
        for axis in [2, 1, 0] {
            self.at[axis] += 1;
            if self.at[axis] < count[axis] {
                return;
            }
            self.at[axis] = 0;
        }
        self.image += 1;
    }
}

/// The windows of an input tensor as rows.
pub(crate) struct ConvRows<'a, T> {
    pub(crate) windows: Windows,
    /// The input from the group's first channel on.
    pub(crate) input: &'a [T],
    /// At least [`Windows::padding_len`] values of padding: zeros or zero points.
    pub(crate) padding: &'a [T],
}

impl<T: Copy> ConvRows<'_, T> {
    /// The values of a pixel.
    fn pixel(&self, pixel: usize, len: usize) -> &[T] {
        &self.input[pixel * self.windows.in_channels..][..len]
    }

    /// The filter row at column `x` of a line, copied with padding where it hangs over.
    #[inline]
    fn run(&self, line: usize, x: isize, copy: &mut [T]) -> *const T {
        let w = &self.windows;
        let first = line * w.input[2];
        match usize::try_from(x) {
            Ok(x) if x + w.kernel[2] <= w.input[2] => self.pixel(first + x, w.kernel[2] * w.depth).as_ptr(),
            _ => self.hanging_run(first, x, copy),
        }
    }

    /// A copy of the filter row at column `x` of the line whose first pixel is `first`.
    #[cold]
    fn hanging_run(&self, first: usize, x: isize, copy: &mut [T]) -> *const T {
        let w = &self.windows;
        let (width, kernel) = (w.input[2] as isize, w.kernel[2] as isize);
        let from = x.clamp(0, width);
        let to = (x + kernel).clamp(from, width);
        let before = (-x).clamp(0, kernel) as usize * w.depth;
        let inside = (to - from) as usize * w.depth;
        copy[..before].copy_from_slice(&self.padding[..before]);
        if inside > 0 {
            copy[before..before + inside].copy_from_slice(self.pixel(first + from as usize, inside));
        }
        let rest = copy.len() - before - inside;
        copy[before + inside..].copy_from_slice(&self.padding[..rest]);
        copy.as_ptr()
    }

    /// The pixel at column `x` of a line, or padding.
    fn tap(&self, line: Option<usize>, x: isize) -> &[T] {
        let w = &self.windows;
        match (line, usize::try_from(x)) {
            (Some(line), Ok(x)) if x < w.input[2] => self.pixel(line * w.input[2] + x, w.depth),
            _ => &self.padding[..w.depth],
        }
    }
}

impl<T: Copy> ConvRows<'_, T> {
    /// Locates windows that lie on the input with all their taps: a piece's place is its window's plus its tap's.
    fn locate_inside(&self, first: usize, rows: usize, height: usize, pieces: &mut [*const T]) {
        let w = &self.windows;
        let [_, lines, columns] = w.input;
        let mut places = [0; MAX_ROWS];
        let mut window = w.window(first);
        let mut row = 0;
        while row < rows {
            let at: [usize; 3] =
                core::array::from_fn(|axis| w.start[axis] as usize + window.at[axis] * w.stride[axis]);
            let line = (window.image * w.input[0] + at[0]) * lines + at[1];
            let count = (rows - row).min(w.count[2] - window.at[2]);
            let mut place = (line * columns + at[2]) * w.in_channels;
            for to in &mut places[row..row + count] {
                *to = place;
                place += w.stride[2] * w.in_channels;
            }
            window.advance(count, w.count);
            row += count;
        }
        let last = places[rows - 1];
        places[rows..height].fill(last);
        let (taps, piece_len) = w.pieces_of_a_filter_row();
        let tap_place = |[kz, ky, kx]: [usize; 3]| {
            ((kz * w.dilation[0] * lines + ky * w.dilation[1]) * columns + kx * w.dilation[2]) * w.in_channels
        };
        // The last window's last piece is within the input, so all are.
        let reach = tap_place([w.kernel[0] - 1, w.kernel[1] - 1, taps - 1]) + piece_len;
        let input = self.input[..last + reach].as_ptr();
        let mut pieces = pieces.chunks_exact_mut(height);
        for [kz, ky] in w.filter_rows() {
            for (kx, pieces) in (0..taps).zip(&mut pieces) {
                let tap = input.wrapping_add(tap_place([kz, ky, kx]));
                for (piece, &place) in pieces.iter_mut().zip(&places) {
                    *piece = tap.wrapping_add(place);
                }
            }
        }
    }

    /// Writes the address of each piece of a window that hangs over no edge at the sides, each of which is within the
    /// input up to `beyond` values behind its end. `None` if the window hangs over another edge.
    fn first_pieces(
        &self,
        window: &Window,
        corner: [isize; 3],
        beyond: usize,
        pieces: &mut [*const T],
    ) -> Option<()> {
        let w = &self.windows;
        let (taps, piece_len) = w.pieces_of_a_filter_row();
        let tap_step = w.dilation[2] * w.in_channels;
        let reach = taps.saturating_sub(1) * tap_step + beyond + piece_len;
        let (line_len, x) = (w.input[2] * w.in_channels, corner[2] as usize * w.in_channels);
        let mut pieces = pieces.iter_mut();
        for filter_row in w.filter_rows() {
            let line = w.line(window, corner, filter_row)?;
            // The last value of the last piece is within the input, so all are.
            let run = self.input[line * line_len + x..][..reach].as_ptr();
            for (tap, piece) in (0..taps).zip(&mut pieces) {
                *piece = run.wrapping_add(tap * tap_step);
            }
        }
        Some(())
    }

    /// Locates the windows of rows that follow each other in a line and hang over no edge: from each to the next
    /// it is the same step for every piece.
    fn locate_neighbours(
        &self,
        window: &Window,
        corner: [isize; 3],
        rows: core::ops::Range<usize>,
        height: usize,
        pieces: &mut [*const T],
    ) {
        let w = &self.windows;
        let (taps, piece_len) = w.pieces_of_a_filter_row();
        // From a window to the next, and from a tap to the next, in values.
        let (step, tap_step) = (w.stride[2] * w.in_channels, w.dilation[2] * w.in_channels);
        let reach = taps.saturating_sub(1) * tap_step + (rows.len() - 1) * step + piece_len;
        let (line_len, x) = (w.input[2] * w.in_channels, corner[2] as usize * w.in_channels);
        let mut pieces = pieces.chunks_exact_mut(height);
        for kz in 0..w.kernel[0] {
            for ky in 0..w.kernel[1] {
                let line = w.line(window, corner, [kz, ky]);
                // The last value of the last piece is within the input, so all are.
                let run = line.map(|line| self.input[line * line_len + x..][..reach].as_ptr());
                for (tap, pieces) in (0..taps).zip(&mut pieces) {
                    let pieces = &mut pieces[rows.clone()];
                    let Some(run) = run else {
                        pieces.fill(self.padding[..piece_len].as_ptr());
                        continue;
                    };
                    let mut from = run.wrapping_add(tap * tap_step);
                    for piece in pieces {
                        *piece = from;
                        from = from.wrapping_add(step);
                    }
                }
            }
        }
    }

    /// Locates the window of one row, copying what hangs over an edge.
    fn locate_one(
        &self,
        window: &Window,
        corner: [isize; 3],
        row: usize,
        height: usize,
        scratch: &mut [T],
        pieces: &mut [*const T],
    ) {
        let w = &self.windows;
        let run_len = w.kernel[2] * w.depth;
        let window_len = w.window_len();
        let may_copy = w.scratch_len() > 0;
        let mut piece = row;
        for (index, filter_row) in w.filter_rows().enumerate() {
            let line = w.line(window, corner, filter_row);
            let copy_at = row * window_len + index * run_len;
            let copy = if may_copy { &mut scratch[copy_at..copy_at + run_len] } else { &mut [] };
            let columns = (0..w.kernel[2]).map(|kx| corner[2] + (kx * w.dilation[2]) as isize);
            match w.access {
                Access::Lines => {
                    pieces[piece] = match line {
                        Some(line) => self.run(line, corner[2], copy),
                        None => self.padding[..run_len].as_ptr(),
                    };
                    piece += height;
                }
                Access::Taps => {
                    for x in columns {
                        pieces[piece] = self.tap(line, x).as_ptr();
                        piece += height;
                    }
                }
                Access::Copies => {
                    for (x, copy) in columns.zip(copy.chunks_exact_mut(w.depth.max(1))) {
                        copy.copy_from_slice(self.tap(line, x));
                    }
                }
            }
        }
        if w.access == Access::Copies {
            pieces[row] = scratch[row * window_len..][..window_len].as_ptr();
        }
    }
}

impl<T: Copy + Send + Sync> RowSource<T> for ConvRows<'_, T> {
    fn taps(&self) -> usize {
        let kernel = self.windows.kernel;
        match self.windows.access {
            Access::Lines => kernel[0] * kernel[1],
            Access::Taps => product(&kernel),
            Access::Copies => 1,
        }
    }

    fn depth(&self) -> usize {
        let w = &self.windows;
        match w.access {
            Access::Lines => w.kernel[2] * w.depth,
            Access::Taps => w.depth,
            Access::Copies => w.window_len(),
        }
    }

    fn scratch_len(&self) -> usize {
        self.windows.scratch_len()
    }

    fn locate(&self, first: usize, rows: usize, height: usize, scratch: &mut [T], pieces: &mut [*const T]) {
        let w = &self.windows;
        if w.access != Access::Copies && w.inside() && w.window_len() > 0 {
            return self.locate_inside(first, rows, height, pieces);
        }
        let mut window = w.window(first);
        let mut row = 0;
        while row < rows {
            let corner = w.corner(&window);
            let ahead = (rows - row).min(w.count[2] - window.at[2]);
            let whole = if w.access == Access::Copies { 0 } else { w.whole_windows(corner[2], ahead) };
            if whole > 0 {
                self.locate_neighbours(&window, corner, row..row + whole, height, pieces);
            } else {
                self.locate_one(&window, corner, row, height, scratch, pieces);
            }
            let done = whole.max(1);
            window.advance(done, w.count);
            row += done;
        }
        for piece in pieces.chunks_exact_mut(height) {
            let last = piece[rows - 1];
            piece[rows..].fill(last);
        }
    }

    fn locate_even(&self, first: usize, rows: usize, _: &mut [T], pieces: &mut [*const T]) -> Option<Even> {
        let w = &self.windows;
        if w.access == Access::Copies || w.out_step != [1; 3] {
            return None;
        }
        let window = w.window(first);
        let corner = w.corner(&window);
        if w.count[2] - window.at[2] < rows || w.whole_windows(corner[2], rows) < rows {
            return None;
        }
        let step = w.stride[2] * w.in_channels;
        self.first_pieces(&window, corner, (rows - 1) * step, pieces)?;
        Some(Even { step, out_start: first * w.out_channels, out_step: w.out_channels })
    }

    fn outputs(&self, first: usize, starts: &mut [usize]) {
        let w = &self.windows;
        if w.out_step == [1; 3] {
            return evenly(first * w.out_channels, w.out_channels, starts);
        }
        for (row, start) in starts.iter_mut().enumerate() {
            let Window { image, at } = w.window(first + row);
            let [z, y, x]: [usize; 3] =
                core::array::from_fn(|axis| w.out_first[axis] + at[axis] * w.out_step[axis]);
            *start = (((image * w.output[0] + z) * w.output[1] + y) * w.output[2] + x) * w.out_channels;
        }
    }
}
