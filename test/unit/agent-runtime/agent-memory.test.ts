import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TemplatePort, WriterPort } from '../../../src/agent/index.ts';
import { AgentMemory } from '../../../src/agent-runtime/index.ts';
import { collectGarbage } from '../../../src/platform/index.ts';

const MIB = 2 ** 20;
const { signal } = new AbortController();
const FULL = { code: 'ERR_OUTPUT_FULL' };

/** An agent's memory, and how often garbage was collected. */
function memoryOf(limitMib: number): { readonly memory: AgentMemory; collected: () => number } {
  let count = 0;
  return { memory: new AgentMemory(limitMib * MIB, () => (count += 1)), collected: () => count };
}

function filesOf(mib: number): Parameters<WriterPort['write']>[0] {
  return [{ path: 'a', mode: 0o440, content: Buffer.alloc(mib * MIB) }];
}

const WRITER: WriterPort = { write: () => Promise.resolve({ changed: [], swapped: true }) };

test('the default memory has room for values and files that fill half of the default volume', async () => {
  const { memory } = memoryOf(128);
  memory.hold({ heldBytes: 8 * MIB }, 'kvv2/app');
  await memory.writer(WRITER).write(filesOf(8), signal);
  assert.throws(() => memory.hold({ heldBytes: 8 * MIB + 1 }, 'kvv2/app'), FULL);
  assert.throws(() => memory.reserve(1, 'kvv2/app'), FULL);
});

test('the error names the limit, what does not fit, and the setting', () => {
  const { memory } = memoryOf(128);
  assert.throws(
    () => memory.reserve(17 * MIB, 'kvv2/large'),
    /may take 16 MiB together.* limit is 128 MiB; the response of Vault for kvv2\/large does not fit: the present files stay; raise the annotation memory/,
  );
});

test('what is released or becomes smaller makes room', async () => {
  const { memory } = memoryOf(128);
  memory.reserve(16 * MIB, 'a');
  assert.throws(() => memory.reserve(1, 'b'), FULL);
  memory.release(16 * MIB);
  memory.hold({ heldBytes: 16 * MIB }, 'a');
  memory.hold({ heldBytes: 4 * MIB }, 'a');
  const writer = memory.writer(WRITER);
  await writer.write(filesOf(12), signal);
  await writer.write(filesOf(1), signal);
  memory.reserve(11 * MIB, 'c');
});

test('a set that does not fit is not written, and the size of the present one stays', async () => {
  const { memory } = memoryOf(128);
  let writes = 0;
  const writer = memory.writer({
    write: async (files, own) => {
      writes += 1;
      return WRITER.write(files, own);
    },
  });
  await writer.write(filesOf(10), signal);
  await assert.rejects(writer.write(filesOf(17), signal), FULL);
  assert.equal(writes, 1);
  assert.throws(() => memory.reserve(7 * MIB, 'a'), FULL);
  memory.reserve(6 * MIB, 'a');
});

test('a write that fails changes nothing', async () => {
  const { memory } = memoryOf(128);
  const broken = memory.writer({ write: () => Promise.reject(new Error('no')) });
  await assert.rejects(broken.write(filesOf(16), signal), /no/);
  memory.reserve(16 * MIB, 'a');
});

test('values of a predecessor are counted whether they fit or not', () => {
  const { memory } = memoryOf(128);
  memory.adopt({ heldBytes: 20 * MIB });
  assert.throws(() => memory.reserve(1, 'a'), FULL);
  memory.hold({ heldBytes: 19 * MIB }, 'less always fits');
});

test('an agent with hardly any memory holds small secrets', () => {
  const { memory } = memoryOf(16);
  memory.reserve(MIB, 'a');
  assert.throws(() => memory.reserve(1, 'a'), FULL);
});

test('garbage is collected around large sets, and not for small ones', async () => {
  const templates: TemplatePort<string> = {
    parseTemplate: () => '',
    formatTemplate: () => '',
    renderTemplates: () => Promise.resolve([]),
  };
  for (const [mib, expected] of [
    [0.01, 0],
    [2, 3],
  ] as const) {
    const { memory, collected } = memoryOf(128);
    memory.hold({ heldBytes: mib * MIB }, 'a');
    await memory.templates(templates).renderTemplates([], new Map(), signal);
    await memory.writer(WRITER).write(filesOf(mib), signal);
    assert.equal(collected(), expected);
  }
});

test('garbage of long responses is collected while they are read, that of short ones is not', () => {
  const { memory, collected } = memoryOf(128);
  for (let index = 0; index < 1000; index += 1) {
    memory.reserve(64 * 1024, 'short');
    memory.release(64 * 1024);
  }
  assert.equal(collected(), 0);
  for (let index = 0; index < 12; index += 1) {
    memory.reserve(MIB, 'long');
    memory.release(MIB);
  }
  assert.equal(collected(), 2);
});

test('garbage is gone after a collection', () => {
  const lost = new WeakRef({ some: 'object' });
  collectGarbage();
  // A WeakRef keeps its target until the end of the turn.
  return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    collectGarbage();
    assert.equal(lost.deref(), undefined);
  });
});
