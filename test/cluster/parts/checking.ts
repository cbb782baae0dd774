/** `vouchsafe check`, as a person runs it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { Finding } from '../../../src/check/index.ts';
import { world } from './suite.ts';

const MAIN = join(import.meta.dirname, '..', '..', '..', 'cmd', 'vouchsafe', 'main.ts');

/** What it found. */
export interface Checked {
  readonly code: number | string | null | undefined;
  readonly findings: readonly Finding[];
  readonly the: (check: string) => Finding | undefined;
}

/** Runs it with these words. */
export async function check(
  words: readonly string[],
  kubeconfig = world.kubeconfig,
): Promise<Checked> {
  const { promise, resolve } = Promise.withResolvers<readonly [Checked['code'], string]>();
  const all = [MAIN, 'check', '-o', 'json', '--kubeconfig', kubeconfig, ...words];
  execFile(process.execPath, all, (error, out) => resolve([error === null ? 0 : error.code, out]));
  const [code, out] = await promise;
  const { findings } = JSON.parse(out) as { findings: readonly Finding[] }; // as the command writes it
  return { code, findings, the: (name) => findings.find((one) => one.check === name) };
}
