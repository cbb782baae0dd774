/** What the container image runs, as its Dockerfile says it, with the files of this machine. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The entry point for a bundle in `directory`: Node, its flags, the file. */
export function imageCommand(directory: string): readonly [node: string, ...args: string[]] {
  const text = readFileSync(join(root, 'Dockerfile'), 'utf8');
  const [, list = ''] = /^ENTRYPOINT (\[.*\])$/m.exec(text) ?? [];
  const [, ...args] = JSON.parse(list) as string[]; // the exec form is a list of texts
  const local = args.map((arg) => arg.replace(/^\/vouchsafe\/dist\//, `${directory}/`));
  return [process.execPath, ...local];
}
