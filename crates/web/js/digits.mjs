// Runs a digit classifier over the held-back digits; used alike in Node, in the browser, and as an example.

/** Splits `held_back.bin` into records of 64 pixels and a label. */
function records(bytes) {
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return Array.from({ length: count }, (_, i) => bytes.subarray(4 + 65 * i, 4 + 65 * (i + 1)));
}

/** FNV-1a over 64 bits, continued from `hash`. */
function fnv1a(hash, bytes) {
  for (const byte of bytes) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}

/** Classifies all digits; returns the accuracy and a hash of all output bytes. */
export function classify({ Model, Interpreter }, modelBytes, digits) {
  const interpreter = new Interpreter(new Model(modelBytes));
  const quantized = interpreter.inputs()[0].dtype !== 'FLOAT32';
  let hash = 0xcbf29ce484222325n;
  let right = 0;
  const all = records(digits);
  for (const record of all) {
    const pixels = Float32Array.from(record.subarray(0, 64), (ink) => ink / 16);
    if (quantized) {
      interpreter.writeQuantized(0, pixels);
    } else {
      interpreter.setInputBytes(0, new Uint8Array(pixels.buffer));
    }
    interpreter.invoke();
    hash = fnv1a(hash, interpreter.outputBytes(0));
    const scores = interpreter.readDequantized(0);
    right += scores.indexOf(Math.max(...scores)) === record[64] ? 1 : 0;
  }
  return { accuracy: right / all.length, hash: hash.toString(16).padStart(16, '0') };
}

/** One line per model, the same on every platform: name, accuracy in percent, hash. */
export function report(name, { accuracy, hash }) {
  return `${name} ${(100 * accuracy).toFixed(2)} ${hash}`;
}
