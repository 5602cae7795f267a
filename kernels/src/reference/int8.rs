//! Integer convolutions as plain loops.

use crate::cpu::int8::rows::Window;

/// The sums of a convolution over `[batch, height, width, channels]` images.
///
/// `filter` has the shape `[outputs, kernel height, kernel width, channels / groups]`. Both operands are given
/// less their zero points, so padding is zero. The result has the shape `[batch, height, width, outputs]`.
pub fn conv(x: &[i32], filter: &[i32], window: &Window, outputs: usize, groups: usize) -> Vec<i64> {
    let depth = window.channels / groups;
    sums(window, outputs, |pixel, tap, output| {
        let group = output / (outputs / groups);
        (0..depth)
            .map(|c| {
                let at = (output * window.kernel[0] * window.kernel[1] + tap) * depth + c;
                i64::from(x[pixel * window.channels + group * depth + c]) * i64::from(filter[at])
            })
            .sum()
    })
}

/// The sums of a depthwise convolution: output channel `o` sees input channel `o / multiplier` alone.
///
/// `filter` has the shape `[kernel height, kernel width, channels * multiplier]`; otherwise as [`conv`].
pub fn depthwise(x: &[i32], filter: &[i32], window: &Window, multiplier: usize) -> Vec<i64> {
    let outputs = window.channels * multiplier;
    sums(window, outputs, |pixel, tap, output| {
        i64::from(x[pixel * window.channels + output / multiplier])
            * i64::from(filter[tap * outputs + output])
    })
}

/// Sums `product(input pixel, tap, output channel)` over the taps that lie in the image.
fn sums(window: &Window, outputs: usize, product: impl Fn(usize, usize, usize) -> i64) -> Vec<i64> {
    let [out_h, out_w] = window.output;
    let [in_h, in_w] = window.input;
    let mut sums = Vec::with_capacity(window.pixels() * outputs);
    for image in 0..window.batch {
        for y in 0..out_h {
            for x in 0..out_w {
                for output in 0..outputs {
                    let mut sum = 0;
                    for ky in 0..window.kernel[0] {
                        for kx in 0..window.kernel[1] {
                            let sy = (y * window.stride[0] + ky * window.dilation[0]) as i64
                                - window.padding[0] as i64;
                            let sx = (x * window.stride[1] + kx * window.dilation[1]) as i64
                                - window.padding[1] as i64;
                            if (0..in_h as i64).contains(&sy) && (0..in_w as i64).contains(&sx) {
                                let pixel = (image * in_h + sy as usize) * in_w + sx as usize;
                                sum += product(pixel, ky * window.kernel[1] + kx, output);
                            }
                        }
                    }
                    sums.push(sum);
                }
            }
        }
    }
    sums
}
