/**
 * What all checks go by.
 */
import type { CheckTemplate } from '../admission/index.ts';
import type { Clock } from '../core/index.ts';
import { fieldsOf, type ApiObject, type KubernetesApi } from '../kubernetes/index.ts';
import type { Cluster } from './cluster.ts';

/** What {@link runChecks} needs. */
export interface CheckOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly checkTemplate: CheckTemplate;
  /** Looks at the pods of this namespace alone, and tries the webhook there; all namespaces, and `default`. */
  readonly namespace?: string | undefined;
  /** Which installation, where there are several. */
  readonly installNamespace?: string | undefined;
  readonly release?: string | undefined;
  /** Starts a pod that logs in to Vault. */
  readonly probe?: ProbeOptions | undefined;
}

/** As whom and with what a pod is to try its luck. */
export interface ProbeOptions {
  readonly namespace: string;
  readonly serviceAccount: string | undefined;
  /** Settings by annotation name without prefix. */
  readonly settings: Readonly<Record<string, string>>;
}

/** What checks go by. */
export interface Context extends CheckOptions {
  readonly cluster: Cluster;
  readonly signal: AbortSignal;
}

/** What the API server calls, as far as it was found out. */
export interface FoundInstallation {
  /** Name of the Service, Deployment and ConfigMap. */
  readonly name: string;
  readonly namespace: string;
  /** Undefined where it is not there, or may not be seen. */
  readonly configuration: ApiObject | undefined;
}

/** Name of the webhook for pods that ask themselves. */
export const PODS_WEBHOOK = 'pods.vouchsafe.dev';

/** A text at a path of an object: `metadata.labels`; names with dots are a list's business. */
export function textAt(object: unknown, ...path: readonly string[]): string {
  const value = fieldAt(object, ...path);
  return typeof value === 'string' ? value : '';
}

/** Whatever is at a path of an object; undefined where there is no such path. */
export function fieldAt(object: unknown, ...path: readonly string[]): unknown {
  return path.reduce((rest, name) => fieldsOf(rest)[name], object);
}

/** True before `v1.MINOR`; a version that cannot be read is a new one. */
export function isBefore(version: string, minor: number): boolean {
  const [, found] = /^v?1\.(\d+)/.exec(version) ?? [];
  return found !== undefined && Number(found) < minor;
}
