/** Builds the real servers and clients and runs test/real against them, or the test files that are named. */
import {
  buildPrograms,
  CSI_SANITY,
  ensurePackages,
  POSTGRESQL,
  root,
  run,
  SPIFFECHECK,
  VAULT,
} from './servers.ts';

await ensurePackages([POSTGRESQL]);
await buildPrograms([SPIFFECHECK, VAULT, CSI_SANITY]);
const only = process.argv.slice(2);
const files = only.length > 0 ? only : ['test/real/**/*.test.ts'];
const args = ['--test', '--test-concurrency=2', '--test-reporter=spec', ...files];
process.exitCode = await run(process.execPath, args, root);
