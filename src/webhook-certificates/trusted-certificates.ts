/**
 * Serves only certificates that the API server trusts, and makes it trust new ones: a new certificate is held back
 * until the webhook configuration trusts its CA, and until then the last valid one is served.
 */
import type { X509Certificate } from 'node:crypto';
import { NO_LOGGER, toVouchsafeError, type Clock, type Logger } from '../core/index.ts';
import { WakeableTimer, Latest, runAll } from '../async/index.ts';
import type { Certificates, ServingCertificate } from './file-certificates.ts';
import type { WebhookConfiguration } from './webhook-configuration.ts';
import { trustAnchorOf, isSame, readBundle } from './ca-bundle.ts';

export interface TrustedCertificatesOptions {
  /** Source of certificates; their `caPem` are the CAs to be trusted. */
  readonly source: Certificates;
  readonly configuration: WebhookConfiguration;
  /** The DNS name of the service. */
  readonly serverName: string;
  /**
   * How the bundle of the configuration is updated: `never`, where it is managed elsewhere; `missing` adds missing CAs;
   * `exact` also removes all others. Called at each check.
   */
  readonly patchMode: () => 'never' | 'missing' | 'exact';
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** Longest time until all API servers use a new bundle. */
const SETTLE_MS = 10_000;
/** Everything is checked at this interval even without a change. */
const CHECK_INTERVAL_MS = 60_000;
/** Wait after a bundle could not be written. */
const RETRY_MS = 2000;

/** What to do with a new certificate. */
type Choice =
  | { readonly kind: 'serve' }
  /** All API servers trust it after this time at the latest. */
  | { readonly kind: 'hold for'; readonly waitMs: number }
  /** Until something changes: there is none, or the API server does not trust it yet and the served one is still valid. */
  | { readonly kind: 'hold' };

const SERVE: Choice = { kind: 'serve' };

/** Certificates of a source, held back until they are trusted. */
export class TrustedCertificates implements Certificates {
  readonly #options: TrustedCertificatesOptions;
  readonly #logger: Logger;
  readonly #timer: WakeableTimer;
  readonly #latest = new Latest<ServingCertificate>();
  #served: ServingCertificate | undefined;
  /** A certificate that is trusted, held back until all API servers use the new bundle. */
  #held: { readonly certificatePem: string; readonly sinceMs: number } | undefined;
  #lastProblem = '';

  constructor(options: TrustedCertificatesOptions) {
    this.#options = options;
    this.#logger = options.logger ?? NO_LOGGER;
    this.#timer = new WakeableTimer(options.clock);
  }

  get current(): ServingCertificate | undefined {
    return this.#latest.current;
  }

  first(signal: AbortSignal): Promise<ServingCertificate> {
    return this.#latest.wait(signal);
  }

  updates(signal: AbortSignal): AsyncIterable<ServingCertificate> {
    return this.#latest.updates(signal);
  }

  /** Checks again, at once. */
  wake(): void {
    this.#timer.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, configuration } = this.#options;
    const wakeOn = async (changes: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of changes) this.#timer.wake();
    };
    await runAll(signal, [
      (inner) => source.run(inner),
      (inner) => configuration.run(inner),
      (inner) => wakeOn(source.updates(inner)),
      (inner) => wakeOn(configuration.changes(inner)),
      (inner) => this.#reconcileLoop(inner),
    ]);
  }

