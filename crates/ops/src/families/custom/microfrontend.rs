//! AudioMicrofrontend: features of speech in integers, and the frames around each.

use ferrolite_kernels::cpu::signal::{Frontend, FrontendSettings, GainSettings};
use ferrolite_model::TensorType;

use crate::attributes::Attributes;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[OpSpec::custom("AudioMicrofrontend", infer, lower)
    .types(types![(Int16) -> (Int32), (Int16) -> (Float32)])];

/// The most frames that are given beside each.
const MOST_CONTEXT: usize = 1 << 12;

/// Which frames are given together.
#[derive(Clone, Copy)]
struct Context {
    left: usize,
    right: usize,
    stride: usize,
    /// Whether frames before the first and behind the last are zeros, rather than those at the edge.
    zeros: bool,
    /// What features are divided by.
    scale: i32,
}

fn number(attributes: &Attributes<'_>, name: &str) -> Result<u32, OpError> {
    let number = attributes.int(name)?;
    u32::try_from(number)
        .map_err(|_| OpError::invalid(format!("the attribute '{name}' is {number}, which is out of range")))
}

fn frontend(attributes: &Attributes<'_>) -> Result<Frontend, OpError> {
    let float = |name: &str| attributes.float(name).map(|x| x as f32);
    let gain = GainSettings {
        strength: float("pcan_strength")?,
        offset: float("pcan_offset")?,
        bits: number(attributes, "gain_bits")?,
    };
    let settings = FrontendSettings {
        rate: number(attributes, "sample_rate")?,
        window: number(attributes, "window_size")?,
        step: number(attributes, "window_step")?,
        channels: attributes.positive("num_channels")?,
        band: (float("lower_band_limit")?, float("upper_band_limit")?),
        smoothing_bits: number(attributes, "smoothing_bits")?,
        smoothing: (float("even_smoothing")?, float("odd_smoothing")?),
        least_signal: float("min_signal_remaining")?,
        gain: attributes.bool_or("enable_pcan", false)?.then_some(gain),
        log_shift: match attributes.bool_or("enable_log", true)? {
            true => Some(number(attributes, "scale_shift")?),
            false => None,
        },
    };
    Frontend::new(&settings).ok_or_else(|| {
        OpError::invalid(format!(
            "windows, filters and shifts of the frontend do not fit together: {settings:?}"
        ))
    })
}

fn context(attributes: &Attributes<'_>) -> Result<Context, OpError> {
    let frames = |name: &str| -> Result<usize, OpError> {
        let count = attributes.int_or(name, 0)?;
        usize::try_from(count).ok().filter(|&n| n <= MOST_CONTEXT).ok_or_else(|| {
            OpError::invalid(format!("the attribute '{name}' is {count}, it must be 0 to {MOST_CONTEXT}"))
        })
    };
    let scale = attributes.int_or("out_scale", 1)?;
    Ok(Context {
        left: frames("left_context")?,
        right: frames("right_context")?,
        stride: usize::try_from(attributes.int_or("frame_stride", 1)?)
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| OpError::invalid("the attribute 'frame_stride' must be at least 1"))?,
        zeros: attributes.bool_or("zero_padding", false)?,
        scale: i32::try_from(scale).ok().filter(|&s| s > 0).ok_or_else(|| {
            OpError::invalid(format!("the attribute 'out_scale' is {scale}, it must be positive"))
        })?,
    })
}

fn samples(node: &Node<'_>) -> Result<usize, OpError> {
    match **node.shape(0)? {
        [samples] => Ok(samples),
        _ => Err(OpError::invalid(format!("audio is a vector of samples, not {}", node.shape(0)?))),
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let attributes = node.attributes()?;
    let (frontend, context) = (frontend(&attributes)?, context(&attributes)?);
    let frames = frontend.frames(samples(node)?);
    let width = frontend.channels() * (1 + context.left + context.right);
    Ok(one(Shape::from([frames.div_ceil(context.stride), width])))
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = node.attributes()?;
    let (frontend, context) = (frontend(&attributes)?, context(&attributes)?);
    let float = node.output(0)?.dtype == TensorType::Float32;
    let channels = frontend.channels();
    Ok(FnKernel::new("audio_microfrontend", move |io, _| {
        let audio = io.inputs.get::<i16>(0)?;
        let frames = frontend.frames(audio.len());
        let mut features = vec![0u16; frames * channels];
        frontend.run(audio, |frame, values| features[frame * channels..][..channels].copy_from_slice(values));
        let feature = |at: usize| -> Option<u16> {
            let (slot, channel) = (at / channels, at % channels);
            let width = 1 + context.left + context.right;
            // The frame that stands at this place, counted from the left context of the first.
            let place = slot / width * context.stride + slot % width;
            let frame = match place.checked_sub(context.left) {
                Some(frame) if frame < frames => frame,
                _ if context.zeros => return None,
                Some(_) => frames - 1,
                None => 0,
            };
            features.get(frame * channels + channel).copied()
        };
        if float {
            for (at, to) in io.outputs.get::<f32>(0)?.iter_mut().enumerate() {
                *to = feature(at).map_or(0.0, |f| f32::from(f) / context.scale as f32);
            }
        } else {
            for (at, to) in io.outputs.get::<i32>(0)?.iter_mut().enumerate() {
                *to = feature(at).map_or(0, |f| i32::from(f) / context.scale);
            }
        }
        Ok(())
    })
    .boxed())
}
