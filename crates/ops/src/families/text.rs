//! Features of texts: SKIP_GRAM, LSH_PROJECTION.

use ferrolite_kernels::cpu::fingerprint::fingerprint64;
use ferrolite_model::options::{LSHProjectionOptionsT, LSHProjectionType, SkipGramOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::{strings, types};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::SKIP_GRAM, infer_grams, lower_grams).types(types![(String) -> (String)]),
    OpSpec::builtin(BuiltinOperator::LSH_PROJECTION, infer_projection, lower_projection).inputs(2, 3),
];

/// The most n-grams of one text.
const MOST_GRAMS: usize = 1 << 24;

fn infer_grams(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(core::iter::once(OutputShape::Dynamic).collect())
}

/// The white space of the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The words of a text. As in the reference, a word that begins with white space is left out unless it is the last one.
fn words(text: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let mut start = 0;
    for i in 1..text.len() {
        if is_space(text[i]) {
            if i > start && !is_space(text[start]) {
                words.push(&text[start..i]);
            }
            start = i + 1;
        }
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

/// Calls `give` with the positions of every n-gram: words in order, between two of them at most `skip` left out.
fn for_each_gram(
    words: usize,
    options: &SkipGramOptionsT,
    mut give: impl FnMut(&[usize]) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let longest = usize::try_from(options.ngram_size).unwrap_or(0);
    if longest == 0 || words < longest {
        return Ok(());
    }
    let skip = i64::from(options.max_skip_size);
    let (mut gram, mut next) = (vec![0], 1);
    loop {
        let near = gram.last().is_none_or(|&last| next as i64 - last as i64 - 1 <= skip);
        if gram.len() < longest && next < words && near {
            gram.push(next);
            next += 1;
            continue;
        }
        if gram.len() == longest || (options.include_all_ngrams && !gram.is_empty()) {
            give(&gram)?;
        }
        match gram.pop() {
            Some(last) => next = last + 1,
            None => return Ok(()),
        }
    }
}

fn lower_grams(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<SkipGramOptionsT>()?;
    Ok(FnKernel::new("skip_gram", move |io, cx| {
        let texts = strings::decode(io.inputs.bytes(0)?)?;
        let words = words(texts.first().copied().unwrap_or_default());
        let mut grams: Vec<Vec<u8>> = Vec::new();
        for_each_gram(words.len(), &options, |gram| {
            if grams.len() == MOST_GRAMS {
                return Err(OpError::runtime(format!(
                    "the text has more than {MOST_GRAMS} n-grams: cut it into shorter ones"
                )));
            }
            if grams.len().is_multiple_of(4096) {
                cx.check_cancelled()?;
            }
            let picked: Vec<&[u8]> = gram.iter().map(|&i| words[i]).collect();
            grams.push(picked.join(&b' '));
            Ok(())
        })?;
        io.outputs.set_bytes(0, &[grams.len()], &strings::encode(&grams)?)
    })
    .boxed())
}

/// Hash functions and bits of each.
fn hashes(node: &Node<'_>) -> Result<(usize, usize), OpError> {
    let hash = node.input(0)?.info;
    match hash.shape[..] {
        [count, bits] if bits <= 32 && hash.dtype == TensorType::Float32 => Ok((count, bits)),
        _ => Err(OpError::invalid(format!(
            "the seeds of a projection are a float32 matrix with up to 32 columns, not {} of shape {}",
            hash.dtype, hash.shape
        ))),
    }
}

fn infer_projection(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (count, bits) = hashes(node)?;
    let len = match node.options::<LSHProjectionOptionsT>()?.type_ {
        LSHProjectionType::SPARSE => count,
        LSHProjectionType::DENSE => count.saturating_mul(bits),
        other => return Err(OpError::invalid(format!("{other:?} is no kind of projection")).into()),
    };
    Ok(one(Shape::from([len])))
}

fn lower_projection(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (_, bits) = hashes(node)?;
    let (input, output) = (node.input(1)?.info, node.output(0)?);
    let items = input.shape.first().copied().unwrap_or(0);
    if items == 0 || input.dtype == TensorType::String || output.dtype != TensorType::Int32 {
        return Err(OpError::unsupported(format!(
            "a projection takes one or more items of fixed size and gives int32, not {} of shape {} and {}",
            input.dtype, input.shape, output.dtype
        )));
    }
    if let Some(weight) = node.optional(2)
        && (weight.info.dtype != TensorType::Float32 || *weight.info.shape != [items])
    {
        return Err(OpError::invalid(format!(
            "{items} items take as many float32 weights, not {} of shape {}",
            weight.info.dtype, weight.info.shape
        )));
    }
    let sparse = node.options::<LSHProjectionOptionsT>()?.type_ == LSHProjectionType::SPARSE;
    Ok(FnKernel::new("lsh_projection", move |io, _| {
        let (seeds, input) = (io.inputs.get::<f32>(0)?, io.inputs.bytes(1)?);
        let weights = io.inputs.optional::<f32>(2)?;
        let out = io.outputs.get::<i32>(0)?;
        let mut key = Vec::new();
        let mut sign = |seed: f32| sign_bit(seed, input, items, weights, &mut key);
        if !sparse {
            out.iter_mut().zip(seeds).for_each(|(out, &seed)| *out = sign(seed));
            return Ok(());
        }
        for (i, out) in out.iter_mut().enumerate() {
            let signature = seeds[i * bits..][..bits].iter().fold(0, |bits, &seed| (bits << 1) | sign(seed));
            *out = signature.wrapping_add((i as i32).wrapping_mul(1i32.wrapping_shl(bits as u32)));
        }
        Ok(())
    })
    .boxed())
}

/// Whether the weighted sum of the items' hashes is positive.
fn sign_bit(seed: f32, input: &[u8], items: usize, weights: Option<&[f32]>, key: &mut Vec<u8>) -> i32 {
    let len = input.len() / items;
    let mut score = 0.0;
    for i in 0..items {
        key.clear();
        key.extend_from_slice(&seed.to_le_bytes());
        key.extend_from_slice(&input[i * len..][..len]);
        let hash = fingerprint64(key) as i64 as f64;
        score += weights.map_or(hash, |w| f64::from(w[i]) * hash);
    }
    i32::from(score > 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run, strings_of, text};
    use super::*;

    #[test]
    fn gram_rows() {
        type Row = (&'static str, i32, i32, bool, &'static [&'static str]);
        let rows: &[Row] = &[
            ("a b c", 2, 0, false, &["a b", "b c"]),
            ("a b c", 2, 1, false, &["a b", "a c", "b c"]),
            ("a  b\tc", 3, 0, true, &["a b c", "a b", "a", "b c", "b", "c"]),
            ("a b", 3, 0, true, &[]),
            ("", 1, 0, true, &[]),
            ("a b", 0, 0, true, &[]),
            ("a b", -1, 0, false, &[]),
        ];
        for &(sentence, ngram_size, max_skip_size, include_all_ngrams, want) in rows {
            let options = SkipGramOptionsT { ngram_size, max_skip_size, include_all_ngrams };
            let got = run(
                BuiltinOperator::SKIP_GRAM,
                options,
                &[text(&[1], &[sentence])],
                &[output(TensorType::String)],
            );
            assert_eq!(strings_of(&got.unwrap()[0]), want, "{sentence:?} {ngram_size} {max_skip_size}");
        }
    }
}
