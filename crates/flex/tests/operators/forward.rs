//! Forward functions in float64, written as they are defined, for gradients to be compared with.

/// How a window's edges are treated.
#[derive(Clone, Copy)]
pub enum Padding {
    Same,
    Valid,
    /// Before and behind each axis.
    Explicit([(usize, usize); 3]),
}

/// A window that moves over images or volumes, channels last; images have a depth of 1.
#[derive(Clone, Copy)]
pub struct Window {
    pub batch: usize,
    pub input: [usize; 3],
    pub channels: usize,
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub dilation: [usize; 3],
    pub padding: Padding,
}

impl Window {
    /// Output size, and how far the first window lies before the input.
    fn axis(&self, axis: usize) -> (usize, usize) {
        let (input, stride) = (self.input[axis], self.stride[axis]);
        let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        match self.padding {
            Padding::Valid => ((input - reach) / stride + 1, 0),
            Padding::Explicit(pads) => {
                let (before, behind) = pads[axis];
                ((input + before + behind - reach) / stride + 1, before)
            }
            Padding::Same => {
                let output = input.div_ceil(stride);
                (output, ((output - 1) * stride + reach).saturating_sub(input) / 2)
            }
        }
    }

    pub fn output(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.axis(axis).0)
    }

    /// Shape of the output with this many channels, for `rank` spatial axes.
    pub fn output_shape(&self, rank: usize, channels: usize) -> Vec<usize> {
        [&[self.batch], &self.output()[3 - rank..], &[channels]].concat()
    }

    pub fn input_shape(&self, rank: usize) -> Vec<usize> {
        [&[self.batch], &self.input[3 - rank..], &[self.channels]].concat()
    }

    /// Calls `visit` with output pixel, tap and input pixel, for all that meet.
    fn meet(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let axes = [0, 1, 2].map(|axis| self.axis(axis));
        let count = |sizes: [usize; 3]| sizes.iter().product::<usize>();
        let split = |at: usize, [_, h, w]: [usize; 3]| [at / (h * w), at / w % h, at % w];
        let output = self.output();
        for image in 0..self.batch {
            for pixel in 0..count(output) {
                for tap in 0..count(self.kernel) {
                    let (p, t) = (split(pixel, output), split(tap, self.kernel));
                    let at = [0, 1, 2].map(|a| {
                        (p[a] * self.stride[a] + t[a] * self.dilation[a])
                            .checked_sub(axes[a].1)
                            .filter(|&i| i < self.input[a])
                    });
                    if let [Some(d), Some(h), Some(w)] = at {
                        let from = (d * self.input[1] + h) * self.input[2] + w;
                        visit(image * count(output) + pixel, tap, image * count(self.input) + from);
                    }
                }
            }
        }
    }

    fn pixels(&self) -> usize {
        self.batch * self.output().iter().product::<usize>()
    }

    /// The filter is [taps, channels / groups, outputs].
    pub fn convolution(&self, x: &[f64], filter: &[f64], outputs: usize, groups: usize) -> Vec<f64> {
        let mut y = vec![0.0; self.pixels() * outputs];
        let group = self.channels / groups;
        self.meet(|pixel, tap, from| {
            for o in 0..outputs {
                for c in 0..group {
                    let channel = o / (outputs / groups) * group + c;
                    y[pixel * outputs + o] +=
                        x[from * self.channels + channel] * filter[(tap * group + c) * outputs + o];
                }
            }
        });
        y
    }

    /// The filter is [taps, channels, multiplier].
    pub fn depthwise(&self, x: &[f64], filter: &[f64], multiplier: usize) -> Vec<f64> {
        let outputs = self.channels * multiplier;
        let mut y = vec![0.0; self.pixels() * outputs];
        self.meet(|pixel, tap, from| {
            for o in 0..outputs {
                y[pixel * outputs + o] +=
                    x[from * self.channels + o / multiplier] * filter[tap * outputs + o];
            }
        });
        y
    }

    pub fn max_pool(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![f64::NEG_INFINITY; self.pixels() * self.channels];
        self.meet(|pixel, _, from| {
            for c in 0..self.channels {
                let y = &mut y[pixel * self.channels + c];
                *y = y.max(x[from * self.channels + c]);
            }
        });
        y
    }

    /// What lies outside does not count.
    pub fn average_pool(&self, x: &[f64]) -> Vec<f64> {
        let (mut y, mut counts) = (vec![0.0; self.pixels() * self.channels], vec![0.0; self.pixels()]);
        self.meet(|pixel, _, from| {
            counts[pixel] += 1.0;
            for c in 0..self.channels {
                y[pixel * self.channels + c] += x[from * self.channels + c];
            }
        });
        y.iter().enumerate().map(|(i, y)| y / counts[i / self.channels]).collect()
    }
}

