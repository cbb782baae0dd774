/**
 * Prints rendered files.
 */
import type { AgentConfig } from '../config/agent/index.ts';
import { printableLines } from './mask.ts';
import type { Io } from './io.ts';

/** Prints each file below a heading with its path and mode, masked unless `showSecrets` is set. */
export function printFiles(
  io: Io,
  config: AgentConfig,
  files: ReadonlyMap<string, Uint8Array>,
  showSecrets: boolean,
): void {
  const linesOf = printableLines(showSecrets);
  for (const file of config.files) {
    const text = Buffer.from(files.get(file.path) ?? []).toString();
    io.out(`# ${file.path} (mode ${file.mode.toString(8).padStart(4, '0')})\n`);
    for (const line of linesOf(file, text)) io.out(`${line}\n`);
  }
}
