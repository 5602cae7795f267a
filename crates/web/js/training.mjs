// Trains the digit classifier through its signatures; used alike in Node, in the browser, and as an example.

const PIXELS = 64;

/** The bytes of a typed array. */
function bytes(array) {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * Goes `epochs` times over the digits in batches of `batch`.
 *
 * `pixels` is a Float32Array of 64 for each digit, `labels` an Int32Array. Returns the interpreter, whose variables
 * are the trained weights, with the number of steps and the last loss.
 */
export function train({ Interpreter, Signature }, model, { pixels, labels }, batch, epochs) {
  const interpreter = new Interpreter(model);
  const step = new Signature(model, 'train');
  let [steps, loss] = [0, NaN];
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let at = 0; at + batch <= labels.length; at += batch) {
      step.setInputBytes(interpreter, 'x', bytes(pixels.subarray(at * PIXELS, (at + batch) * PIXELS)));
      step.setInputBytes(interpreter, 'y', bytes(labels.subarray(at, at + batch)));
      step.invoke(interpreter);
      loss = new DataView(step.outputBytes(interpreter, 'loss').buffer).getFloat32(0, true);
      steps += 1;
    }
  }
  return { interpreter, steps, loss };
}

/** Which part of the digits in `held_back.bin` the interpreter recognizes. */
export function accuracy({ Signature }, model, interpreter, heldBack) {
  const infer = new Signature(model, 'infer');
  const count = new DataView(heldBack.buffer, heldBack.byteOffset).getUint32(0, true);
  let right = 0;
  for (let i = 0; i < count; i++) {
    const record = heldBack.subarray(4 + (PIXELS + 1) * i, 4 + (PIXELS + 1) * (i + 1));
    infer.setInputBytes(interpreter, 'x', bytes(Float32Array.from(record.subarray(0, PIXELS), (ink) => ink / 16)));
    infer.invoke(interpreter);
    const output = infer.outputBytes(interpreter, 'output');
    const scores = new Float32Array(output.buffer, output.byteOffset, output.byteLength / 4);
    right += scores.indexOf(Math.max(...scores)) === record[PIXELS] ? 1 : 0;
  }
  return right / count;
}
