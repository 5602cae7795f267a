//! Some tiles: to their points, through the products, and back.

use core::ops::Range;

use super::{POINTS, STEP, WinogradF32};
use crate::cpu::float::epilogue::Epilogue;
use crate::cpu::float::gemm::{PanelData, dense_by_panel};
use crate::isa::{Isa, Kernel};
use crate::par::SharedMut;

/// Inputs under a tile along an axis, and points along one.
const SIDE: usize = 4;
/// Outputs of a tile.
const OUTPUTS: usize = STEP * STEP;

/// Tiles to compute; lengths were checked, and no other block has one of them.
pub(super) struct Block<'a> {
    pub(super) op: &'a WinogradF32,
    pub(super) input: &'a [f32],
    pub(super) out: &'a SharedMut<'a, f32>,
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) tiles: Range<usize>,
    pub(super) scratch: &'a mut [f32],
}

/// A tile's image and its first output.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    y: usize,
    x: usize,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { op, input, out, epilogue, tiles, scratch } = self;
        let depth = op.shape.in_channels;
        let [before, after] = op.point_steps(tiles.len());
        let (points, products) = scratch.split_at_mut(POINTS * before);
        let products = &mut products[..POINTS * after];
        for (at, place) in op.places(tiles.clone()).enumerate() {
            spread(isa, op, input, place, &mut points[at * depth..], before);
        }
        let panels = op.weights.panels();
        let PanelData::Single(weights) = panels.data else { unreachable!("they are packed as such") };
        for panel in 0..panels.count() {
            let (first, columns, width) = panels.layout.columns(panel);
            let (start, len) = panels.layout.place(panel);
            let each = weights[start..start + len].chunks_exact((depth + 1) * width);
            for (point, weights) in each.enumerate() {
                let rows = &points[point * before..][..tiles.len() * depth];
                let sums = &mut products[point * after..][..tiles.len() * width];
                dense_by_panel(isa, rows, depth, weights, width, sums);
            }
            for (at, place) in op.places(tiles.clone()).enumerate() {
                for column in (0..columns).step_by(S::LANES) {
                    let sums = &products[at * width + column..];
                    gather(isa, op, sums, after, out, epilogue, place, first + column);
                }
            }
        }
    }
}

impl WinogradF32 {
    /// Where tiles lie: each follows from the one before, as a division for each would take as long as a vector of it.
    fn places(&self, tiles: Range<usize>) -> impl Iterator<Item = Place> {
        let [down, across] = self.tiles;
        let (line, x) = (tiles.start / across, tiles.start % across);
        let mut next = Place { image: line / down, y: line % down * STEP, x: x * STEP };
        tiles.map(move |_| {
            let place = next;
            next.x += STEP;
            if next.x == across * STEP {
                (next.x, next.y) = (0, next.y + STEP);
            }
            if next.y == down * STEP {
                (next.y, next.image) = (0, next.image + 1);
            }
            place
        })
    }
}

/// Brings the inputs under a tile to its points: `Bᵀ d B` with `Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]`, each written `step`
/// values behind the one before.
#[inline(always)]
fn spread<S: Isa>(isa: S, op: &WinogradF32, input: &[f32], place: Place, points: &mut [f32], step: usize) {
    let [_, height, width] = op.shape.input;
    let [_, top, left] = op.shape.pad_before;
    let depth = op.shape.in_channels;
    let mut pixels = [op.zeros.as_ptr(); POINTS];
    for (i, pixel) in pixels.iter_mut().enumerate() {
        // Before the image, these are beyond it.
        let y = (place.y + i / SIDE).wrapping_sub(top);
        let x = (place.x + i % SIDE).wrapping_sub(left);
        if y < height && x < width {
            *pixel = input[((place.image * height + y) * width + x) * depth..][..depth].as_ptr();
        }
    }
    assert!(points.len() >= (POINTS - 1) * step + depth && op.zeros.len() == depth);
    for channel in (0..depth).step_by(S::LANES) {
        let mut rows = [[isa.zero(); SIDE]; SIDE];
        for x in 0..SIDE {
            let mut column = [isa.zero(); SIDE];
            for (y, value) in column.iter_mut().enumerate() {
                // SAFETY: a pixel has `depth` channels, a multiple of the lanes.
                *value = unsafe { isa.load_ptr(pixels[SIDE * y + x].add(channel)) };
            }
            let column = of_four(isa, column);
            for y in 0..SIDE {
                rows[y][x] = column[y];
            }
        }
        for (y, &row) in rows.iter().enumerate() {
            let row = of_four(isa, row);
            for (x, &value) in row.iter().enumerate() {
                let point = SIDE * y + x;
                // SAFETY: the length was checked above.
                unsafe { isa.store_ptr(value, points.as_mut_ptr().add(point * step + channel)) };
            }
        }
    }
}

