/** A child of a pool that misbehaves on command. The first frame is the setup, each later one is a command. */
import { readdirSync, writeFileSync, writeSync } from 'node:fs';
import { lockDown } from '../../src/platform/lockdown.ts';
import { serveFrames } from '../../src/worker-pool/serve.ts';

/** The commands. */
export type Command =
  'echo' | 'loop' | 'heap' | 'exit' | 'garbage' | 'huge' | 'twice' | 'keep' | 'look';

const OUTPUT = 1;
const kept: unknown[] = [];
/** Header of a frame without parts. */
const EMPTY_FRAME = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0]);
let isReady = false;
let isOwed = false;

if (import.meta.main) {
  lockDown(Number(process.argv.at(-1)));
  serveFrames(2 ** 20, (frame) => {
    if (!isReady) {
      isReady = true;
      return [];
    }
    if (isOwed) writeSync(OUTPUT, EMPTY_FRAME);
    isOwed = false;
    return obey(Buffer.from(frame[0] ?? []).toString() as Command, frame);
  });
}

function obey(command: Command, frame: readonly Uint8Array[]): readonly Uint8Array[] {
  switch (command) {
    case 'echo':
      return frame.slice(1);
    case 'loop':
      // Within one call of V8's own code, where nothing of JavaScript can interrupt.
      'a'.repeat(2 ** 24).includes(`ab${'a'.repeat(2 ** 18)}`);
      return [];
    case 'heap':
      for (;;) kept.push({ more: kept.length });
    case 'exit':
      return process.exit(3);
    case 'garbage':
      writeSync(OUTPUT, Buffer.alloc(64));
      return [];
    case 'huge':
      writeSync(OUTPUT, Buffer.from([0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0]));
      return [];
    case 'twice':
      // The second answer arrives with the next job.
      isOwed = true;
      return [];
    case 'keep':
      kept.push(Buffer.alloc(64 * 2 ** 20, 1));
      return [];
    case 'look':
      return [Buffer.from(JSON.stringify(whatItCan()))];
  }
}

/** What it can still do of what it must not. */
function whatItCan(): readonly string[] {
  const tries: Readonly<Record<string, () => unknown>> = {
    'read a file': () => readdirSync('/etc'),
    'write a file': () => writeFileSync('/tmp/vouchsafe-odd-child', ''),
    'see a secret': () => {
      if (Object.keys(process.env).some((name) => name !== 'NODE_V8_COVERAGE')) return;
      throw new Error('nothing to see');
    },
    'run a program': () =>
      process.getBuiltinModule('node:child_process').spawnSync('/bin/true').error ?? 'done',
    'start a thread': () =>
      new (process.getBuiltinModule('node:worker_threads').Worker)('', { eval: true }),
    'make code': () => process.getBuiltinModule('node:vm').runInThisContext('eval("1")') as unknown,
  };
  return Object.entries(tries).flatMap(([name, attempt]) => {
    try {
      const result = attempt();
      return result instanceof Error ? [] : [name];
    } catch {
      return [];
    }
  });
}
