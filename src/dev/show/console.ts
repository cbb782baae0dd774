/**
 * What a show prints.
 */
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentConfig } from '../../config/index.ts';
import type { AgentLine } from './agent-process.ts';
import { maskFile, showFile } from './mask.ts';

/** Prints the story of a show, step by step. */
export class ShowConsole {
  readonly #say: (line: string) => void;
  readonly #showSecrets: boolean;
  #step = 0;

  constructor(say: (line: string) => void, showSecrets: boolean) {
    this.#say = say;
    this.#showSecrets = showSecrets;
  }

  /** Begins a step. */
  step(title: string): void {
    this.#step += 1;
    this.#say(`\n[${this.#step}] ${title}`);
  }

  /** A fact within a step. */
  fact(text: string): void {
    for (const line of text.split('\n')) this.#say(`    ${line}`);
  }

  /** A line of an agent's log: changes of state, warnings and errors; details are left out. */
  agentLine(container: string, line: AgentLine): void {
    if (line.level === 'debug') return;
    const { message } = line;
    const error = line.error === undefined ? '' : `: ${line.error}`;
    const code = line.error_code === undefined ? '' : ` (${line.error_code})`;
    const changed = line.changed === undefined ? '' : `: ${line.changed.join(', ')}`;
    this.#say(`    ${container} | ${message}${changed}${error}${code}`);
  }

  /** The delivered files, masked unless the person asked for their values. */
  async files(config: AgentConfig, directory: string, only?: readonly string[]): Promise<void> {
    // One look at the set: a swap in the middle does not mix two of them.
    const current = await realpath(join(directory, '..data'));
    for (const file of config.files) {
      if (only !== undefined && !only.includes(file.path)) continue;
      const text = await readFile(join(current, file.path), 'utf8');
      this.#say(`    ${file.path} (mode ${file.mode.toString(8).padStart(4, '0')})`);
      const lines = this.#showSecrets ? showFile(text) : maskFile(file, text);
      for (const line of lines) this.#say(`      ${line}`);
    }
  }
}
