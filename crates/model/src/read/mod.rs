//! From the bytes of a file to a verified model.

mod buffers;
mod constants;
mod convert;
mod tensor;

use ferrolite_schema::{SCHEMA_VERSION, tflite as schema};
use flatbuffers::{InvalidFlatbuffer, VerifierOptions};

use crate::bytes::Bytes;
use crate::error::{ModelError, bail};
use crate::load::LoadOptions;
use crate::model::Model;
use crate::verify::verify;

/// Where the four bytes of the identifier stand.
const IDENTIFIER: std::ops::Range<usize> = 4..8;

/// FlatBuffers cannot point further than this; models beyond keep constants behind it.
const MAX_FLATBUFFER: usize = 0x7fff_ffff;

pub(crate) fn parse(source: Bytes, options: &LoadOptions) -> Result<Model, ModelError> {
    let root = root(&source)?;
    if root.version() != SCHEMA_VERSION {
        bail!(
            Version,
            "the file has format version {}, this reader knows version {SCHEMA_VERSION}; export the model with a \
             current converter",
            root.version()
        );
    }
    let mut content = convert::content(root, &source)?;
    constants::mark(&mut content);
    let external_data = buffers::external_data(&content.external_buffers, options)?;
    let model = Model { content, external_data, source };
    verify(&model, options)?;
    Ok(model)
}

/// The root table, its structure verified.
fn root(source: &[u8]) -> Result<schema::Model<'_>, ModelError> {
    let flatbuffer = source.get(..MAX_FLATBUFFER).unwrap_or(source);
    match flatbuffer.get(IDENTIFIER) {
        None => {
            bail!(NotAModel, "{} bytes are too few for a .tflite model; give the whole file", source.len())
        }
        Some(found) if found != schema::MODEL_IDENTIFIER.as_bytes() => bail!(
            NotAModel,
            "not a .tflite model: bytes 4 to 8 are \"{}\" where \"{}\" should be; give a file that a converter wrote",
            found.escape_ascii(),
            schema::MODEL_IDENTIFIER
        ),
        Some(_) => {}
    }
    schema::root_as_model_with_opts(&verifier_options(flatbuffer.len()), flatbuffer).map_err(broken)
}

/// Bounds on the verifier's work, and so on the memory the model takes. Tables may be shared, so that a small file can
/// stand for an exponential tree; exporters share little, which leaves an honest file far below a small multiple of its
/// size.
fn verifier_options(len: usize) -> VerifierOptions {
    const SHARING: usize = 8;
    const SLACK: usize = 1 << 16;
    VerifierOptions {
        max_depth: 16,
        // A table takes at least its reference and its vtable offset.
        max_tables: len / 4 + SLACK,
        max_apparent_size: len.saturating_mul(SHARING).saturating_add(SLACK),
        ignore_missing_null_terminator: true,
    }
}

fn broken(error: InvalidFlatbuffer) -> ModelError {
    let detail = error.to_string();
    let detail = detail.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    ModelError::new(
        crate::error::ModelErrorKind::Structure,
        format!(
            "the file's structure is broken ({detail}); it may be cut off or damaged, fetch or export it again"
        ),
    )
}
