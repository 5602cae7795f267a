//! Pooling over windows of volumes.

use super::Window3d;
use crate::cpu::pool::Pooling;
use crate::error::ShapeError;
use crate::par::Par;

/// Windows that make one tile of work.
const TILE_WINDOWS: usize = 16;

/// Pools `input` into `out`, channel by channel. What lies outside of the volume does not count; a window that lies
/// outside altogether gives what `pooling` makes of no elements.
///
/// # Errors
/// If an operand has another length.
pub fn pool3d<T: Copy + Send + Sync, P: Pooling<T>>(
    par: Par,
    pooling: P,
    window: &Window3d,
    channels: usize,
    input: &[T],
    out: &mut [T],
) -> Result<(), ShapeError> {
    let (windows, positions) = (window.windows(), window.positions());
    ShapeError::check("input volume", window.batch * positions * channels, input.len())?;
    ShapeError::check("output volume", window.batch * windows * channels, out.len())?;
    if out.is_empty() {
        return Ok(());
    }
    par.chunks_mut(out, TILE_WINDOWS * channels, |tile, out| {
        for (i, out) in out.chunks_exact_mut(channels).enumerate() {
            let at = tile * TILE_WINDOWS + i;
            let volume = &input[at / windows * positions * channels..][..positions * channels];
            pool_window(pooling, window, at % windows, channels, volume, out);
        }
    });
    Ok(())
}

fn pool_window<T: Copy, P: Pooling<T>>(
    pooling: P,
    window: &Window3d,
    at: usize,
    channels: usize,
    volume: &[T],
    out: &mut [T],
) {
    let place = window.place(at);
    let [depth, height, width]: [_; 3] = core::array::from_fn(|axis| {
        let start = place[axis] * window.stride[axis];
        // A tap that lies inside is never before the first position.
        window.inside(axis, place[axis]).map(move |tap| start + tap - window.before[axis])
    });
    let count = depth.len() * height.len() * width.len();
    for (channel, out) in out.iter_mut().enumerate() {
        let mut acc = pooling.start();
        for z in depth.clone() {
            for y in height.clone() {
                let row = (z * window.input[1] + y) * window.input[2];
                for x in width.clone() {
                    acc = P::step(acc, volume[(row + x) * channels + channel]);
                }
            }
        }
        *out = pooling.finish(acc, count.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::pool::{Average, Max};

    #[test]
    fn padding_does_not_count() {
        let window = Window3d {
            batch: 1,
            input: [2, 2, 2],
            output: [2, 1, 1],
            kernel: [2, 2, 2],
            stride: [1, 2, 2],
            dilation: [1; 3],
            before: [0; 3],
        };
        let input: Vec<i8> = (0..16).collect();
        let mut out = [0i8; 4];
        let average = Average { low: -128, high: 127 };
        pool3d(Par::new(2), average, &window, 2, &input, &mut out).unwrap();
        assert_eq!(out, [7, 8, 11, 12]);
        pool3d(Par::serial(), Max { low: -128, high: 14 }, &window, 2, &input, &mut out).unwrap();
        assert_eq!(out, [14, 14, 14, 14]);
        assert!(pool3d(Par::serial(), average, &window, 3, &input, &mut out).is_err());
    }
}
