/**
 * How much memory renderings take, in a process of its own that is started as the image starts it. As a program it
 * reads cases from standard input, and writes the bytes of each on a line.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { parseTemplate, RENDER_LIMITS, renderTemplate } from '../../src/template/index.ts';
import { COSTLY_DOCUMENT } from './costly-document.ts';

/** A template that renders {@link COSTLY_DOCUMENT}, and `workBytes` of its limits. */
export interface MemoryCase {
  readonly source: string;
  readonly workBytes: number;
}

const DOCKERFILE = new URL('../../Dockerfile', import.meta.url);

/** Node's flags in the image, and the heap limit that Node picks in a container of 128 MiB. */
function nodeFlags(): readonly string[] {
  const entry = /^ENTRYPOINT (\[.*\])$/m.exec(readFileSync(DOCKERFILE, 'utf8'))?.[1] ?? '[]';
  const flags = (JSON.parse(entry) as readonly string[]).filter((word) => word.startsWith('--'));
  assert.notEqual(flags.length, 0, 'the Dockerfile has flags for Node');
  return [...flags, '--max-old-space-size=256'];
}

/** By how much resident memory at its highest was over that of the idle process, in bytes, for each case. */
export function peaksOf(cases: readonly MemoryCase[]): readonly number[] {
  const file = new URL(import.meta.url).pathname;
  const child = spawnSync(process.execPath, [...nodeFlags(), '--expose-gc', file], {
    input: JSON.stringify(cases),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const peaks = child.stdout.split('\n').filter(Boolean).map(Number);
  assert.equal(
    peaks.length,
    cases.length,
    `${child.signal ?? child.stderr.slice(-2000)} at ${cases[peaks.length]?.source.slice(0, 300)}`,
  );
  return peaks;
}

/** Resident memory: `VmRSS` now, `VmHWM` at its highest. */
function resident(name: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync('/proc/self/status', 'latin1');
  return 1024 * Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]);
}

function attempt({ source, workBytes }: MemoryCase): void {
  const input = { root: COSTLY_DOCUMENT, lookup: () => undefined };
  try {
    renderTemplate(parseTemplate(source, 't'), input, { ...RENDER_LIMITS, workBytes });
  } catch {
    // A rejection is an end as well.
  }
}

/** Gives back all memory that is not in use. */
function collect(): void {
  global.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

async function main(): Promise<void> {
  const cases = JSON.parse(await text(process.stdin)) as readonly MemoryCase[];
  attempt({ source: '{{json (list text)}}', workBytes: 1 });
  collect();
  const idle = resident('VmRSS');
  for (const one of cases) {
    collect();
    writeFileSync('/proc/self/clear_refs', '5'); // the highest is now the present one
    attempt(one);
    process.stdout.write(`${resident('VmHWM') - idle}\n`);
  }
}

if (import.meta.main) await main();
