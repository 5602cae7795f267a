//! Rust types that stand for tensor element types.

use bytemuck::Pod;
pub use ferrolite_kernels::float8::{F8E4M3Fn, F8E5M2};
use ferrolite_model::TensorType;
use half::{bf16, f16};

use crate::error::OpError;

/// A boolean tensor's element: 0 is false, anything else true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bool(pub u8);

impl Bool {
    /// As a Rust `bool`.
    #[must_use]
    pub fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Self {
        Self(u8::from(value))
    }
}

/// A complex number with 32-bit parts, real first.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Complex64 {
    /// Real part.
    pub re: f32,
    /// Imaginary part.
    pub im: f32,
}

/// A complex number with 64-bit parts, real first.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Complex128 {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

/// A plain type that is the element of tensors of one [`TensorType`].
pub trait Element: Pod + Default + PartialEq + Send + Sync + core::fmt::Debug {
    /// The tensor type.
    const DTYPE: TensorType;

    /// Accepts tensors of this element type.
    ///
    /// # Errors
    /// When `dtype` is another type.
    fn check(dtype: TensorType) -> Result<(), OpError> {
        if dtype == Self::DTYPE {
            Ok(())
        } else {
            Err(OpError::invalid(format!(
                "the tensor holds {dtype}, but {} was asked for: use the type that the tensor's metadata names",
                Self::DTYPE
            )))
        }
    }
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),* $(,)?) => {
        $(impl Element for $rust { const DTYPE: TensorType = TensorType::$dtype; })*
    };
}

elements! {
    f32 => Float32,
    f64 => Float64,
    f16 => Float16,
    bf16 => BFloat16,
    F8E4M3Fn => Float8E4M3Fn,
    F8E5M2 => Float8E5M2,
    i8 => Int8,
    i16 => Int16,
    i32 => Int32,
    i64 => Int64,
    u8 => UInt8,
    u16 => UInt16,
    u32 => UInt32,
    u64 => UInt64,
    Bool => Bool,
    Complex64 => Complex64,
    Complex128 => Complex128,
}
