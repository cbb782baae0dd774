/**
 * The output of `npm start`.
 */
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../core/index.ts';
import type { AgentConfig, FileConfig } from '../../config/agent/index.ts';
import type { AgentLine } from './agent-process.ts';

/** The lines of a delivered file as they may be printed: masked, unless the user requested the values. */
export type PrintableLines = (file: FileConfig, text: string) => readonly string[];

/** Prints the demo step by step. */
export class ShowConsole {
  readonly #say: (line: string) => void;
  readonly #linesOf: PrintableLines;
  #step = 0;

  constructor(say: (line: string) => void, linesOf: PrintableLines) {
    this.#say = say;
    this.#linesOf = linesOf;
  }

  /** Starts a step. */
  step(title: string): void {
    this.#step += 1;
    this.#say(`\n[${this.#step}] ${title}`);
  }

  /** A fact within a step. */
  fact(text: string): void {
    for (const line of text.split('\n')) this.#say(`    ${line}`);
  }

  /** A line of an agent's log; debug lines are left out. */
  agentLine(container: string, line: AgentLine): void {
    if (line.level === 'debug') return;
    const { message } = line;
    const error = line.error === undefined ? '' : `: ${line.error}`;
    const code = line.error_code === undefined ? '' : ` (${line.error_code})`;
    const changed = line.changed === undefined ? '' : `: ${line.changed.join(', ')}`;
    this.#say(`    ${container} | ${message}${changed}${error}${code}`);
  }

  /** The delivered files; of one that does not exist, because its secret is optional and absent, only that. */
  async files(config: AgentConfig, directory: string, only?: readonly string[]): Promise<void> {
    // Resolved once: a swap meanwhile must not mix two generations.
    const current = await realpath(join(directory, '..data'));
    for (const file of config.files) {
      if (only !== undefined && !only.includes(file.path)) continue;
      const text = await textOf(join(current, file.path));
      if (text === undefined) {
        this.#say(`    ${file.path} (no file: its secret is absent)`);
        continue;
      }
      this.#say(`    ${file.path} (mode ${file.mode.toString(8).padStart(4, '0')})`);
      for (const line of this.#linesOf(file, text)) this.#say(`      ${line}`);
    }
  }
}

/** The text of a file; undefined if it does not exist. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
