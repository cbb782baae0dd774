/**
 * The command line `vouchsafe`. Wiring only; `vouchsafe agent` is the agent itself.
 */
import { runCli } from '../../src/cli/index.ts';
import { commandSignal, createIo, reportDefects } from '../../src/platform/index.ts';

reportDefects();
const [command, ...words] = process.argv.slice(2);
if (command === 'agent' && !words.includes('--help') && !words.includes('-h')) {
  const { main } = await import('../agent/main.ts');
  process.exitCode = await main(words);
} else {
  process.exitCode = await runCli(process.argv.slice(2), createIo(), commandSignal());
}
