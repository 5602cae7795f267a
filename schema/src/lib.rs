//! FlatBuffers schema of .tflite files and its Rust binding.
//!
//! [`tflite.fbs`](https://docs.rs/crate/ferrolite-schema/latest/source/tflite.fbs) describes the format;
//! `regenerate.sh` turns it into the committed binding that this crate re-exports as [`tflite`].
//! The binding trusts its bytes: call the verifying `root_as_model` functions, or better, use `ferrolite-model`, which also
//! checks what the format itself does not say (indices, shapes, sizes).

/// Version of the format that [`tflite`] describes, as the field `Model.version` must say.
pub const SCHEMA_VERSION: u32 = 3;

/// The binding as flatc wrote it; its style is flatc's.
#[allow(
    missing_docs,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    mismatched_lifetime_syntaxes,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rust_2018_idioms,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
#[rustfmt::skip]
mod generated {
    include!("generated/tflite_generated.rs");
}

pub use flatbuffers;
pub use generated::tflite;
