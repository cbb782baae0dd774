/** Pods for the servers that give SVIDs on their behalf. */
import type { DevPod } from '../../src/dev/workload-api/index.ts';

/** What kubelet and API server know about a pod. */
export function pod(name: string, rest: Partial<DevPod> = {}): DevPod {
  return {
    uid: `uid-of-${name}`,
    namespace: 'shop',
    name,
    identities: [{ spiffeId: `spiffe://example.org/${name}` }],
    ...rest,
  };
}

/** A pod of a node as the API server has it. */
export function podObject(
  pod: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly serviceAccount: string;
  },
  nodeName: string,
  labels: Readonly<Record<string, string>> = {},
): { metadata: Record<string, unknown>; spec: Record<string, unknown> } {
  const { namespace, name, uid, serviceAccount } = pod;
  return {
    metadata: { namespace, name, uid, labels },
    spec: { nodeName, serviceAccountName: serviceAccount },
  };
}
