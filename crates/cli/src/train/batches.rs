//! Examples in batches, in an order that is drawn anew for every epoch.

use crate::error::Error;
use crate::npz::{Array, Arrays};
use crate::random::Random;
use crate::tensors;
use ferrolite::{Interpreter, Signature, TensorMeta};

/// The examples of one input.
struct Column {
    name: String,
    /// Shape of one example; `None` for an input without axes, which has one value for all steps.
    example: Option<Vec<usize>>,
    /// All examples one after another.
    bytes: Vec<u8>,
    /// Bytes of one example.
    width: usize,
    /// The examples of the present step.
    batch: Vec<u8>,
}

/// The inputs of every step.
pub struct Batches {
    columns: Vec<Column>,
    order: Vec<usize>,
    size: usize,
    random: Random,
}

impl Batches {
    /// Takes the arrays that a signature's inputs name.
    ///
    /// # Errors
    /// Usage errors: an array is missing or superfluous, has another type or shape, or counts other examples than the others;
    /// there are fewer examples than a batch has.
    pub fn new(
        signature: &Signature,
        arrays: Arrays,
        batch: Option<usize>,
        seed: u64,
    ) -> Result<Self, Error> {
        let inputs = signature.inputs();
        let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
        if let Some((name, _)) = arrays.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(Error::usage(format!(
                "the signature '{}' has no input '{name}'; it takes {}",
                signature.key(),
                names.join(", ")
            )));
        }
        let mut columns = Vec::with_capacity(inputs.len());
        for (name, meta) in inputs {
            let array = arrays.iter().find(|(n, _)| n == name).map(|(_, array)| array);
            let array = array.ok_or_else(|| {
                Error::usage(format!(
                    "the data has no array '{name}', which the signature '{}' takes",
                    signature.key()
                ))
            })?;
            columns.push(Column::new(name, meta, array)?);
        }
        let counts: Vec<(&str, usize)> =
            columns.iter().filter_map(|c| Some((c.name.as_str(), c.count()?))).collect();
        let Some(&(first, examples)) = counts.first() else {
            return Err(Error::usage("none of the signature's inputs takes a batch of examples"));
        };
        if let Some((other, count)) = counts.iter().find(|(_, count)| *count != examples) {
            return Err(Error::usage(format!(
                "the array '{first}' has {examples} examples, '{other}' has {count}"
            )));
        }
        let own = inputs.iter().find_map(|(_, meta)| meta.shape.first().copied());
        let size = batch.or(own).unwrap_or(1).max(1);
        if examples < size {
            return Err(Error::usage(format!(
                "{examples} examples do not fill a batch of {size}: give more, or a smaller --batch"
            )));
        }
        Ok(Self { columns, order: (0..examples).collect(), size, random: Random::new(seed) })
    }

    /// Gives the signature's inputs the batch's size.
    ///
    /// # Errors
    /// A usage error when the model cannot take batches of this size.
    pub fn resize(&self, interpreter: &mut Interpreter, signature: &Signature) -> Result<(), Error> {
        let mut runner = interpreter.runner(signature)?;
        for column in &self.columns {
            if let Some(example) = &column.example {
                let shape = [&[self.size], example.as_slice()].concat();
                if runner.input_shape(&column.name)? != shape {
                    runner.resize_input(&column.name, &shape)?;
                }
            }
        }
        runner
            .allocate()
            .map_err(|e| Error::usage(format!("the model cannot take batches of {}: {e}", self.size)))
    }

    /// Examples in the data.
    pub fn examples(&self) -> usize {
        self.order.len()
    }

    /// Examples of a step.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Steps of an epoch.
    pub fn steps(&self) -> usize {
        self.order.len() / self.size
    }

    /// Examples that an epoch leaves out because they do not fill a batch.
    pub fn left_over(&self) -> usize {
        self.order.len() % self.size
    }

    /// Draws another order (Fisher and Yates).
    pub fn shuffle(&mut self) {
        for i in (1..self.order.len()).rev() {
            let j = self.random.below(i as u64 + 1) as usize;
            self.order.swap(i, j);
        }
    }

    /// The inputs of step `step` of the epoch, by name.
    pub fn step(&mut self, step: usize) -> impl Iterator<Item = (&str, &[u8])> {
        let chosen = &self.order[step * self.size..][..self.size];
        for column in &mut self.columns {
            if column.example.is_some() {
                column.batch.clear();
                for &i in chosen {
                    column.batch.extend_from_slice(&column.bytes[i * column.width..][..column.width]);
                }
            }
        }
        self.columns.iter().map(|column| {
            let bytes = if column.example.is_some() { &column.batch } else { &column.bytes };
            (column.name.as_str(), bytes.as_slice())
        })
    }
}

impl Column {
    fn new(name: &str, meta: &TensorMeta, array: &Array) -> Result<Self, Error> {
        let about = |what: String| Error::usage(format!("the array '{name}' {what}"));
        let bytes = tensors::to_bytes(meta.dtype, array).map_err(&about)?;
        if array.strings().is_some() {
            return Err(about("holds strings, of which no batches are made".to_owned()));
        }
        let len = bytes.len();
        let column =
            |example, width| Self { name: name.to_owned(), example, bytes, width, batch: Vec::new() };
        let fits = meta.shape.len() == array.shape().len();
        let Some((&count, example)) = array.shape().split_first().filter(|_| fits) else {
            if fits {
                return Ok(column(None, 0));
            }
            return Err(about(format!(
                "has {} axes, the input takes {}: the examples and {} of each",
                array.shape().len(),
                meta.shape.len(),
                meta.shape.len().saturating_sub(1)
            )));
        };
        let open = |axis: usize| meta.shape_signature.get(axis).is_some_and(|&d| d == -1);
        let wrong =
            example.iter().zip(&meta.shape[1..]).enumerate().find(|(i, (a, b))| a != b && !open(i + 1));
        if wrong.is_some() {
            return Err(about(format!(
                "has examples of shape {example:?}, the input takes {:?}",
                &meta.shape[1..]
            )));
        }
        Ok(column(Some(example.to_vec()), len.checked_div(count).unwrap_or(0)))
    }

    /// How many examples there are.
    fn count(&self) -> Option<usize> {
        self.example.as_ref().map(|_| self.bytes.len().checked_div(self.width).unwrap_or(0))
    }
}
