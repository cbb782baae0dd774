/** Builds the real servers and clients and runs test/real against them, or the test files that are named. */
import { CSI_SANITY, SPIFFECHECK, VAULT } from './programs.ts';
import { buildPrograms, ensurePackages, POSTGRESQL, root, run } from './servers.ts';

await ensurePackages([POSTGRESQL]);
await buildPrograms([SPIFFECHECK, VAULT, CSI_SANITY]);
const only = process.argv.slice(2);
const files = only.length > 0 ? only : ['test/real/**/*.test.ts'];
const args = ['--test', '--test-concurrency=2', '--test-reporter=spec', ...files];
process.exitCode = await run(process.execPath, args, root);
