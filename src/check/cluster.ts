/**
 * Reads and creates objects of a cluster, and names missing rights.
 */
import { fieldsOf, VouchsafeError } from '../core/index.ts';
import {
  itemsOf,
  statusOf,
  type ApiObject,
  type ApiRequest,
  type KubernetesApi,
} from '../kubernetes/index.ts';

/** A kind of object. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  /** Default: `v1`. */
  readonly version?: string;
  readonly plural: string;
}

/** The kinds that are checked. */
export const RESOURCE = {
  configMaps: { group: '', plural: 'configmaps' },
  csiDrivers: { group: 'storage.k8s.io', plural: 'csidrivers' },
  csiNodes: { group: 'storage.k8s.io', plural: 'csinodes' },
  daemonSets: { group: 'apps', plural: 'daemonsets' },
  deployments: { group: 'apps', plural: 'deployments' },
  endpointSlices: { group: 'discovery.k8s.io', plural: 'endpointslices' },
  events: { group: '', plural: 'events' },
  limitRanges: { group: '', plural: 'limitranges' },
  namespaces: { group: '', plural: 'namespaces' },
  nodes: { group: '', plural: 'nodes' },
  pods: { group: '', plural: 'pods' },
  policies: { group: 'admissionregistration.k8s.io', plural: 'validatingadmissionpolicies' },
  policyBindings: {
    group: 'admissionregistration.k8s.io',
    plural: 'validatingadmissionpolicybindings',
  },
  quotas: { group: '', plural: 'resourcequotas' },
  services: { group: '', plural: 'services' },
  trustBundles: { group: 'certificates.k8s.io', plural: 'clustertrustbundles' },
  webhooks: { group: 'admissionregistration.k8s.io', plural: 'mutatingwebhookconfigurations' },
} as const satisfies Readonly<Record<string, Resource>>;

const PAGE = 500;

/** Which objects to list. Without a namespace, those of the whole cluster. */
export interface Where {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** A cluster, with the rights of the caller. */
export class Cluster {
  readonly #api: KubernetesApi;
  readonly #signal: AbortSignal;

  constructor(api: KubernetesApi, signal: AbortSignal) {
    this.#api = api;
    this.#signal = signal;
  }

  /** `v1.34.2` */
  async version(): Promise<string> {
    const { gitVersion } = await this.#api.send({ method: 'GET', path: '/version' }, this.#signal);
    return typeof gitVersion === 'string' ? gitVersion : '';
  }

  /** Undefined where the object or its kind does not exist. */
  async get(resource: Resource, name: string, namespace?: string): Promise<ApiObject | undefined> {
    const path = `${pathOf(resource, namespace)}/${encodeURIComponent(name)}`;
    try {
      return await this.#send({ method: 'GET', path }, rightOf('get', resource, namespace));
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  /** Whether the API server has this kind; true where that cannot be asked, which most callers can. */
  async serves({ group, version = 'v1', plural }: Resource): Promise<boolean> {
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    try {
      const { resources } = await this.#api.send({ method: 'GET', path }, this.#signal);
      return itemsOf(resources).some((one) => fieldsOf(one)['name'] === plural);
    } catch (error) {
      if (statusOf(error) === 403) return true;
      if (statusOf(error) === 404) return false;
      throw error;
    }
  }

  /** Lists all objects, page by page. */
  async list(resource: Resource, where: Where = {}): Promise<readonly ApiObject[]> {
    const { namespace, ...selectors } = where;
    const path = pathOf(resource, namespace);
    const found: ApiObject[] = [];
    let next = '';
    do {
      const query = { ...selectors, limit: String(PAGE), ...(next !== '' && { continue: next }) };
      const needs = rightOf('list', resource, namespace);
      const page = await this.#send({ method: 'GET', path, query }, needs);
      found.push(...itemsOf(page['items']).map(objectOf));
      const token = page.metadata['continue'];
      next = typeof token === 'string' ? token : '';
    } while (next !== '');
    return found;
  }

  /**
   * Creates a pod. Errors keep the message of the API server, because the pods of a check contain no secret.
   *
   * @throws VouchsafeError `ERR_KUBERNETES_API`
   */
  createPod(pod: object, namespace: string, isDryRun: boolean): Promise<ApiObject> {
    const path = pathOf(RESOURCE.pods, namespace);
    const query = isDryRun ? { dryRun: 'All' } : {};
    return this.#api.send(
      { method: 'POST', path, query, body: pod, keepsServerMessage: true },
      this.#signal,
    );
  }

  /** Deletes a pod at once, even after the check was aborted. */
  async deletePod(name: string, namespace: string): Promise<void> {
    const path = `${pathOf(RESOURCE.pods, namespace)}/${encodeURIComponent(name)}`;
    const query = { gracePeriodSeconds: '0' };
    await this.#api.send({ method: 'DELETE', path, query }, new AbortController().signal);
  }

  async #send(request: ApiRequest, needs: string): Promise<ApiObject> {
    try {
      return await this.#api.send(request, this.#signal);
    } catch (cause) {
      if (statusOf(cause) !== 403) throw cause;
      throw new VouchsafeError('ERR_KUBERNETES_API', needs, { cause, details: { status: 403 } });
    }
  }
}

/** Describes a right: `requires the right to list pods in namespace shop`. */
export function rightOf(verb: string, { group, plural }: Resource, namespace?: string): string {
  const kind = group === '' ? plural : `${plural}.${group}`;
  return `requires the right to ${verb} ${kind}${namespace === undefined ? '' : ` in namespace ${namespace}`}`;
}

function pathOf({ group, version = 'v1', plural }: Resource, namespace?: string): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const within = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${within}/${plural}`;
}

function objectOf(item: unknown): ApiObject {
  const object = fieldsOf(item);
  return { ...object, metadata: fieldsOf(object['metadata']) };
}
