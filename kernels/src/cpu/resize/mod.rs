//! Resizing images in NHWC layout.

mod bilinear;
mod sampling;

pub use bilinear::{Bilinear, Fixed10, Fixed11, Float, Interpolation, ResizeShape, bilinear};
pub use sampling::{Corners, Tap, nearest_positions};
