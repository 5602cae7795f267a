//! Where bytes lie: in the flatbuffer, behind it, or in another file.

use std::collections::BTreeMap;
use std::ops::Range;

use ferrolite_schema::tflite as schema;

use crate::bytes::Bytes;
use crate::error::{ModelError, bail};
use crate::graph::ExternalBuffer;
use crate::load::LoadOptions;

/// Offsets outside the flatbuffer count only above this: exporters write 1 as a placeholder before they know them.
const OFFSET_PLACEHOLDER: u64 = 1;

/// All buffers, without copying.
pub(super) fn buffers(model: schema::Model<'_>, source: &Bytes) -> Result<Vec<Bytes>, ModelError> {
    let one = |(index, buffer): (usize, schema::Buffer<'_>)| {
        if buffer.offset() > OFFSET_PLACEHOLDER {
            return outside(source, buffer.offset(), buffer.size(), &format!("buffer {index}"));
        }
        match buffer.data() {
            Some(data) => Ok(share(source, data.bytes())),
            None => Ok(Bytes::new()),
        }
    };
    model.buffers().into_iter().flatten().enumerate().map(one).collect()
}

/// The custom options of an operator.
pub(super) fn custom_options(operator: schema::Operator<'_>, source: &Bytes) -> Result<Bytes, ModelError> {
    let (offset, size) = (operator.large_custom_options_offset(), operator.large_custom_options_size());
    if offset > OFFSET_PLACEHOLDER {
        return outside(source, offset, size, "custom options");
    }
    Ok(operator.custom_options().map_or_else(Bytes::new, |data| share(source, data.bytes())))
}

/// Part of the file as shared bytes. `part` must lie in `source`; otherwise it is copied.
pub(super) fn share(source: &Bytes, part: &[u8]) -> Bytes {
    let within = || {
        let start = part.as_ptr().addr().checked_sub(source.as_ptr().addr())?;
        source.slice(start..start.checked_add(part.len())?)
    };
    within().unwrap_or_else(|| Bytes::from(part.to_vec()))
}

fn outside(file: &Bytes, offset: u64, size: u64, what: &str) -> Result<Bytes, ModelError> {
    if let Some(bytes) = range(offset, size).and_then(|range| file.slice(range)) {
        return Ok(bytes);
    }
    bail!(
        ExternalData,
        "{what} should be {size} bytes at {offset} of the file, which has {} bytes; the file is cut off, fetch it again",
        file.len()
    )
}

/// A range in this machine's address width.
fn range(offset: u64, size: u64) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(usize::try_from(size).ok()?)?)
}

/// The model's list of ranges in other files.
pub(super) fn external_buffers(model: schema::Model<'_>) -> Result<Vec<ExternalBuffer>, ModelError> {
    let groups = model.external_buffer_groups();
    let one = |(index, buffer): (usize, schema::ExternalBuffer<'_>)| {
        let group = usize::try_from(buffer.group())
            .ok()
            .filter(|&group| group < groups.map_or(0, |groups| groups.len()))
            .and_then(|group| groups.map(|groups| groups.get(group)));
        let Some(group) = group else {
            bail!(
                Index,
                "external buffer {index} names file {} of {}; export the model again",
                buffer.group(),
                groups.map_or(0, |groups| groups.len())
            );
        };
        Ok(ExternalBuffer {
            id: buffer.id(),
            group: group.name().unwrap_or_default().to_owned(),
            offset: buffer.offset(),
            length: buffer.length(),
            packing: buffer.packing().map(str::to_owned),
        })
    };
    model.external_buffers().into_iter().flatten().enumerate().map(one).collect()
}

/// Finds the bytes of external buffers by id. Each file is asked for once.
pub(super) fn external_data(
    buffers: &[ExternalBuffer],
    options: &LoadOptions,
) -> Result<BTreeMap<u32, Bytes>, ModelError> {
    let mut files = BTreeMap::new();
    let mut data = BTreeMap::new();
    for buffer in buffers {
        let file = files
            .entry(buffer.group.as_str())
            .or_insert_with(|| options.external_files.as_deref().and_then(|files| files.open(&buffer.group)));
        let Some(file) = file else {
            if options.allow_missing_files {
                continue;
            }
            bail!(
                ExternalData,
                "the model keeps constants in another file, \"{}\", which was not found; give it through \
                 LoadOptions::external_files",
                buffer.group.escape_debug()
            );
        };
        let what = format!("external buffer {} of \"{}\"", buffer.id, buffer.group.escape_debug());
        let bytes = outside(file, buffer.offset, buffer.length, &what)?;
        if buffer.id == 0 || data.insert(buffer.id, bytes).is_some() {
            bail!(Index, "external buffer id {} is zero or given twice; export the model again", buffer.id);
        }
    }
    Ok(data)
}
