/**
 * A process that starts the children of a driver, gives them jobs of every kind, and prints the results and what the kernel
 * reports of the children as one line of JSON.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { stdout } from 'node:process';
import { startRenderers } from '../../cmd/csi/renderer.ts';
import { parseInstallation } from '../../src/config/installation/index.ts';
import { dependencyLabel, JsonText, NO_METRICS, VouchsafeError } from '../../src/core/index.ts';
import { systemClock } from '../../src/platform/index.ts';
import type { Renderer, RenderOutput } from '../../src/renderer/index.ts';
import { EVERY_JOB, EVERY_VALUE } from './every-template.ts';
import { recordingLogger } from './recorder.ts';
import { until } from './until.ts';

/** What the process prints. */
export interface Everything {
  readonly outputs: readonly string[];
  readonly large: string;
  readonly pressed: readonly string[];
  readonly outOfMemory: string;
  readonly log: readonly string[];
  /** Of each thread of each child: `Seccomp`, `NoNewPrivs`. */
  readonly threads: readonly string[];
  /** Of the children: effective capabilities, and whether the driver sees how much memory they have. */
  readonly capabilities: readonly string[];
  readonly isMeasured: boolean;
}

const never = new AbortController().signal;
const client = { tenant: 'a' };
const LARGE = 4 * 2 ** 20;

/** What came of a template, as a word that can be compared. */
export function wordOf(output: RenderOutput | VouchsafeError): string {
  if (output instanceof VouchsafeError) return `${output.code}: ${output.message}`;
  const { digest, isAbsent, missing } = output;
  return `${digest ?? ''} ${isAbsent ? 'absent' : ''} ${missing.map(dependencyLabel).join()}`;
}

async function main(): Promise<void> {
  const logger = recordingLogger();
  const installation = parseInstallation({ csi: { enabled: true, rendering: { timeout: '20s' } } });
  const ended = new AbortController();
  const common = { clock: systemClock, logger, metrics: NO_METRICS };
  const { renderer, run } = startRenderers({ installation, ...common });
  const running = run(ended.signal);
  const outputs = await renderer.render({ jobs: EVERY_JOB, values: EVERY_VALUE }, client, never);
  const large = await renderLarge(renderer);
  const pressed = await Promise.all(Array.from({ length: 30 }, () => press(renderer)));
  await until(() => ofChildren().threads.every((one) => one === '2 1'));
  const kernel = ofChildren(); // before one is replaced
  const outOfMemory = await exhaust(renderer);
  const again = await renderer.render({ jobs: EVERY_JOB, values: EVERY_VALUE }, client, never);
  const everything: Everything = {
    outputs: [...outputs, ...again].map(wordOf),
    large,
    pressed,
    outOfMemory,
    ...kernel,
    log: logger.lines.map(({ message }) => message),
  };
  ended.abort();
  await running;
  stdout.write(`${JSON.stringify(everything)}\n`);
}

/** Values and files of almost a whole frame. */
async function renderLarge(renderer: Renderer): Promise<string> {
  const value = JsonText.of({ text: 'x'.repeat(LARGE) });
  const source = '{{secret "kv/app#text"}}';
  const jobs = ['a', 'b', 'c'].map((name) => ({ template: { name, source } }));
  const values = new Map([['read:kv/app', { value }]]);
  return (await renderer.render({ jobs, values }, client, never)).map(wordOf).join();
}

/** Much of little, thrown away at once, and code that is compiled. */
async function press(renderer: Renderer): Promise<string> {
  const value = JsonText.of({ list: Array.from({ length: 20_000 }, (_, one) => ({ one })) });
  const source = '{{#each (secret "kv/app#list")}}{{#if (gt one 5)}}{{sha256 one}}{{/if}}{{/each}}';
  const jobs = [{ template: { name: 'a', source } }];
  const values = new Map([['read:kv/app', { value }]]);
  return (await renderer.render({ jobs, values }, client, never)).map(wordOf).join();
}

/** A response of Vault that takes more than the heap to parse. */
async function exhaust(renderer: Renderer): Promise<string> {
  const body = Buffer.from(`{"data":[${'{},'.repeat(3_000_000)}{}]}`);
  const answer = { body, shape: { kind: 'plain' } as never, path: 'kv/wide', nowMs: 0 };
  return await renderer.open(answer, client, never).then(
    () => 'it was read',
    (error: unknown) => (error instanceof VouchsafeError ? `${error.code}: ${error.message}` : ''),
  );
}

function ofChildren(): Pick<Everything, 'threads' | 'capabilities' | 'isMeasured'> {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean);
  const field = (path: string, name: string): string =>
    new RegExp(`^${name}:\\t(.*)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1] ?? '';
  return {
    threads: children.flatMap((child) =>
      readdirSync(`/proc/${child}/task`).map((thread) => {
        const path = `/proc/${child}/task/${thread}/status`;
        return `${field(path, 'Seccomp')} ${field(path, 'NoNewPrivs')}`;
      }),
    ),
    isMeasured: children.every((child) => {
      const [, resident] = readFileSync(`/proc/${child}/statm`, 'utf8').split(' ');
      return Number(resident) > 1000;
    }),
    capabilities: children.map((child) => field(`/proc/${child}/status`, 'CapEff')),
  };
}

if (import.meta.main) await main();
