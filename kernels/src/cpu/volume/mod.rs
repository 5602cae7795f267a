//! Windows over volumes: images with a depth, `[batch, depth, height, width, channels]`.

mod conv;
mod pool;
mod window;

pub use conv::{Conv3d, TransposeConv3d};
pub use pool::pool3d;
pub use window::Window3d;
