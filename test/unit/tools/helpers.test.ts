/** The helpers of the tests: one that goes on too early fails on a busy machine alone. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { settle, turns } from '../../helpers/settle.ts';
import { socketPath } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';

test('settle waits for a chain of immediates and for one of file reads, however long', async () => {
  const ended: string[] = [];
  void turns(200).then(() => ended.push('immediates'));
  const read = async (): Promise<void> => {
    for (let count = 0; count < 50; count += 1) await readFile(import.meta.filename);
    ended.push('reads');
  };
  void read();
  await settle();
  assert.deepEqual(ended.toSorted(), ['immediates', 'reads']);
});

test('settle waits for data that goes to and fro through a local socket', async (t) => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await until(() => server.listening);
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  let echoes = 0;
  const socket = connect(address.port, '127.0.0.1', () => socket.write('x'));
  socket.on('data', () => ((echoes += 1) < 100 ? socket.write('x') : socket.end()));
  await until(() => echoes > 0);
  await settle();
  assert.equal(echoes, 100);
});

test('several that settle at a time do not wait for each other', async () => {
  await Promise.all([settle(), settle(), settle()]);
});

test('a socket path that the system would reject is an error that says what to do', () => {
  assert.equal(socketPath('/tmp', 'x'.repeat(102)).length, 107);
  assert.throws(() => socketPath('/tmp', 'x'.repeat(103)), /108 bytes.*at most 107.*TMPDIR/);
});
