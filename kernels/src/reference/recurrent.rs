//! The LSTM one number at a time, in double precision.

/// The parameters of a gate: row-major matrices with a row per cell, vectors with an element per cell.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Weights of the input.
    pub input: Vec<f32>,
    /// Weights of the previous output.
    pub recurrent: Vec<f32>,
    /// Weights of the cell state; empty for none.
    pub peephole: Vec<f32>,
    /// Coefficients of layer normalization; empty for none.
    pub norm: Vec<f32>,
    /// Bias.
    pub bias: Vec<f32>,
}

/// A layer whose cells are activated by tanh.
#[derive(Clone, Debug, Default)]
pub struct Lstm {
    /// The input gate; `None` couples it to the forget gate.
    pub input: Option<Gate>,
    /// The forget gate.
    pub forget: Gate,
    /// The cell gate.
    pub cell: Gate,
    /// The output gate.
    pub output: Gate,
    /// Weights of the projection, a row per output; empty for none.
    pub projection: Vec<f32>,
    /// Bound of the cell state; 0 for none.
    pub cell_clip: f64,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The product of a row-major matrix with a vector.
fn product(matrix: &[f32], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum()).collect()
}

impl Gate {
    fn sums(&self, x: &[f64], h: &[f64], c: &[f64]) -> Vec<f64> {
        let (x, h) = (product(&self.input, x), product(&self.recurrent, h));
        let mut sums: Vec<f64> = x.iter().zip(&h).map(|(x, h)| x + h).collect();
        for ((s, &w), &c) in sums.iter_mut().zip(&self.peephole).zip(c) {
            *s += f64::from(w) * c;
        }
        if !self.norm.is_empty() {
            let n = sums.len() as f64;
            let mean = sums.iter().sum::<f64>() / n;
            let variance = sums.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
            for (s, &weight) in sums.iter_mut().zip(&self.norm) {
                *s = (*s - mean) / (variance + 1e-8).sqrt() * f64::from(weight);
            }
        }
        sums.iter().zip(&self.bias).map(|(s, &b)| s + f64::from(b)).collect()
    }
}

impl Lstm {
    /// One step: updates the output `h` and the cell state `c`.
    pub fn step(&self, x: &[f64], h: &mut Vec<f64>, c: &mut [f64]) {
        let forget = self.forget.sums(x, h, c);
        let offered = self.cell.sums(x, h, c);
        let input = self.input.as_ref().map(|gate| gate.sums(x, h, c));
        for i in 0..c.len() {
            let f = sigmoid(forget[i]);
            let share = input.as_ref().map_or(1.0 - f, |input| sigmoid(input[i]));
            c[i] = f * c[i] + share * offered[i].tanh();
            if self.cell_clip > 0.0 {
                c[i] = c[i].clamp(-self.cell_clip, self.cell_clip);
            }
        }
        let output = self.output.sums(x, h, c);
        let gated: Vec<f64> = c.iter().zip(&output).map(|(c, &o)| c.tanh() * sigmoid(o)).collect();
        *h = if self.projection.is_empty() { gated } else { product(&self.projection, &gated) };
    }
}