/// Batch normalization by the mean and variance given, or those of `x`.
pub fn batch_norm(
    x: &[f64],
    scale: &[f64],
    offset: &[f64],
    moments: Option<(&[f64], &[f64])>,
    epsilon: f64,
) -> Vec<f64> {
    let channels = scale.len();
    let own = self::moments(x, channels);
    let (mean, variance) = moments.unwrap_or((&own.0, &own.1));
    let normal = |i: usize, x: f64| {
        let c = i % channels;
        (x - mean[c]) / (variance[c] + epsilon).sqrt() * scale[c] + offset[c]
    };
    x.iter().enumerate().map(|(i, &x)| normal(i, x)).collect()
}

/// Mean and variance of each channel.
pub fn moments(x: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / channels) as f64;
    let column = |c: usize| x.iter().skip(c).step_by(channels);
    let mean: Vec<f64> = (0..channels).map(|c| column(c).sum::<f64>() / rows).collect();
    let variance = |c: usize| column(c).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / rows;
    let variance = (0..channels).map(variance).collect();
    (mean, variance)
}

/// The cross-entropy of each row of logits with its labels.
pub fn cross_entropy(logits: &[f64], labels: &[f64], classes: usize) -> Vec<f64> {
    let row = |(logits, labels): (&[f64], &[f64])| {
        let log = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        logits.iter().zip(labels).map(|(x, l)| l * (log - x)).sum()
    };
    logits.chunks(classes).zip(labels.chunks(classes)).map(row).collect()
}

/// Where resizing takes a pixel from.
#[derive(Clone, Copy)]
pub struct Resize {
    pub align_corners: bool,
    pub half_pixel_centers: bool,
    pub from: [usize; 2],
    pub to: [usize; 2],
    pub channels: usize,
}

impl Resize {
    fn scale(&self, axis: usize) -> f64 {
        let (from, to) = (self.from[axis] as f64, self.to[axis] as f64);
        if self.align_corners && to > 1.0 { (from - 1.0) / (to - 1.0) } else { from / to }
    }

    /// The pixels an output pixel is made of, with their shares.
    fn linear(&self, axis: usize, at: usize) -> [(usize, f64); 2] {
        let half = if self.half_pixel_centers { 0.5 } else { 0.0 };
        let last = self.from[axis] as f64 - 1.0;
        let place = ((at as f64 + half) * self.scale(axis) - half).clamp(0.0, last);
        let share = place - place.floor();
        [(place.floor() as usize, 1.0 - share), (place.ceil() as usize, share)]
    }

    fn nearest(&self, axis: usize, at: usize) -> [(usize, f64); 1] {
        let half = if self.half_pixel_centers { 0.5 } else { 0.0 };
        let place = (at as f64 + half) * self.scale(axis);
        let place = if self.align_corners { (place + 0.5).floor() } else { place.floor() };
        [((place as usize).min(self.from[axis] - 1), 1.0)]
    }

    fn mix<const N: usize>(&self, x: &[f64], of: impl Fn(usize, usize) -> [(usize, f64); N]) -> Vec<f64> {
        let ([_, width], c) = (self.from, self.channels);
        let images = x.len() / (self.from[0] * width * c);
        let mut y = Vec::new();
        for image in 0..images {
            for (row, column) in (0..self.to[0]).flat_map(|r| (0..self.to[1]).map(move |c| (r, c))) {
                for channel in 0..c {
                    let mut sum = 0.0;
                    for (h, share_h) in of(0, row) {
                        for (w, share_w) in of(1, column) {
                            let at = ((image * self.from[0] + h) * width + w) * c + channel;
                            sum += share_h * share_w * x[at];
                        }
                    }
                    y.push(sum);
                }
            }
        }
        y
    }

    pub fn bilinear(&self, x: &[f64]) -> Vec<f64> {
        self.mix(x, |axis, at| self.linear(axis, at))
    }

    pub fn nearest_neighbor(&self, x: &[f64]) -> Vec<f64> {
        self.mix(x, |axis, at| self.nearest(axis, at))
    }
}

/// Pads a matrix with its mirror image, which leaves the edge itself out (REFLECT) or repeats it (SYMMETRIC).
pub fn mirror_pad(
    x: &[f64],
    [rows, columns]: [usize; 2],
    pads: [(usize, usize); 2],
    repeat: bool,
) -> Vec<f64> {
    let places = |size: usize, (before, behind): (usize, usize)| -> Vec<usize> {
        let skip = usize::from(!repeat);
        let front = (0..before).rev().map(|i| i + skip);
        let back = (0..behind).map(|i| size - 1 - skip - i);
        front.chain(0..size).chain(back).collect()
    };
    let across = places(columns, pads[1]);
    places(rows, pads[0]).iter().flat_map(|r| across.iter().map(move |c| x[r * columns + c])).collect()
}
