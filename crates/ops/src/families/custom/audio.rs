//! Features of audio: AudioSpectrogram, Mfcc.

use ferrolite_kernels::cpu::signal::{Complex, CosineTransform, Mel, Spectrogram};
use ferrolite_kernels::scratch::{Scratch, ScratchSize};

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("AudioSpectrogram", infer_spectrogram, lower_spectrogram)
        .types(types![(Float32) -> (Float32)]),
    OpSpec::custom("Mfcc", infer_mfcc, lower_mfcc).inputs(2, 2).types(types![(Float32, Int32) -> (Float32)]),
];

fn spectrogram(node: &Node<'_>) -> Result<(Spectrogram, [usize; 2]), OpError> {
    let attributes = node.attributes()?;
    let (window, step) = (attributes.positive("window_size")?, attributes.positive("stride")?);
    let made = Spectrogram::new(window, step).ok_or_else(|| {
        OpError::invalid(format!(
            "a window of {window} samples is not between 2 and {}",
            Spectrogram::MOST_WINDOW
        ))
    })?;
    match **node.shape(0)? {
        [samples, channels] => Ok((made, [samples, channels])),
        _ => {
            Err(OpError::invalid(format!("a spectrogram takes samples by channels, not {}", node.shape(0)?)))
        }
    }
}

fn infer_spectrogram(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (spectrogram, [samples, channels]) = spectrogram(node)?;
    Ok(one(Shape::from([channels, spectrogram.frames(samples), spectrogram.bins()])))
}

fn lower_spectrogram(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let squared = node.attributes()?.bool_or("magnitude_squared", false)?;
    let (spectrogram, [samples, channels]) = spectrogram(node)?;
    let frames = spectrogram.frames(samples);
    let (points, bins) = spectrogram.scratch();
    let size = ScratchSize::new().with::<f64>(points).with::<Complex>(bins);
    Ok(FnKernel::new("audio_spectrogram", move |io, _| {
        let input = io.inputs.get::<f32>(0)?;
        let mut scratch = Scratch::new(io.scratch);
        let (signal, spectrum) = (scratch.take(points), scratch.take(bins));
        for (at, power) in io.outputs.get::<f32>(0)?.chunks_exact_mut(bins).enumerate() {
            let channel = at / frames;
            let sample = |i: usize| input[i * channels + channel];
            spectrogram.frame(at % frames, sample, power, signal, spectrum);
            if !squared {
                power.iter_mut().for_each(|x| *x = x.sqrt());
            }
        }
        Ok(())
    })
    .scratch(size.bytes())
    .boxed())
}

/// Magnitudes below this count as this much before their logarithm is taken.
const FLOOR: f64 = 1e-12;

fn infer_mfcc(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let coefficients = node.attributes()?.positive("dct_coefficient_count")?;
    match **node.shape(0)? {
        [channels, frames, _] => Ok(one(Shape::from([channels, frames, coefficients]))),
        _ => Err(OpError::invalid(format!(
            "Mfcc takes spectra as AudioSpectrogram gives them, not {}",
            node.shape(0)?
        ))
        .into()),
    }
}

/// The filters depend on the sample rate, which is an input: they are made anew when it is another.
fn lower_mfcc(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = node.attributes()?;
    let (low, high) = (attributes.int("lower_frequency_limit")?, attributes.int("upper_frequency_limit")?);
    let filters = attributes.positive("filterbank_channel_count")?;
    let coefficients = attributes.positive("dct_coefficient_count")?;
    let transform = CosineTransform::new(filters, coefficients).ok_or_else(|| {
        OpError::invalid(format!(
            "{coefficients} cepstral coefficients cannot be made of {filters} filters: ask for as many at most"
        ))
    })?;
    if node.shape(1)?.num_elements()? != 1 {
        return Err(OpError::invalid("the sample rate is a single number"));
    }
    let bins = node.shape(0)?[2];
    let size = ScratchSize::new().with::<f64>(filters);
    Ok(FnKernel::new("mfcc", move |io, _| {
        let rate = io.inputs.get::<i32>(1)?[0];
        let mel = Mel::new(bins, f64::from(rate), filters, low as f64, high as f64).ok_or_else(|| {
            OpError::runtime(format!(
                "{filters} filters between {low} and {high} Hz do not fit {bins} bins at {rate} samples a second"
            ))
        })?;
        let sums = Scratch::new(io.scratch).take::<f64>(filters);
        let spectra = io.inputs.get::<f32>(0)?.chunks_exact(bins);
        for (power, out) in spectra.zip(io.outputs.get::<f32>(0)?.chunks_exact_mut(coefficients)) {
            mel.apply(power, sums);
            sums.iter_mut().for_each(|x| *x = x.max(FLOOR).ln());
            transform.apply(sums, out);
        }
        Ok(())
    })
    .scratch(size.bytes())
    .boxed())
}
