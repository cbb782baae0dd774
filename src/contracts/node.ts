/** What decides whether a pod may be scheduled to a node, and what its kubelet can do. */
export interface NodeFacts {
  readonly name: string;
  /** Version of the kubelet: `v1.37.2`. */
  readonly version: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * The nodes whose kubelet does not support environment variables from files, or `unknown` if they have not been listed, or not
 * for long.
 */
export type NodesWithoutEnvFiles = readonly NodeFacts[] | 'unknown';
