//! Float products and convolutions, summed in double precision.

/// `out[m][n] = sum over k of a(m, k) * b(k, n), + bias[n]`.
pub fn gemm(
    [m, n, k]: [usize; 3],
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(m * n);
    for row in 0..m {
        for column in 0..n {
            let sum: f64 = (0..k).map(|k| f64::from(a(row, k)) * f64::from(b(k, column))).sum();
            out.push((sum + bias.map_or(0.0, |bias| f64::from(bias[column]))) as f32);
        }
    }
    out
}

/// Sizes of a convolution over depth, height and width.
#[derive(Copy, Clone, Debug)]
pub struct ConvArgs {
    /// Images.
    pub batch: usize,
    /// Depth, height and width of the input.
    pub input: [usize; 3],
    /// Channels of the input.
    pub in_channels: usize,
    /// Depth, height and width of the output.
    pub output: [usize; 3],
    /// Channels of the output.
    pub out_channels: usize,
    /// Depth, height and width of the filter.
    pub kernel: [usize; 3],
    /// Steps between filter positions.
    pub stride: [usize; 3],
    /// Steps between filter taps.
    pub dilation: [usize; 3],
    /// Zeros before the input.
    pub pad_before: [usize; 3],
    /// Channel groups.
    pub groups: usize,
}

/// All positions of a box, first axis slowest.
fn positions(size: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..size[0]).flat_map(move |z| (0..size[1]).flat_map(move |y| (0..size[2]).map(move |x| [z, y, x])))
}

fn flat(at: [usize; 3], size: [usize; 3]) -> usize {
    (at[0] * size[1] + at[1]) * size[2] + at[2]
}

impl ConvArgs {
    /// The input position under a tap, if it is not padding.
    fn under(&self, out: [usize; 3], tap: [usize; 3]) -> Option<[usize; 3]> {
        let mut at = [0; 3];
        for axis in 0..3 {
            let padded = out[axis] * self.stride[axis] + tap[axis] * self.dilation[axis];
            at[axis] = padded.checked_sub(self.pad_before[axis]).filter(|&p| p < self.input[axis])?;
        }
        Some(at)
    }
}

/// Convolution of `[batch, d, h, w, in]` with a filter `[out, kd, kh, kw, in / groups]`.
pub fn conv(args: &ConvArgs, input: &[f32], filter: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let (per_group_in, per_group_out) = (args.in_channels / args.groups, args.out_channels / args.groups);
    let taps: usize = args.kernel.iter().product();
    let pixels: usize = args.input.iter().product();
    let mut out = Vec::new();
    for image in 0..args.batch {
        for at in positions(args.output) {
            for channel in 0..args.out_channels {
                let mut sum = bias.map_or(0.0, |bias| f64::from(bias[channel]));
                for tap in positions(args.kernel) {
                    let Some(under) = args.under(at, tap) else { continue };
                    for c in 0..per_group_in {
                        let from = (image * pixels + flat(under, args.input)) * args.in_channels
                            + channel / per_group_out * per_group_in
                            + c;
                        let weight = (channel * taps + flat(tap, args.kernel)) * per_group_in + c;
                        sum += f64::from(input[from]) * f64::from(filter[weight]);
                    }
                }
                out.push(sum as f32);
            }
        }
    }
    out
}

/// Depthwise convolution of `[batch, h, w, in]` with a filter `[kh, kw, out]`, where output channel `c` reads
/// input channel `c / (out / in)`.
pub fn depthwise(args: &ConvArgs, input: &[f32], filter: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let multiplier = args.out_channels / args.in_channels;
    let pixels: usize = args.input.iter().product();
    let mut out = Vec::new();
    for image in 0..args.batch {
        for at in positions(args.output) {
            for channel in 0..args.out_channels {
                let mut sum = bias.map_or(0.0, |bias| f64::from(bias[channel]));
                for tap in positions(args.kernel) {
                    let Some(under) = args.under(at, tap) else { continue };
                    let from =
                        (image * pixels + flat(under, args.input)) * args.in_channels + channel / multiplier;
                    let weight = flat(tap, args.kernel) * args.out_channels + channel;
                    sum += f64::from(input[from]) * f64::from(filter[weight]);
                }
                out.push(sum as f32);
            }
        }
    }
    out
}

/// Transposed convolution of `[batch, d, h, w, in]` with a filter `[out, kd, kh, kw, in]`: each input value is
/// spread over the output positions `at * stride + tap - pad_before`.
pub fn transpose_conv(args: &ConvArgs, input: &[f32], filter: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let taps: usize = args.kernel.iter().product();
    let (in_pixels, out_pixels): (usize, usize) = (args.input.iter().product(), args.output.iter().product());
    let mut sums = vec![0.0; args.batch * out_pixels * args.out_channels];
    for image in 0..args.batch {
        for at in positions(args.input) {
            for tap in positions(args.kernel) {
                let mut to = [0; 3];
                let inside = (0..3).all(|axis| {
                    let padded = at[axis] * args.stride[axis] + tap[axis];
                    to[axis] = padded.wrapping_sub(args.pad_before[axis]);
                    to[axis] < args.output[axis]
                });
                if !inside {
                    continue;
                }
                for channel in 0..args.out_channels {
                    let sum =
                        &mut sums[(image * out_pixels + flat(to, args.output)) * args.out_channels + channel];
                    for c in 0..args.in_channels {
                        let value = input[(image * in_pixels + flat(at, args.input)) * args.in_channels + c];
                        let weight = filter[(channel * taps + flat(tap, args.kernel)) * args.in_channels + c];
                        *sum += f64::from(value) * f64::from(weight);
                    }
                }
            }
        }
    }
    let biased = sums.iter().enumerate();
    biased
        .map(|(i, sum)| (sum + bias.map_or(0.0, |bias| f64::from(bias[i % args.out_channels]))) as f32)
        .collect()
}
