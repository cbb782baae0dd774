/** Pods for the servers that give SVIDs on their behalf. */
import type { DevPod } from '../../src/dev/workload-api/index.ts';

/** What kubelet and API server tell of a pod. */
export function pod(name: string, rest: Partial<DevPod> = {}): DevPod {
  return {
    uid: `uid-of-${name}`,
    namespace: 'shop',
    name,
    identities: [{ spiffeId: `spiffe://example.org/${name}` }],
    ...rest,
  };
}
