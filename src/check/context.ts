/**
 * The input of all checks.
 */
import type { CheckTemplate } from '../contracts/index.ts';
import { fieldsOf, type Clock } from '../core/index.ts';
import type { ApiObject, KubernetesApi } from '../kubernetes/index.ts';
import type { Cluster } from './cluster.ts';

export interface CheckOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly checkTemplate: CheckTemplate;
  /** Checks only the pods of this namespace, and tries the webhook there. Default: all namespaces, and `default`. */
  readonly namespace?: string | undefined;
  /** Selects one of several installations. */
  readonly installNamespace?: string | undefined;
  readonly release?: string | undefined;
  /** Also starts a pod that logs in to Vault. */
  readonly probe?: ProbeOptions | undefined;
}

/** Service account and settings of the probe pod. */
export interface ProbeOptions {
  readonly namespace: string;
  readonly serviceAccount: string | undefined;
  /** Settings by annotation name without prefix. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The input of each check. */
export interface Context extends CheckOptions {
  readonly cluster: Cluster;
  readonly signal: AbortSignal;
}

/** The installation that was found. */
export interface FoundInstallation {
  /** Name of the Service, Deployment and ConfigMap. */
  readonly name: string;
  readonly namespace: string;
  /** Undefined where it does not exist, or may not be read. */
  readonly configuration: ApiObject | undefined;
}

/** Name of the webhook for pods with annotations of their own. */
export const PODS_WEBHOOK = 'pods.vouchsafe.dev';

/** The text at a path of an object; empty where there is none. */
export function textAt(object: unknown, ...path: readonly string[]): string {
  const value = fieldAt(object, ...path);
  return typeof value === 'string' ? value : '';
}

/** The value at a path of an object; undefined where there is none. */
export function fieldAt(object: unknown, ...path: readonly string[]): unknown {
  return path.reduce((rest, name) => fieldsOf(rest)[name], object);
}
