/** A running webhook with a certificate authority of its own. */
import { writeFileSync } from 'node:fs';
import { request, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import type { Clock } from '../../../src/core/index.ts';
import { createTestCa, type TestCa } from '../../../src/dev/ca/index.ts';
import {
  createMetrics,
  nextEventLoopTurn,
  readTextFile,
  systemClock,
} from '../../../src/platform/index.ts';
import { FileCertificates } from '../../../src/webhook-certificates/index.ts';
import { createWebhookServer, type WebhookServerOptions } from '../../../src/webhook/index.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { Latest } from '../../../src/async/index.ts';

/** An answer of the webhook. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** A directory with certificate files, and a trigger for their watch. */
export interface CertificateFiles {
  readonly ca: TestCa;
  readonly directory: string;
  readonly source: FileCertificates;
  readonly clock: Clock;
  /** Writes only the given files, then triggers the watch. */
  readonly change: (files: {
    readonly cert?: string;
    readonly key?: string;
    readonly ca?: string;
  }) => void;
}

/** Creates the files, with a valid certificate unless `isEmpty`. */
export function certificateFiles(
  t: TestContext,
  options: { logger: RecordingLogger; clock?: Clock; isEmpty?: boolean },
): CertificateFiles {
  const { logger, clock = systemClock } = options;
  const directory = tempDirectory(t);
  const ca = createTestCa();
  const changed = new Latest<undefined>();
  const change: CertificateFiles['change'] = (files) => {
    if (files.cert !== undefined) writeFileSync(join(directory, 'tls.crt'), files.cert);
    if (files.key !== undefined) writeFileSync(join(directory, 'tls.key'), files.key);
    if (files.ca !== undefined) writeFileSync(join(directory, 'ca.crt'), files.ca);
    changed.set(undefined);
  };
  if (options.isEmpty !== true) {
    const { certPem, keyPem } = ca.issue();
    change({ cert: certPem, key: keyPem, ca: ca.caPem });
  }
  const source = new FileCertificates({
    certificateFile: join(directory, 'tls.crt'),
    keyFile: join(directory, 'tls.key'),
    caFile: join(directory, 'ca.crt'),
    read: readTextFile,
    watch: (_, signal) => changed.updates(signal),
    clock,
    logger,
  });
  return { ca, directory, source, clock, change };
}

/** A webhook that runs until the test ends. */
export interface RunningWebhook {
  readonly files: CertificateFiles;
  readonly logger: RecordingLogger;
  readonly port: number;
  readonly healthUrl: string;
  /** Sends a request over TLS. */
  send(options: RequestOptions, body?: string | Buffer): Promise<Reply>;
  /** Stops the webhook; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Starts a webhook on free ports of loopback. */
export async function startWebhook(
  t: TestContext,
  options: Partial<WebhookServerOptions> = {},
): Promise<RunningWebhook> {
  const [logger, metrics] = [recordingLogger(), createMetrics()];
  const files = certificateFiles(t, { logger });
  const server = createWebhookServer({
    listen: '127.0.0.1:0',
    healthListen: '127.0.0.1:0',
    certificates: files.source,
    installation: parseInstallation({}),
    checkTemplate: () => ({ problems: [], dependencies: [] }),
    isKnownNamespace: (namespace) => namespace === 'shop',
    exposition: metrics,
    pause: nextEventLoopTurn,
    clock: systemClock,
    lingerMs: 0,
    drainMs: 100,
    logger,
    metrics,
    ...options,
  });
  const stopping = new AbortController();
  const listening = Promise.withResolvers<{ listen: string; healthListen: string | undefined }>();
  const ended = server.run(stopping.signal, (addresses) => listening.resolve(addresses));
  ended.catch((error: unknown) => listening.reject(error));
  const stop = async (): Promise<void> => {
    stopping.abort();
    await ended;
  };
  t.after(() => stop().catch(() => undefined)); // the test has seen the error
  const { listen, healthListen } = await listening.promise;
  const port = Number(listen.split(':')[1]);
  return {
    files,
    logger,
    port,
    healthUrl: `http://${healthListen ?? ''}`,
    send: (given, body) =>
      sendRequest({ port, host: 'localhost', ca: files.ca.caPem, agent: false, ...given }, body),
    stop,
  };
}

function sendRequest(options: RequestOptions, body?: string | Buffer): Promise<Reply> {
  const reply = Promise.withResolvers<Reply>();
  const outgoing = request(options, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', (error) => reply.reject(error));
    response.on('end', () =>
      reply.resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks).toString(),
      }),
    );
  });
  outgoing.on('error', (error) => reply.reject(error));
  outgoing.end(body);
  return reply.promise;
}

/** A review of a pod that requests one secret. */
export function reviewBody(annotations: Readonly<Record<string, string>> = {}): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u-1',
      operation: 'CREATE',
      namespace: 'shop',
      resource: { group: '', version: 'v1', resource: 'pods' },
      object: {
        metadata: {
          generateName: 'web-',
          ownerReferences: [{ kind: 'ReplicaSet', name: 'web-1' }],
          annotations: {
            'vouchsafe.dev/inject': 'true',
            'vouchsafe.dev/secret-app': 'kvv2/app',
            ...annotations,
          },
        },
        spec: { containers: [{ name: 'web', env: [{ name: 'P', value: 'hunter2' }] }] },
      },
    },
  });
}

/** Options of a review. */
export const MUTATE: RequestOptions = {
  method: 'POST',
  path: '/mutate',
  headers: { 'content-type': 'application/json; charset=utf-8' },
};
