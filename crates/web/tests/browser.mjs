// Prints the same report from headless Chromium: node browser.mjs PACKAGE ASSETS [CHROMIUM]
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const [folder, assets] = process.argv.slice(2, 4).map((p) => resolve(p));
const chromium = process.argv[4] ?? 'chromium';
const here = dirname(fileURLToPath(import.meta.url));

const page = `<!doctype html><title>running</title><pre id="out"></pre><script type="module">
  import init, * as ferrolite from '/package/ferrolite_web.js';
  import { classify, report } from '/js/digits.mjs';
  const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());
  let text = '';
  try {
    await init();
    const digits = await bytes('/assets/held_back.bin');
    for (const name of ['digits_f32', 'digits_int8']) {
      text += report(name, classify(ferrolite, await bytes('/assets/' + name + '.tflite'), digits)) + '\\n';
    }
  } catch (error) {
    text = 'failed: ' + error;
  }
  await fetch('/done', { method: 'POST', body: text });
</script>`;
const types = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm' };
const folders = { package: folder, js: join(here, '../js'), assets };

const server = createServer((request, response) => {
  if (request.url === '/') return response.setHeader('content-type', 'text/html').end(page);
  if (request.url === '/done') {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    return request.on('end', () => finish(body, response.end()));
  }
  const [, where, file] = request.url.split('/');
  try {
    const content = readFileSync(join(folders[where] ?? '', basename(file ?? '')));
    response.setHeader('content-type', types[file.split('.').pop()] ?? 'application/octet-stream').end(content);
  } catch {
    response.writeHead(404).end();
  }
});

const profile = mkdtempSync(join(tmpdir(), 'ferrolite-'));
let browser;
const timeout = setTimeout(() => finish('failed: the browser did not answer within two minutes'), 120_000);

function finish(text) {
  clearTimeout(timeout);
  process.stdout.write(text);
  process.exitCode = text.startsWith('failed') ? 1 : 0;
  server.closeAllConnections();
  server.close();
  browser.once('exit', removeProfile);
  browser.kill();
}

// The browser's other processes may write for a moment after the first one ended, and a folder that fills while it is being
// emptied is no failure of what is tested: whatever is left lies in the system's temporary folder.
async function removeProfile() {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      return await rm(profile, { recursive: true, force: true });
    } catch {
      await sleep(200);
    }
  }
  console.error(`left behind: ${profile}`);
}

server.listen(0, '127.0.0.1', () => {
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', `--user-data-dir=${profile}`];
  browser = execFile(chromium, [...flags, `http://127.0.0.1:${server.address().port}/`], () => {});
});
