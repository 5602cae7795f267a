//! From typed content to the bytes of a file.

mod graph;
mod tensor;

use ferrolite_schema::tflite as schema;
use flatbuffers::{FlatBufferBuilder, WIPOffset};

use crate::bytes::Bytes;
use crate::error::{ModelError, bail};
use crate::model::{Content, Model};

/// Where a written file keeps constant bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// In the flatbuffer, unless that would make it larger than the format can address.
    #[default]
    Auto,
    /// Behind the flatbuffer.
    Appended,
}

/// Constants begin at multiples of this in the file, for readers that map it and use vector instructions.
const ALIGNMENT: usize = 16;

/// Content of a flatbuffer beyond which constants are appended, well below the 2 GiB that its offsets reach.
const MAX_INLINE: usize = 1 << 30;

impl Model {
    /// Writes the model as a file: reading it gives an equal model. Files behind the tables, see [`Self::source`], are
    /// left out.
    ///
    /// # Errors
    /// If the model's tables do not fit the format's 2 GiB, without counting constants.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.to_bytes_with(Layout::default())
    }

    /// As [`Self::to_bytes`], choosing where constants go.
    ///
    /// # Errors
    /// See [`Self::to_bytes`].
    pub fn to_bytes_with(&self, layout: Layout) -> Result<Vec<u8>, ModelError> {
        write(&self.content, layout)
    }
}

/// Writes content without verifying it; only what the format cannot express is refused.
pub(crate) fn write(content: &Content, layout: Layout) -> Result<Vec<u8>, ModelError> {
    let total = |sizes: &mut dyn Iterator<Item = usize>| sizes.fold(0, usize::saturating_add);
    let constants = total(&mut content.buffers.iter().map(|bytes| bytes.len()));
    let operators = content.subgraphs.iter().flat_map(|subgraph| &subgraph.operators);
    if total(&mut operators.map(|operator| operator.custom_options.len())) > MAX_INLINE {
        bail!(Write, "custom options take more than {MAX_INLINE} bytes; keep large data in buffers");
    }
    if layout == Layout::Auto && constants <= MAX_INLINE {
        return flatbuffer(content, &Placement::Inline);
    }
    // Offsets are part of the tables they follow: the first pass finds the tables' size with offsets that take the same
    // room, the second writes the true ones.
    let len = flatbuffer(content, &Placement::Appended { start: ALIGNMENT })?.len();
    let start = len.next_multiple_of(ALIGNMENT);
    let mut file = flatbuffer(content, &Placement::Appended { start })?;
    for bytes in content.buffers.iter().filter(|bytes| !bytes.is_empty()) {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend_from_slice(bytes);
    }
    Ok(file)
}

enum Placement {
    Inline,
    Appended { start: usize },
}

/// The builder and what is shared between tables.
struct Writer<'a> {
    fbb: FlatBufferBuilder<'a>,
    quantizations: tensor::Shared<'a>,
}

fn flatbuffer(content: &Content, placement: &Placement) -> Result<Vec<u8>, ModelError> {
    let mut w = Writer { fbb: FlatBufferBuilder::new(), quantizations: tensor::Shared::new() };
    let buffers = w.buffers(&content.buffers, placement)?;
    let codes = graph::operator_codes(content);
    let operator_codes = w.list(&codes, Writer::operator_code)?;
    let indices = codes.iter().zip(0..).collect();
    let subgraphs = w.list(&content.subgraphs, |w, subgraph| w.subgraph(subgraph, &indices))?;
    let groups = graph::external_groups(content);
    let external_buffer_groups = match groups.as_slice() {
        [] => None,
        groups => Some(w.list(groups, Writer::external_group)?),
    };
    let external_buffers = match content.external_buffers.as_slice() {
        [] => None,
        buffers => Some(w.list(buffers, |w, buffer| w.external_buffer(buffer, &groups))?),
    };
    let metadata = match content.metadata.as_slice() {
        [] => None,
        metadata => Some(w.list(metadata, Writer::metadata)?),
    };
    let signature_defs = match content.signatures.as_slice() {
        [] => None,
        signatures => Some(w.list(signatures, Writer::signature)?),
    };
    let description = content.description.as_deref().map(|text| w.fbb.create_string(text));
    let args = schema::ModelArgs {
        version: content.version,
        operator_codes: Some(operator_codes),
        subgraphs: Some(subgraphs),
        description,
        buffers: Some(buffers),
        metadata_buffer: None,
        metadata,
        signature_defs,
        external_buffer_groups,
        external_buffers,
    };
    let root = schema::Model::create(&mut w.fbb, &args);
    // What precedes the root's offset and identifier fills up to the alignment, so that distances from the end are
    // multiples of it exactly where distances from the start are.
    w.align(8);
    w.fbb.finish(root, Some(schema::MODEL_IDENTIFIER));
    Ok(w.fbb.finished_data().to_vec())
}

/// A list of tables.
type List<'a, T> = WIPOffset<flatbuffers::Vector<'a, flatbuffers::ForwardsUOffset<T>>>;

impl<'a> Writer<'a> {
    fn list<I, T>(
        &mut self,
        items: &'a [I],
        mut write: impl FnMut(&mut Self, &'a I) -> Result<WIPOffset<T>, ModelError>,
    ) -> Result<List<'a, T>, ModelError>
    where
        T: 'a,
    {
        let offsets = items.iter().map(|item| write(self, item)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.fbb.create_vector(&offsets))
    }

    /// Pads until `following` more bytes end at a multiple of [`ALIGNMENT`] from the end of the file.
    fn align(&mut self, following: usize) {
        loop {
            let end = self.fbb.unfinished_data().len().saturating_add(following).next_multiple_of(4);
            if end.is_multiple_of(ALIGNMENT) {
                return;
            }
            // An empty vector is four bytes of padding.
            self.fbb.create_vector::<u8>(&[]);
        }
    }

    fn buffers(
        &mut self,
        buffers: &[Bytes],
        placement: &Placement,
    ) -> Result<List<'a, schema::Buffer<'a>>, ModelError> {
        let mut offsets = Vec::with_capacity(buffers.len());
        let mut end = match placement {
            Placement::Inline => 0,
            Placement::Appended { start } => *start,
        };
        for bytes in buffers {
            let mut args = schema::BufferArgs::default();
            if bytes.is_empty() {
            } else if let Placement::Inline = placement {
                self.align(bytes.len());
                args.data = Some(self.fbb.create_vector(bytes.as_slice()));
            } else {
                let start = end.next_multiple_of(ALIGNMENT);
                args.offset = wide(start)?;
                args.size = wide(bytes.len())?;
                end = start.saturating_add(bytes.len());
            }
            offsets.push(schema::Buffer::create(&mut self.fbb, &args));
        }
        Ok(self.fbb.create_vector(&offsets))
    }
}

fn wide(number: usize) -> Result<u64, ModelError> {
    convert(number, "size")
}

/// A number in the format's width.
fn convert<T: TryFrom<usize>>(number: usize, what: &str) -> Result<T, ModelError> {
    match T::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => bail!(Write, "{what} {number} is more than the file format can hold; make it smaller"),
    }
}

/// Numbers in the format's signed width.
fn signed(numbers: &[usize], what: &str) -> Result<Vec<i32>, ModelError> {
    numbers.iter().map(|&number| convert(number, what)).collect()
}
