/**
 * Watches the MutatingWebhookConfiguration and keeps its `caBundle` up to date.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
 */
import { fieldsOf, type Clock, type Logger, type Random } from '../core/index.ts';
import {
  Informer,
  isConflict,
  itemsOf,
  statusOf,
  type ApiObject,
  type KubernetesApi,
} from '../kubernetes/index.ts';
import { mergeBundle, type BundleEntry } from './ca-bundle.ts';

export interface WebhookConfigurationOptions {
  readonly api: KubernetesApi;
  /** Name of the MutatingWebhookConfiguration. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

const COLLECTION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

interface ObservedConfiguration {
  readonly version: string;
  /** `caBundle` of each webhook, PEM. */
  readonly bundles: readonly string[];
}

/** The configuration by which the API server calls this webhook. */
export class WebhookConfiguration {
  readonly name: string;
  readonly #options: WebhookConfigurationOptions;
  readonly #informer: Informer<ObservedConfiguration>;

  constructor(options: WebhookConfigurationOptions) {
    this.#options = options;
    this.name = options.name;
    this.#informer = new Informer({ ...options, collection: COLLECTION, read: readConfiguration });
  }

  /** The `caBundle` of each webhook, PEM. Empty where there is no configuration, undefined before it was read. */
  get bundles(): readonly string[] | undefined {
    if (this.#informer.ageMs === Infinity) return undefined;
    return this.#informer.get(this.name)?.bundles ?? [];
  }

  changes(signal: AbortSignal): AsyncIterable<undefined> {
    return this.#informer.changes(signal);
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#informer.run(signal);
  }

  /**
   * Makes every webhook trust these CAs ({@link mergeBundle}); resolves to false where nothing was changed.
   *
   * @throws VouchsafeError `ERR_KUBERNETES_API`
   */
  async trust(
    wanted: readonly BundleEntry[],
    isExact: boolean,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { api, clock } = this.#options;
    const configuration = this.#informer.get(this.name);
    if (configuration === undefined || wanted.length === 0) return false;
    const nowMs = clock.now();
    const changes = configuration.bundles.flatMap((present, index) => {
      const bundle = mergeBundle(wanted, present, { isExact, nowMs });
      const value = Buffer.from(bundle).toString('base64');
      const path = `/webhooks/${index}/clientConfig/caBundle`;
      return bundle === present ? [] : [{ op: 'add', path, value }];
    });
    if (changes.length === 0) return false;
    // Indexes of the list are valid only for this version.
    const test = { op: 'test', path: '/metadata/resourceVersion', value: configuration.version };
    const path = `${COLLECTION}/${this.name}`;
    try {
      await api.send({ method: 'PATCH', path, body: [test, ...changes] }, signal);
    } catch (error) {
      // Another client was faster; the watch reports the new version.
      if (isConflict(error) || (await this.#isOutdated(error, configuration, signal))) return false;
      throw error;
    }
    return true;
  }

  /** Whether a patch failed because of its `test`: only then is there a newer version of the object. */
  async #isOutdated(
    error: unknown,
    { version }: ObservedConfiguration,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (statusOf(error) !== 422) return false;
    const path = `${COLLECTION}/${this.name}`;
    const now = await this.#options.api.send({ method: 'GET', path }, signal);
    return now.metadata.resourceVersion !== version;
  }
}

function readConfiguration(object: ApiObject): ObservedConfiguration {
  const bundles = itemsOf(object['webhooks']).map((webhook) => {
    const { caBundle } = fieldsOf(fieldsOf(webhook)['clientConfig']);
    return typeof caBundle === 'string' ? Buffer.from(caBundle, 'base64').toString('utf8') : '';
  });
  return { version: object.metadata.resourceVersion ?? '', bundles };
}
