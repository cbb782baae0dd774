/**
 * What `npm start -- --once` prints, as the picture shows it: `node .tools/docs/demo.ts` writes docs/pictures/npm-start.txt.
 * Ports and temporary names are constants, and of the files one is shown.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** What was printed, with constants for what differs from run to run. */
export function withConstants(printed: string): string {
  return printed
    .replaceAll(/\/tmp\/(vouchsafe-[a-z]+)-\w{6}/g, '/tmp/$1')
    .replaceAll(/(127\.0\.0\.1):\d+/g, '$1:40000');
}

/** Stands for lines that are left out. */
export const OMITTED = '…';

/** File whose text the picture shows. */
const SHOWN = 'db.env';

/** Printed only if the agent gets to it before it is stopped. */
const NOT_ALWAYS = '    vouchsafe-agent | application notified';

const TITLE = /^ {4}([\w.-]+) \(mode \d+\)$/;

/** Without the text of all files but one, and what is not printed each time; {@link OMITTED} stands for what was there. */
export function abridged(text: string): string {
  const kept: string[] = [];
  let isShown = true;
  const lines = text.replace(/^\n+/, '').trimEnd().split('\n');
  for (const line of lines.filter((one) => one !== NOT_ALWAYS)) {
    const [, name] = TITLE.exec(line) ?? [];
    if (name !== undefined) isShown = name === SHOWN;
    else if (!line.startsWith('      ')) isShown = true;
    const shown = isShown ? line : `    ${OMITTED}`;
    if (isShown || kept.at(-1) !== shown) kept.push(shown);
  }
  return `${kept.join('\n')}\n`;
}

if (import.meta.main) {
  const words = [join(root, 'cmd/vouchsafe/main.ts'), 'dev', '--once'];
  const printed = execFileSync(process.execPath, words, { encoding: 'utf8', env: {}, cwd: root });
  writeFileSync(join(root, 'docs/pictures/npm-start.txt'), abridged(withConstants(printed)));
}