/// `Bᵀ d` for a line of four inputs.
#[inline(always)]
fn of_four<S: Isa>(isa: S, [a, b, c, d]: [S::F; SIDE]) -> [S::F; SIDE] {
    [isa.sub(a, c), isa.add(b, c), isa.sub(c, b), isa.sub(b, d)]
}

/// `Aᵀ m` for a line of four products, with `Aᵀ = [1 1 1 0; 0 1 -1 -1]`.
#[inline(always)]
fn to_two<S: Isa>(isa: S, [a, b, c, d]: [S::F; SIDE]) -> [S::F; STEP] {
    [isa.add(isa.add(a, b), c), isa.sub(isa.sub(b, c), d)]
}

/// Brings a vector of a tile's products, each `step` values behind the one before, to its outputs: `Aᵀ m A`, then the epilogue.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "both sides of a tile")]
fn gather<S: Isa>(
    isa: S,
    op: &WinogradF32,
    products: &[f32],
    step: usize,
    out: &SharedMut<'_, f32>,
    epilogue: &Epilogue<'_>,
    place: Place,
    column: usize,
) {
    assert!(products.len() >= (POINTS - 1) * step + S::LANES);
    let mut rows = [[isa.zero(); SIDE]; STEP];
    for x in 0..SIDE {
        let mut line = [isa.zero(); SIDE];
        for (y, value) in line.iter_mut().enumerate() {
            // SAFETY: the length was checked above.
            *value = unsafe { isa.load_ptr(products.as_ptr().add((SIDE * y + x) * step)) };
        }
        let [upper, lower] = to_two(isa, line);
        rows[0][x] = upper;
        rows[1][x] = lower;
    }
    // Outputs beyond the edges are left out.
    let [height, width] = op.output;
    let mut values = [[isa.zero(); 1]; OUTPUTS];
    let mut starts = [0; OUTPUTS];
    let mut count = 0;
    for (y, &row) in rows.iter().enumerate() {
        for (x, &value) in to_two(isa, row).iter().enumerate() {
            if place.y + y < height && place.x + x < width {
                let pixel = (place.image * height + place.y + y) * width + place.x + x;
                values[count] = [value];
                starts[count] = pixel * op.pixel_step + column;
                count += 1;
            }
        }
    }
    let starts = &starts[..count];
    for &start in starts {
        out.check(start, S::LANES);
    }
    if let Some(residual) = epilogue.residual {
        for (value, &start) in values.iter_mut().zip(starts) {
            value[0] = isa.add(value[0], isa.load(&residual[start..]));
        }
    }
    let rows = starts.iter().map(|&start| out.as_mut_ptr().wrapping_add(start));
    // SAFETY: the places were checked, and nobody else writes there.
    unsafe {
        if epilogue.activation.follows() {
            return epilogue.activation.follow(isa, &values, rows, S::LANES);
        }
        epilogue.activation.apply(isa, &mut values);
        for (&[value], to) in values.iter().zip(rows) {
            isa.store_ptr(value, to);
        }
    }
}
