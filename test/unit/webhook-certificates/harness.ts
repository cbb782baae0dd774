/** Replicas of the webhook with their own CA in an in-memory cluster, and the API server that calls them. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { trustAnchorOf, readBundle } from '../../../src/webhook-certificates/ca-bundle.ts';
import {
  KEYS,
  OwnCertificates,
  WebhookConfiguration,
  TrustedCertificates,
} from '../../../src/webhook-certificates/index.ts';
import { fieldsOf } from '../../../src/core/index.ts';
import { itemsOf } from '../../../src/kubernetes/index.ts';
import { runAll } from '../../../src/async/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';

export const NAME = 'vouchsafe-webhook.vouchsafe.svc';
export const SECRET = '/api/v1/namespaces/vouchsafe/secrets/vouchsafe-webhook-tls';
export const CONFIGURATION =
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vouchsafe-webhook';
export const MINUTE = 60_000;
export const DAY = 86_400_000;
export const LIFETIMES = { validityMs: 90 * DAY, renewBeforeMs: 30 * DAY } as const;

/** One replica. */
export interface Replica {
  readonly name: string;
  readonly certificates: TrustedCertificates;
  readonly own: OwnCertificates;
  readonly connection: ReturnType<MemoryKubernetes['connect']>;
  readonly logger: RecordingLogger;
  /** Shuts it down in order. */
  stop(): Promise<void>;
}

/** The cluster with its clock. */
export class World {
  readonly cluster = new MemoryKubernetes();
  readonly clock = new FakeClock();
  readonly replicas: Replica[] = [];
  /** Calls of the API server that would have failed. */
  failures = 0;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    this.cluster.put(CONFIGURATION, configuration());
  }

  start(name: string, connection = this.cluster.connect()): Replica {
    const { clock } = this;
    const [logger, random] = [recordingLogger(), seededRandom(name.length)];
    const common = { api: connection.api, clock, random, logger };
    const registration = new WebhookConfiguration({ ...common, name: 'vouchsafe-webhook' });
    const own = new OwnCertificates({
      ...common,
      ...LIFETIMES,
      namespace: 'vouchsafe',
      secretName: 'vouchsafe-webhook-tls',
      leaseName: 'vouchsafe-webhook',
      identity: name,
      dnsName: NAME,
      trusted: () => registration.bundles?.join('') ?? '',
    });
    const certificates = new TrustedCertificates({
      source: own,
      configuration: registration,
      serverName: NAME,
      patchMode: () => (own.isLeader ? 'exact' : 'missing'),
      clock,
      logger,
    });
    const stopping = new AbortController();
    const ended = runAll(stopping.signal, [(signal) => certificates.run(signal)]);
    const stop = async (): Promise<void> => {
      stopping.abort();
      await ended;
      const index = this.replicas.indexOf(replica);
      if (index >= 0) this.replicas.splice(index, 1);
    };
    const replica = { name, certificates, own, connection, logger, stop };
    this.replicas.push(replica);
    this.#t.after(stop);
    return replica;
  }

  /** Three replicas that have agreed on a leader. */
  async startThree(): Promise<readonly Replica[]> {
    const replicas = ['a', 'bb', 'ccc'].map((name) => this.start(name));
    await settle();
    assert.deepEqual(this.callable(), ['a', 'bb', 'ccc']);
    return replicas;
  }

  get leader(): Replica | undefined {
    return this.replicas.find(({ own }) => own.isLeader);
  }

  /** What the webhooks of the configuration trust. */
  get bundles(): readonly string[] {
    const webhooks = itemsOf(this.cluster.get(CONFIGURATION)?.['webhooks']);
    return webhooks.map((webhook) => {
      const { caBundle } = fieldsOf(fieldsOf(webhook)['clientConfig']);
      return Buffer.from(typeof caBundle === 'string' ? caBundle : '', 'base64').toString();
    });
  }

  /** Replicas that the API server could call now. */
  callable(): readonly string[] {
    const about = { serverName: NAME, nowMs: this.clock.now() };
    return this.replicas
      .filter(({ certificates }) =>
        this.bundles.every(
          (bundle) =>
            trustAnchorOf(certificates.current?.certificatePem ?? '', bundle, about) !== undefined,
        ),
      )
      .map(({ name }) => name);
  }

  /** Advances the clock and calls every replica at each step; a failed call is a failed admission. */
  async pass(ms: number, stepMs = 1000): Promise<void> {
    for (let rest = ms; rest > 0; rest -= stepMs) {
      await this.clock.advance(Math.min(stepMs, rest));
      await settle();
      this.failures += this.replicas.length - this.callable().length;
    }
  }

  secret(): Readonly<Record<string, string>> {
    const data = fieldsOf(this.cluster.get(SECRET)?.['data']);
    const entries = Object.entries(data).map(
      ([key, value]) => [key, Buffer.from(String(value), 'base64').toString()] as const,
    );
    return Object.fromEntries(entries);
  }

  /** How many CAs the API server trusts. */
  get trusted(): number {
    return readBundle(this.bundles[0] ?? '').length;
  }
}

/** The configuration as the chart renders it: without a caBundle. */
export function configuration(): object {
  const webhook = (name: string): object => ({
    name,
    clientConfig: { service: { name: 'vouchsafe-webhook', namespace: 'vouchsafe' } },
  });
  return { webhooks: [webhook('pods.vouchsafe.dev'), webhook('more.vouchsafe.dev')] };
}

/** Texts as the data of a Secret. */
export function secretData(texts: Readonly<Record<string, string>>): object {
  const entries = Object.entries(texts).map(
    ([key, text]) => [key, Buffer.from(text).toString('base64')] as const,
  );
  return { type: 'kubernetes.io/tls', data: Object.fromEntries(entries) };
}

export { KEYS };
