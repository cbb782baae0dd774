/**
 * The agent, which the webhook adds to a pod: `agent [--config FILE] [--once]`. Without a file, the environment
 * variable VOUCHSAFE_CONFIG holds the config. Wiring only.
 */
import { parseArgs } from 'node:util';
import { EXIT } from '../../src/core/index.ts';
import { agentEnvironment } from '../../src/config/agent/index.ts';
import { runAgent } from '../../src/agent-runtime/index.ts';
import {
  createLogger,
  environmentVariable,
  disableCoreDumps,
  nodeAddresses,
  printError,
  reportDefects,
  systemClock,
  systemRandom,
  terminationSignal,
} from '../../src/platform/index.ts';

/** Runs the agent with command-line arguments; resolves to the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  disableCoreDumps();
  let values: { config?: string; once?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...words],
      options: { config: { type: 'string', short: 'c' }, once: { type: 'boolean' } },
    }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown option';
    printError(`vouchsafe: ERR_USAGE: ${reason}\nusage: vouchsafe agent [--config FILE] [--once]`);
    return EXIT.usage;
  }
  return runAgent(
    {
      configPath: values.config,
      configText: environmentVariable('VOUCHSAFE_CONFIG'),
      environment: agentEnvironment(environmentVariable),
      once: values.once === true,
      nodeAddresses: nodeAddresses(),
      clock: systemClock,
      random: systemRandom,
      createLogger: (level) => createLogger(level, process.stderr),
      print: printError,
    },
    terminationSignal(),
  );
}

if (import.meta.main) {
  reportDefects();
  process.exitCode = await main(process.argv.slice(2));
}
