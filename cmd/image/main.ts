/**
 * What the container image starts: `agent` or `webhook`, with the words that follow. Wiring only. Each is loaded
 * when it is asked for, so that a pod does not pay for the webhook.
 */
import { EXIT } from '../../src/core/index.ts';
import { printError, reportDefects } from '../../src/platform/index.ts';

const PROCESSES = {
  agent: () => import('../agent/main.ts'),
  webhook: () => import('../webhook/main.ts'),
} as const;

reportDefects();
const [name = '', ...words] = process.argv.slice(2);
if (name === 'agent' || name === 'webhook') {
  const { main } = await PROCESSES[name]();
  process.exitCode = await main(words);
} else {
  printError('vouchsafe: ERR_USAGE: this image runs: agent [OPTIONS] or webhook [OPTIONS]');
  process.exitCode = EXIT.usage;
}
