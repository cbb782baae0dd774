/**
 * The webhook: answers AdmissionReviews of the API server until SIGTERM. Wiring only.
 */
import { parseInstallation } from '../../src/config/installation/index.ts';
import {
  createLogger,
  createMetrics,
  environmentVariable,
  disableCoreDumps,
  nodeAddresses,
  nextEventLoopTurn,
  readTextFile,
  reportDefects,
  systemClock,
  terminationSignal,
  watchFiles,
} from '../../src/platform/index.ts';
import { FileCertificates, type Certificates } from '../../src/webhook-certificates/index.ts';
import { createWebhookServer } from '../../src/webhook/index.ts';
import { checkTemplate } from '../../src/template/index.ts';
import { exitCodeOfRun, readFlags, readValues, usageOf, type Flags } from '../flags.ts';

const OPTIONS = {
  config: { type: 'string' },
  'tls-cert': { type: 'string', default: '/run/vouchsafe/tls/tls.crt' },
  'tls-key': { type: 'string', default: '/run/vouchsafe/tls/tls.key' },
  'tls-ca': { type: 'string' },
  listen: { type: 'string', default: '0.0.0.0:8443' },
  'health-listen': { type: 'string', default: '0.0.0.0:8080' },
  'kube-version': { type: 'string' },
  namespaces: { type: 'boolean' },
  service: { type: 'string' },
  'tls-secret': { type: 'string' },
  lease: { type: 'string' },
  'webhook-configuration': { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
} as const;

const USAGE = usageOf('webhook', OPTIONS);

/** Runs the webhook with command-line arguments; resolves to the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  disableCoreDumps();
  return exitCodeOfRun(async () => run(readFlags(words, OPTIONS, USAGE)));
}

async function run({ values: flags, level }: Flags<typeof OPTIONS>): Promise<void> {
  const signal = terminationSignal();
  const [clock, metrics] = [systemClock, createMetrics()];
  const logger = createLogger(level, process.stderr);
  const installation = parseInstallation(await readValues(flags.config));
  const files = (serverName?: string): Certificates =>
    new FileCertificates({
      certificateFile: flags['tls-cert'],
      keyFile: flags['tls-key'],
      caFile: flags['tls-ca'],
      serverName,
      read: readTextFile,
      watch: watchFiles,
      clock,
      logger,
    });
  const objects = {
    service: flags.service,
    tlsSecret: flags['tls-secret'],
    lease: flags.lease,
    webhookConfiguration: flags['webhook-configuration'],
  };
  const common = { installation, clock, logger, metrics };
  // Outside of a cluster only on request: the current kubeconfig may be for an unrelated cluster.
  const isInCluster = environmentVariable('KUBERNETES_SERVICE_HOST') !== undefined;
  const cluster =
    (flags.namespaces ?? (isInCluster || objects.webhookConfiguration !== undefined))
      ? await (await import('./cluster.ts')).connectCluster({ ...common, objects, files })
      : { certificates: files() };
  const server = createWebhookServer({
    listen: flags.listen,
    healthListen: flags['health-listen'],
    kubeVersion: flags['kube-version'],
    checkTemplate,
    nodeAddresses: nodeAddresses(),
    pause: nextEventLoopTurn,
    exposition: metrics,
    ...common,
    ...cluster,
  });
  await server.run(signal, (addresses) => {
    process.stdout.write(`${JSON.stringify({ listening: addresses })}\n`);
  });
}

if (import.meta.main) {
  reportDefects();
  process.exitCode = await main(process.argv.slice(2));
}
