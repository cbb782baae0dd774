/**
 * The webhook: answers the API server's AdmissionReviews until SIGTERM. Wiring only.
 */
import { parseArgs } from 'node:util';
import { parseDocumentText, parseInstallation } from '../../src/config/index.ts';
import {
  EXIT,
  exitCodeOf,
  LOG_LEVELS,
  toVouchsafeError,
  VouchsafeError,
  type LogLevel,
} from '../../src/core/index.ts';
import {
  createLogger,
  createMetrics,
  environmentVariable,
  leaveNoDumps,
  printError,
  readTextFile,
  reportDefects,
  systemClock,
  systemRandom,
  terminationSignal,
  watchFiles,
} from '../../src/platform/index.ts';
import type { KubernetesApi } from '../../src/kubernetes/index.ts';
import { CertificateSource, createWebhookServer } from '../../src/server/index.ts';
import { checkTemplate } from '../../src/template/index.ts';

const MAX_VALUES_BYTES = 4 * 1024 * 1024;

const OPTIONS = {
  config: { type: 'string' },
  'tls-cert': { type: 'string', default: '/run/vouchsafe/tls/tls.crt' },
  'tls-key': { type: 'string', default: '/run/vouchsafe/tls/tls.key' },
  'tls-ca': { type: 'string' },
  listen: { type: 'string', default: '0.0.0.0:8443' },
  'health-listen': { type: 'string', default: '0.0.0.0:8080' },
  'kube-version': { type: 'string' },
  namespaces: { type: 'boolean' },
  'log-level': { type: 'string', default: 'info' },
} as const;

const USAGE = `usage: webhook ${Object.entries(OPTIONS)
  .map(([name, { type }]) => (type === 'boolean' ? `[--${name}]` : `[--${name} VALUE]`))
  .join(' ')}`;

/** Runs the webhook with command-line words; resolves to the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  leaveNoDumps();
  try {
    await run(readFlags(words));
    return EXIT.ok;
  } catch (caught) {
    const error = toVouchsafeError(caught);
    printError(`vouchsafe: ${error.code}: ${error.message}`);
    return exitCodeOf(error);
  }
}

async function run({ values: flags, level }: ReturnType<typeof readFlags>): Promise<void> {
  const signal = terminationSignal();
  const [clock, metrics] = [systemClock, createMetrics()];
  const logger = createLogger(level, process.stderr);
  const installation = parseInstallation(await readValues(flags.config));
  const api = await kubernetesApi(flags.namespaces);
  const namespaces =
    api === undefined
      ? undefined
      : (await import('../../src/kubernetes/index.ts')).followedNamespaces({
          api,
          prefix: installation.annotationPrefix,
          random: systemRandom,
          ...{ clock, logger },
        });
  const server = createWebhookServer({
    listen: flags.listen,
    healthListen: flags['health-listen'],
    certificates: new CertificateSource({
      certificateFile: flags['tls-cert'],
      keyFile: flags['tls-key'],
      caFile: flags['tls-ca'],
      read: readTextFile,
      watch: watchFiles,
      ...{ clock, logger },
    }),
    installation,
    kubeVersion: flags['kube-version'],
    namespaces: namespaces?.lookup,
    companions: namespaces === undefined ? [] : [namespaces.run],
    checkTemplate,
    exposition: metrics,
    ...{ clock, logger, metrics },
  });
  await server.run(signal, (addresses) => {
    process.stdout.write(`${JSON.stringify({ listening: addresses })}\n`);
  });
}

function readFlags(words: readonly string[]) {
  try {
    const { values } = parseArgs({ args: [...words], options: OPTIONS });
    const level = LOG_LEVELS.find((one): one is LogLevel => one === values['log-level']);
    if (level === undefined) throw new TypeError(`--log-level is one of ${LOG_LEVELS.join(', ')}`);
    return { values, level };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown option';
    throw new VouchsafeError('ERR_USAGE', `${reason}\n${USAGE}`, { cause });
  }
}

async function readValues(path: string | undefined): Promise<unknown> {
  if (path === undefined) return {};
  let text: string;
  try {
    text = await readTextFile(path, MAX_VALUES_BYTES);
  } catch (cause) {
    throw new VouchsafeError('ERR_CONFIG_UNREADABLE', `cannot read ${path}`, { cause });
  }
  return parseDocumentText(text);
}

/** Inside a cluster always; outside only when asked for, because a kubeconfig may be anyone's. */
async function kubernetesApi(isAsked: boolean | undefined): Promise<KubernetesApi | undefined> {
  const host = environmentVariable('KUBERNETES_SERVICE_HOST');
  if (!(isAsked ?? host !== undefined)) return undefined;
  const kubernetes = await import('../../src/kubernetes/index.ts');
  const port = environmentVariable('KUBERNETES_SERVICE_PORT') ?? '443';
  return kubernetes.createKubernetesApi(
    host === undefined
      ? await kubernetes.kubeconfigAccess()
      : kubernetes.inClusterAccess({ host, port, read: readTextFile, clock: systemClock }),
  );
}

if (import.meta.main) {
  reportDefects();
  process.exitCode = await main(process.argv.slice(2));
}
