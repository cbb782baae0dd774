/**
 * What commands really print, for the manual. They run in this process, on the files of the project.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCli, type Io } from '../../src/cli/index.ts';
import { systemClock, systemRandom } from '../../src/platform/index.ts';
import { block } from './markdown.ts';

/** Runs a command line in the project's directory; standard output and error together, in order. */
export async function run(root: string, words: readonly string[], input = ''): Promise<string> {
  let printed = '';
  const io: Io = {
    out: (data) => void (printed += Buffer.from(data).toString()),
    printError: (line) => void (printed += `${line}\n`),
    read: (path) => (path === '-' ? Promise.resolve(input) : readFile(join(root, path), 'utf8')),
    variable: () => undefined,
    isTerminal: false,
    clock: systemClock,
    random: systemRandom,
  };
  await runCli(words, io, new AbortController().signal);
  return printed;
}

/** A command line and what it prints, as a person sees them. `input` comes by standard input. */
export async function shown(root: string, line: string, input?: string): Promise<string> {
  const command = `$ npm run -s vouchsafe -- ${line}`;
  const typed = input === undefined ? command : `${command} <<'EOF'\n${input.trimEnd()}\nEOF`;
  return block(`${typed}\n${await run(root, line.split(' '), input)}`, 'console');
}

/** The help of each command. */
export async function help(root: string, commands: readonly string[]): Promise<string> {
  const texts = commands.map(async (name) => block(await run(root, [name, '--help'])));
  return (await Promise.all(texts)).join('\n\n');
}
