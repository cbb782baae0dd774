/**
 * Builds the real servers and clients and runs test/real against them, or the test files that are named. Says at the
 * end how long each file took.
 */
import { globSync } from 'node:fs';
import { relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { CSI_SANITY, SPIFFECHECK, SPIRE, VAULT } from './programs.ts';
import { buildPrograms, ensurePackages, POSTGRESQL, root, say } from './servers.ts';

/** Its ten minutes are the length of the whole: it starts first, and everything else runs beside it. */
const LONGEST = 'test/real/pki.test.ts';

/** Files side by side: they wait most of their time. */
const CONCURRENCY = 3;

await ensurePackages([POSTGRESQL]);
await buildPrograms([SPIFFECHECK, VAULT, CSI_SANITY, ...SPIRE]);
const only = process.argv.slice(2);
const patterns = only.length > 0 ? only : ['test/real/**/*.test.ts'];
const files = globSync(patterns, { cwd: root }).sort(
  (a, b) => Number(b === LONGEST) - Number(a === LONGEST) || a.localeCompare(b),
);
if (files.length === 0) {
  say(`there is no test file ${patterns.join(' ')}`);
  process.exit(1);
}

const times: string[] = [];
const tests = run({ files, cwd: root, concurrency: CONCURRENCY });
tests.on('test:summary', ({ file, duration_ms: ms, success }) => {
  if (file !== undefined)
    times.push(`${String(Math.round(ms / 1000)).padStart(5)} s  ${relative(root, file)}`);
  else if (!success) process.exitCode = 1;
});
tests.on('end', () => {
  for (const line of times.sort().reverse()) say(line);
});
tests.compose(spec).pipe(process.stdout);
