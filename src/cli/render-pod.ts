/**
 * `vouchsafe render --pod pod.yaml`: the masked files of a pod, from a dev or a real Vault.
 */
import {
  EXIT,
  explainProblems,
  NO_LOGGER,
  VouchsafeError,
  type LogFields,
  type Logger,
} from '../core/index.ts';
import { admitManifests, misplacementLines } from './admit.ts';
import { choosePod, configMapsOf, realVault } from './dev.ts';
import type { Io } from './io.ts';
import { printFiles } from './print-files.ts';
import { renderOnce } from './render-once.ts';

/** Options of `vouchsafe render --pod`. */
export interface RenderPodOptions {
  readonly pod: string;
  readonly values?: string;
  readonly kubeVersion?: string;
  readonly namespace: string;
  readonly showSecrets?: true;
}

/** Renders and prints the files of one pod of a manifest. */
export async function renderPod(
  io: Io,
  options: RenderPodOptions,
  signal: AbortSignal,
): Promise<number> {
  const admitted = await admitManifests(io, { ...options, file: [options.pod] });
  for (const line of misplacementLines(admitted)) io.printError(line);
  const { found, result } = choosePod(admitted, options.pod);
  for (const warning of result.warnings) io.printError(`warning: ${found.owner}: ${warning}`);
  const { agentConfig: document } = result;
  if (document === undefined) {
    throw new VouchsafeError(
      'ERR_ADMISSION_DENIED',
      `${found.owner}: ${explainProblems(result.problems)}`,
    );
  }
  const { config, files } = await renderOnce(
    { pod: result.pod, document },
    {
      namespace: found.namespace,
      configMaps: configMapsOf(admitted.manifests),
      socket: io.variable('SPIFFE_ENDPOINT_SOCKET'),
      vault: realVault(io),
      oidcPort: 0,
      clock: io.clock,
      random: io.random,
      logger: warningLogger(io),
    },
    signal,
  );
  printFiles(io, config, files, options.showSecrets === true);
  return EXIT.ok;
}

/** Prints warnings, so that a person who waits sees what is retried. */
function warningLogger(io: Io): Logger {
  const print = (message: string, { error }: LogFields = {}): void => {
    const reason = error instanceof VouchsafeError ? `: ${error.message} (${error.code})` : '';
    io.printError(`${message}${reason}`);
  };
  const logger: Logger = { ...NO_LOGGER, warn: print, error: print, child: () => logger };
  return logger;
}
