import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { readTextFile } from '../../../src/platform/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const MIB = 2 ** 20;

test('a file is read whole up to the bound, and rejected beyond it', async (t) => {
  const path = join(tempDirectory(t), 'file');
  for (const size of [0, 1, 4095, 4096, 4097, 8192, 8193, 100_000]) {
    const content = 'ä'.repeat(size / 2) + 'x'.repeat(size % 2);
    writeFileSync(path, content);
    assert.equal(await readTextFile(path, size), content, `${size} bytes at a bound of as many`);
    assert.equal(await readTextFile(path, MIB), content, `${size} bytes`);
    if (size > 0) await assert.rejects(readTextFile(path, size - 1), RangeError);
  }
});

test('what a file says of its size is not believed', async () => {
  const status = await readTextFile('/proc/self/status', MIB);
  assert.match(status, /^Name:.*^VmRSS:/ms);
});

test('a file that grows while it is read is rejected at the bound', async (t) => {
  const path = join(tempDirectory(t), 'file');
  writeFileSync(path, 'x'.repeat(100));
  const reading = readTextFile(path, 10_000);
  appendFileSync(path, 'x'.repeat(100_000));
  await assert.rejects(reading, RangeError);
});

test('a small file takes little room, whatever the bound is', async (t) => {
  const path = join(tempDirectory(t), 'file');
  writeFileSync(path, 'small');
  const source = new URL('../../../src/platform/index.ts', import.meta.url).href;
  const script = `
    import { readTextFile } from ${JSON.stringify(source)};
    const peak = () => process.memoryUsage().arrayBuffers;
    const before = peak();
    const all = [];
    for (let n = 0; n < 50; n += 1) all.push(readTextFile(${JSON.stringify(path)}, ${64 * MIB}));
    let most = 0;
    const looking = setInterval(() => (most = Math.max(most, peak() - before)), 1);
    await Promise.all(all.map((one) => one.then(() => (most = Math.max(most, peak() - before)))));
    clearInterval(looking);
    process.stdout.write(String(most));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const most = Number(await text(child.stdout));
  assert.ok(most < 4 * MIB, `${most} bytes for fifty reads`);
});
