// Prints the report over both digit models from the package in the folder given: node node.mjs PACKAGE ASSETS
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { classify, report } from '../js/digits.mjs';

const [folder, assets] = process.argv.slice(2).map((p) => resolve(p));
const ferrolite = await import(pathToFileURL(join(folder, 'ferrolite_web.js')));
ferrolite.initSync({ module: readFileSync(join(folder, 'ferrolite_web_bg.wasm')) });
const digits = new Uint8Array(readFileSync(join(assets, 'held_back.bin')));
for (const name of ['digits_f32', 'digits_int8']) {
  const model = new Uint8Array(readFileSync(join(assets, `${name}.tflite`)));
  console.log(report(name, classify(ferrolite, model, digits)));
}
