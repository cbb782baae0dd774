/** Runs the command line in this process, with files and streams of the test's own. */
import { parse, parseAllDocuments } from 'yaml';
import { runCli } from '../../../src/cli/index.ts';
import type { Clock } from '../../../src/core/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { constantRandom } from '../../helpers/random.ts';

/** What a command left behind. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly errors: string;
}

/** Runs a command; `-` of `files` is standard input. */
export async function run(
  words: readonly string[],
  files: Readonly<Record<string, string>> = {},
  clock: Clock = new FakeClock(),
): Promise<Outcome> {
  let [out, errors] = ['', ''];
  const code = await runCli(
    words,
    {
      out: (data) => (out += Buffer.from(data).toString()),
      printError: (line) => (errors += `${line}\n`),
      read: (path) => {
        const text = files[path];
        if (text !== undefined) return Promise.resolve(text);
        return Promise.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }));
      },
      list: (path) => {
        const directory = path.endsWith('/') ? path : `${path}/`;
        const within = Object.keys(files).filter((name) => name.startsWith(directory));
        const names = within.map((name) => name.slice(directory.length));
        return Promise.resolve(within.length === 0 ? undefined : names);
      },
      variable: () => undefined,
      isTerminal: false,
      clock,
      random: constantRandom(),
    },
    new AbortController().signal,
  );
  return { code, out, errors };
}

/** `vouchsafe inject` of a manifest on standard input. */
export function inject(manifest: string, ...words: readonly string[]): Promise<Outcome> {
  return run(['inject', '-f', '-', ...words], { '-': manifest });
}

/** Any object of a manifest. */
export type Fields = Readonly<Record<string, unknown>>;

/** The parts of a pod that ask for one secret. */
export function podParts(annotations: Fields = {}, spec: Fields = {}): Fields {
  return {
    metadata: {
      name: 'web',
      annotations: {
        'vouchsafe.dev/inject': 'true',
        'vouchsafe.dev/secret-app': 'kvv2/app',
        ...annotations,
      },
    },
    spec: { containers: [{ name: 'web', image: 'web:1' }], ...spec },
  };
}

/** A pod that asks for one secret, as JSON. */
export function podText(annotations: Fields = {}, spec: Fields = {}): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...podParts(annotations, spec) });
}

/** The documents of a YAML stream. */
export function documents(text: string): readonly unknown[] {
  return Array.from(parseAllDocuments(text)).map((document): unknown => document.toJS());
}

/** The only document of a YAML stream. */
export function document(text: string): unknown {
  return parse(text) as unknown;
}
