/**
 * Prints rendered files.
 */
import type { AgentConfig, FileConfig } from '../config/agent/index.ts';
import { mayBeFederatedBundle, variableOf } from '../core/index.ts';
import { printableLines } from './mask.ts';
import type { Io } from './io.ts';

/**
 * Prints each file below a heading with its path and mode, masked unless `showSecrets` is set. A file whose secret is
 * optional and absent has only the heading.
 */
export function printFiles(
  io: Io,
  config: AgentConfig,
  files: ReadonlyMap<string, Uint8Array>,
  showSecrets: boolean,
): void {
  const linesOf = printableLines(showSecrets);
  for (const file of config.files.flatMap((one) => withFederated(one, [...files.keys()]))) {
    const content = files.get(file.path);
    if (content === undefined) {
      io.out(`# ${titleOf(file)} (${missing(file)}: its secret is absent)\n`);
      continue;
    }
    io.out(`# ${titleOf(file)} (mode ${file.mode.toString(8).padStart(4, '0')})\n`);
    for (const line of linesOf(file, Buffer.from(content).toString())) io.out(`${line}\n`);
  }
}

function titleOf({ path }: FileConfig): string {
  const variable = variableOf(path);
  return variable === undefined ? path : `variable ${variable}`;
}

function missing({ variable }: FileConfig): string {
  return variable === undefined ? 'no file' : 'no variable';
}

/** The file, and the bundles of federated trust domains beside it. */
function withFederated(file: FileConfig, paths: readonly string[]): readonly FileConfig[] {
  const { path: own, source } = file;
  if (source.kind !== 'x509-svid' || source.part !== 'bundle') return [file];
  const federated = paths.filter((path) => mayBeFederatedBundle(own, path)).sort();
  return [file, ...federated.map((path) => ({ ...file, path }))];
}
