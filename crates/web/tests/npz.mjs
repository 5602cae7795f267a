// Reads NumPy archives.
import { inflateRawSync } from 'node:zlib';

/** The array in a `.npy` file: little-endian, of one of the types below. */
function array(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const wide = file[6] > 1;
  const start = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(file.subarray(0, start));
  const type = /'descr': '([^']*)'/.exec(header)[1];
  const Type = { '<f4': Float32Array, '<i4': Int32Array, '|u1': Uint8Array }[type];
  if (Type === undefined) throw new Error(`arrays of type ${type} are not read here`);
  return new Type(file.slice(start).buffer);
}

/** All arrays of an archive by name, from its bytes. */
export function npz(archive) {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  const end = archive.lastIndexOf(0x50, archive.length - 22);
  if (view.getUint32(end, true) !== 0x06054b50) throw new Error('the archive has no end record');
  const arrays = {};
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const [method, size] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true)];
    const lengths = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(archive.subarray(at + 46, at + 46 + lengths[0]));
    const data = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const stored = archive.subarray(data, data + size);
    arrays[name.replace(/\.npy$/, '')] = array(method === 8 ? new Uint8Array(inflateRawSync(stored)) : stored);
    at += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  return arrays;
}
