// Trains the digit classifier in the package and fails unless it learns: node train.mjs PACKAGE DIGITS ASSETS
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { accuracy, train } from '../js/training.mjs';
import { npz } from './npz.mjs';

const LEAST = 0.97;
const [folder, digits, assets] = process.argv.slice(2).map((p) => resolve(p));
const read = (...path) => new Uint8Array(readFileSync(join(...path)));
const ferrolite = await import(pathToFileURL(join(folder, 'ferrolite_web.js')));
ferrolite.initSync({ module: read(folder, 'ferrolite_web_bg.wasm') });
const model = new ferrolite.Model(read(digits, 'trainable.tflite'));
const { x, y } = npz(read(digits, 'training.npz'));
const heldBack = read(assets, 'held_back.bin');
const begun = performance.now();
const { interpreter, steps, loss } = train(ferrolite, model, { pixels: x, labels: y }, 32, 20);
const seconds = (performance.now() - begun) / 1000;
const before = accuracy(ferrolite, model, new ferrolite.Interpreter(model), heldBack);
const right = accuracy(ferrolite, model, interpreter, heldBack);
console.log(
  `${steps} steps in ${seconds.toFixed(1)} s, loss ${loss.toFixed(4)}, held-back digits ` +
    `${(100 * before).toFixed(1)} % before and ${(100 * right).toFixed(1)} % after`,
);
if (right < LEAST) throw new Error(`fewer than ${100 * LEAST} % of the held-back digits are recognized`);
