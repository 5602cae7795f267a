//! Scaled dot product attention.

use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::{Par, SharedMut};

/// Sizes of an attention over `[batch, positions, heads, size]` tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Batches.
    pub batch: usize,
    /// Positions of queries.
    pub queries: usize,
    /// Positions of keys and values.
    pub keys: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of queries that share one head of keys and values.
    pub shared: usize,
    /// Numbers of a head of queries and keys.
    pub size: usize,
    /// Numbers of a head of values.
    pub value_size: usize,
    /// Dimensions of the mask, each that of `[batch, heads, queries, keys]` or 1; `None` for no mask.
    pub mask: Option<[usize; 4]>,
}

/// `softmax(scale * q k^T + mask) v`, head by head.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    cpu: Cpu,
    heads: Heads,
    scale: f32,
}

/// The operands of one query.
struct Query<'a> {
    heads: &'a Heads,
    scale: f32,
    query: &'a [f32],
    /// Keys and values of the batch, from this head's first number on.
    keys: &'a [f32],
    values: &'a [f32],
    /// The mask's row, with the distance of its entries.
    mask: Option<(&'a [f32], usize)>,
    scores: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Query<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { heads, scale, query, keys, values, mask, scores, out } = self;
        let groups = heads.heads / heads.shared;
        let mut most = f32::NEG_INFINITY;
        for (at, score) in scores.iter_mut().enumerate() {
            let key = &keys[at * groups * heads.size..][..heads.size];
            *score = dot(isa, query, key) * scale + mask.map_or(0.0, |(row, step)| row[at * step]);
            most = most.max(*score);
        }
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            // Where everything is masked by minus infinity, nothing is subtracted and the sum is not a number.
            *score = (*score - most).exp();
            sum += *score;
        }
        out.fill(0.0);
        for (at, &score) in scores.iter().enumerate() {
            let value = &values[at * groups * heads.value_size..][..heads.value_size];
            add_scaled(isa, out, value, score / sum);
        }
    }
}

/// The sum of products, in as many interleaved sums as a vector has lanes.
#[inline(always)]
fn dot<S: Isa>(isa: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = isa.zero();
    for (a, b) in a.chunks(S::LANES).zip(b.chunks(S::LANES)) {
        sum = isa.fma(isa.load_part(a), isa.load_part(b), sum);
    }
    isa.reduce_add(sum)
}

/// `out += factor * row`
#[inline(always)]
fn add_scaled<S: Isa>(isa: S, out: &mut [f32], row: &[f32], factor: f32) {
    let factor = isa.splat(factor);
    for (out, row) in out.chunks_mut(S::LANES).zip(row.chunks(S::LANES)) {
        let sum = isa.fma(isa.load_part(row), factor, isa.load_part(out));
        isa.store_part(sum, out);
    }
}

impl Attention {
    /// An attention whose products are scaled by `scale`.
    #[must_use]
    pub fn new(cpu: Cpu, heads: Heads, scale: f32) -> Self {
        Self { cpu, heads, scale }
    }

