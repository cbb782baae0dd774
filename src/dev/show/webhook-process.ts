/**
 * The real webhook as a process on this machine, called over HTTPS as by the API server.
 */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { VouchsafeError } from '../../core/index.ts';
import { createTestCa } from '../ca/index.ts';
import { startChild, type Command } from './child-process.ts';

const TIMEOUT_MS = 10_000;

export interface WebhookProcessOptions {
  /** Command of the webhook. */
  readonly command: Command;
  /** Private directory for certificates. */
  readonly directory: string;
  /** Helm values. Default: those of the chart. */
  readonly valuesPath: string | undefined;
  /** Simulated Kubernetes version. Default: a current one. */
  readonly kubeVersion: string | undefined;
}

/** A running webhook. */
export interface WebhookProcess {
  readonly address: string;
  /** Sends an AdmissionReview for the creation of a pod; returns the response. */
  review(pod: unknown, namespace: string): Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts the webhook with a new certificate. */
export async function startWebhook(options: WebhookProcessOptions): Promise<WebhookProcess> {
  const { directory, command, valuesPath, kubeVersion } = options;
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const [certPath, keyPath, caPath] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) =>
    join(directory, name),
  ) as [string, string, string]; // three names in, three paths out
  await writeFile(certPath, certPem);
  await writeFile(keyPath, keyPem, { mode: 0o600 });
  await writeFile(caPath, ca.caPem);
  const places = ['--tls-cert', certPath, '--tls-key', keyPath, '--tls-ca', caPath];
  const ports = ['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0'];
  const values = valuesPath === undefined ? [] : ['--config', valuesPath];
  const version = kubeVersion === undefined ? [] : ['--kube-version', kubeVersion];
  const listening = Promise.withResolvers<string>();
  const child = startChild([...command, ...places, ...ports, ...values, ...version], {
    onLine(line) {
      const address = listeningAddress(line);
      if (address !== undefined) listening.resolve(address);
    },
  });
  child.exited.then(
    (code) => {
      const text = `the webhook exited with code ${code}`;
      listening.reject(new VouchsafeError('ERR_SERVER_LISTEN', text));
    },
    (error: unknown) => listening.reject(error),
  );
  const address = await listening.promise;
  return {
    address,
    review: (pod, namespace) => post(address, ca.caPem, reviewOf(pod, namespace)),
    stop: () => child.stop(),
  };
}

function listeningAddress(line: string): string | undefined {
  try {
    const value = JSON.parse(line) as { listening?: { listen?: unknown } }; // or throws, or has none
    const listen = value.listening?.listen;
    return typeof listen === 'string' ? listen : undefined;
  } catch {
    return undefined;
  }
}

function reviewOf(pod: unknown, namespace: string): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: randomUUID(),
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      namespace,
      operation: 'CREATE',
      userInfo: { username: 'vouchsafe-dev' },
      object: pod,
      dryRun: false,
    },
  };
}

async function post(address: string, ca: string, body: object): Promise<unknown> {
  const sent = request(`https://${address}/mutate?timeout=10s`, {
    method: 'POST',
    ca,
    headers: { 'content-type': 'application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  sent.end(JSON.stringify(body));
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve);
    sent.on('error', reject);
  });
  return JSON.parse(await text(response));
}