  async #reconcileLoop(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const choice = this.#publishChoice();
      const isUpdated = await this.#updateBundle(signal);
      const waitMs = Math.min(
        choice.kind === 'hold for' ? choice.waitMs : CHECK_INTERVAL_MS,
        isUpdated ? CHECK_INTERVAL_MS : RETRY_MS,
      );
      await this.#timer.waitUntil(clock.monotonicMs() + waitMs, signal);
    }
  }

  /** Publishes the certificate to serve; returns what was chosen for the newest one of the source. */
  #publishChoice(): Choice {
    const candidate = this.#options.source.current;
    if (candidate === undefined) return { kind: 'hold' };
    const choice = this.#choose(candidate);
    if (choice.kind === 'serve') {
      this.#served = candidate;
      this.#held = undefined;
    }
    const next = this.#withTrust(this.#served ?? candidate);
    const { current } = this.#latest;
    const isSameAsBefore =
      current?.certificatePem === next.certificatePem &&
      current.caPem === next.caPem &&
      current.problem === next.problem;
    if (!isSameAsBefore) this.#latest.set(next);
    return choice;
  }

  #choose(candidate: ServingCertificate): Choice {
    const { clock } = this.#options;
    const served = this.#served;
    if (served === undefined || served.certificatePem === candidate.certificatePem) return SERVE;
    const now = this.#anchors(candidate);
    const before = this.#anchors(served);
    // An expired certificate is not worth keeping.
    if (now === undefined) {
      return clock.now() < served.expiresAtMs ? { kind: 'hold' } : SERVE;
    }
    if (before === undefined) return SERVE;
    const isSameAuthority = now.every((anchor, index) => {
      const other = before[index];
      return other !== undefined && isSame(anchor, other);
    });
    if (isSameAuthority) return SERVE;
    const { certificatePem } = candidate;
    if (this.#held?.certificatePem !== certificatePem) {
      this.#held = { certificatePem, sinceMs: clock.monotonicMs() };
    }
    const waitMs = this.#held.sinceMs + SETTLE_MS - clock.monotonicMs();
    return waitMs > 0 ? { kind: 'hold for', waitMs } : SERVE;
  }

  /** The CA by which each webhook trusts a certificate; undefined where one of them does not. */
  #anchors({ certificatePem }: ServingCertificate): readonly X509Certificate[] | undefined {
    const { configuration, serverName, clock } = this.#options;
    const about = { serverName, nowMs: clock.now() };
    const { bundles = [] } = configuration;
    const anchors = bundles.flatMap((bundle) => trustAnchorOf(certificatePem, bundle, about) ?? []);
    return bundles.length > 0 && anchors.length === bundles.length ? anchors : undefined;
  }

  #withTrust(served: ServingCertificate): ServingCertificate {
    const { configuration, serverName, clock } = this.#options;
    const { bundles } = configuration;
    const about = { serverName, nowMs: clock.now() };
    const isTrusting = (bundle: string): boolean =>
      trustAnchorOf(served.certificatePem, bundle, about) !== undefined;
    const caPem = bundles?.find((bundle) => !isTrusting(bundle)) ?? bundles?.[0];
    return { ...served, serverName, caPem: caPem ?? '', problem: this.#problemOf(bundles) };
  }

  #problemOf(bundles: readonly string[] | undefined): string | undefined {
    const what = `MutatingWebhookConfiguration "${this.#options.configuration.name}"`;
    if (bundles === undefined) return `${what} has not been read yet`;
    return bundles.length === 0 ? `${what} does not exist, or has no webhooks` : undefined;
  }

  /** Returns false if the bundle could not be written. */
  async #updateBundle(signal: AbortSignal): Promise<boolean> {
    const { source, configuration, patchMode } = this.#options;
    const mode = patchMode();
    if (mode === 'never') return true;
    try {
      const wanted = readBundle(source.current?.caPem ?? '');
      if (await configuration.trust(wanted, mode === 'exact', signal)) {
        this.#logger.info('caBundle of the webhook configuration updated', {
          webhook_configuration: configuration.name,
          authorities: wanted.length,
        });
      }
      this.#lastProblem = '';
      return true;
    } catch (caught) {
      signal.throwIfAborted();
      const error = toVouchsafeError(caught);
      if (error.message !== this.#lastProblem) {
        this.#logger.error('caBundle of the webhook configuration cannot be updated', { error });
      }
      this.#lastProblem = error.message;
      return false;
    }
  }
}