    /// The kernel's name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("f32_attention_{}", self.cpu.name())
    }

    /// Floats of scratch that let every thread work.
    #[must_use]
    pub fn scratch_len(&self, par: Par) -> usize {
        self.heads.keys.saturating_mul(par.threads())
    }

    /// Computes `out`, `[batch, queries, heads, value_size]`.
    ///
    /// # Errors
    /// If an operand has another length, or the scratch is too short for one row of scores.
    #[expect(clippy::too_many_arguments, reason = "the operands of an attention")]
    pub fn run(
        &self,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        mask: Option<&[f32]>,
        out: &mut [f32],
        scratch: &mut [f32],
        par: Par,
    ) -> Result<(), ShapeError> {
        let heads = &self.heads;
        let groups = heads.heads / heads.shared;
        let rows = heads.batch * heads.queries * heads.heads;
        let (key_len, value_len) = (heads.keys * groups * heads.size, heads.keys * groups * heads.value_size);
        ShapeError::check("queries", rows * heads.size, queries.len())?;
        ShapeError::check("keys", heads.batch * key_len, keys.len())?;
        ShapeError::check("values", heads.batch * value_len, values.len())?;
        ShapeError::check("attention", rows * heads.value_size, out.len())?;
        ShapeError::check_at_least("scores of a query", heads.keys, scratch.len())?;
        let mask_len = heads.mask.map_or(0, |dims| dims.iter().product());
        ShapeError::check("mask", mask_len, mask.map_or(0, <[f32]>::len))?;
        let shared = SharedMut::new(out);
        par.for_each_tile_with(rows, scratch, heads.keys, |row, scores| {
            let (head, position) = (row % heads.heads, row / heads.heads);
            let (batch, at) = (position / heads.queries, position % heads.queries);
            let group = head / heads.shared;
            let mask = mask.zip(heads.mask).map(|(mask, dims)| {
                let pick = |axis: usize, index: usize| if dims[axis] == 1 { 0 } else { index };
                let row = (pick(0, batch) * dims[1] + pick(1, head)) * dims[2] + pick(2, at);
                (&mask[row * dims[3]..][..dims[3]], usize::from(dims[3] > 1))
            });
            // SAFETY: each tile is run once, and the rows of two tiles do not overlap.
            let out = unsafe { shared.range(row * heads.value_size, heads.value_size) };
            self.cpu.dispatch(Query {
                heads,
                scale: self.scale,
                query: &queries[row * heads.size..][..heads.size],
                keys: &keys[batch * key_len + group * heads.size..],
                values: &values[batch * value_len + group * heads.value_size..],
                mask,
                scores,
                out,
            });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_follows_the_definition() {
        let values = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 29 + seed * 17) % 31) as f32 / 16.0 - 1.0).collect()
        };
        let rows = [
            ("one group", 4, None),
            ("heads apart", 1, Some([1, 1, 3, 5])),
            ("groups", 2, Some([2, 4, 3, 5])),
            ("a mask for all", 2, Some([1, 1, 1, 1])),
        ];
        for (name, shared, mask_dims) in rows {
            let heads = Heads {
                batch: 2,
                queries: 3,
                keys: 5,
                heads: 4,
                shared,
                size: 7,
                value_size: 9,
                mask: mask_dims,
            };
            let groups = heads.heads / shared;
            let q = values(2 * 3 * 4 * 7, 1);
            let k = values(2 * 5 * groups * 7, 2);
            let v = values(2 * 5 * groups * 9, 3);
            let mask = mask_dims.map(|dims| values(dims.iter().product(), 4));
            let mut want = Vec::new();
            for (batch, at, head) in
                (0..2).flat_map(|b| (0..3).flat_map(move |q| (0..4).map(move |h| (b, q, h))))
            {
                let scores: Vec<f64> = (0..5)
                    .map(|key| {
                        let product: f64 = (0..7)
                            .map(|i| {
                                let query = q[((batch * 3 + at) * 4 + head) * 7 + i];
                                let key = k[((batch * 5 + key) * groups + head / shared) * 7 + i];
                                f64::from(query) * f64::from(key)
                            })
                            .sum();
                        let masked = mask.as_ref().zip(mask_dims).map_or(0.0, |(mask, dims)| {
                            let index = [batch, head, at, key];
                            let place =
                                (0..4).fold(0, |p, d| p * dims[d] + if dims[d] == 1 { 0 } else { index[d] });
                            mask[place]
                        });
                        (product * 0.5 + f64::from(masked)).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for i in 0..9 {
                    let value =
                        |key: usize| f64::from(v[((batch * 5 + key) * groups + head / shared) * 9 + i]);
                    want.push(
                        (scores.iter().enumerate().map(|(key, s)| s * value(key)).sum::<f64>() / sum) as f32,
                    );
                }
            }
            for cpu in Cpu::all() {
                for par in [Par::serial(), Par::new(3)] {
                    let attention = Attention::new(cpu, heads, 0.5);
                    let mut scratch = vec![0.0; attention.scratch_len(par)];
                    let mut got = vec![f32::NAN; want.len()];
                    attention.run(&q, &k, &v, mask.as_deref(), &mut got, &mut scratch, par).unwrap();
                    for (g, w) in got.iter().zip(&want) {
                        assert!((g - w).abs() < 1e-5, "{name} on {}: {g} instead of {w}", cpu.name());
                    }
                }
            }
        }
    }
}
