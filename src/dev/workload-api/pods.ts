/**
 * The pods of a development server that issues SVIDs on their behalf: a table that replaces the kubelet and the
 * registration entries.
 */
import type { DevIdentity, Issuer, MintedSvid } from './issuer.ts';

/** A pod with its identities. */
export interface DevPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Default none: the pod is known, but nothing is issued. */
  readonly identities?: readonly DevIdentity[];
  /** Delegated Identity API: selectors of its registration entries. Default: only `k8s:pod-uid:<uid>`. */
  readonly selectors?: readonly string[];
  /** Broker API: whether the broker has the verb `impersonate-via-spire` on the pod. Default true. */
  readonly mayBeImpersonated?: boolean;
}

/** A pod with its X.509-SVIDs. */
export interface PodRow {
  readonly pod: DevPod;
  readonly svids: readonly MintedSvid[];
}

/** The table. */
export class PodTable {
  readonly #issuer: Issuer;
  #rows: readonly PodRow[] = [];

  constructor(issuer: Issuer, pods: readonly DevPod[]) {
    this.#issuer = issuer;
    this.set(pods);
  }

  /** Replaces all pods. As with SPIRE, an unchanged pod keeps its X.509-SVIDs. */
  set(pods: readonly DevPod[]): void {
    const before = new Map(this.#rows.map((row) => [JSON.stringify(row.pod), row]));
    this.#rows = pods.map((pod) => before.get(JSON.stringify(pod)) ?? this.#rowOf(pod));
  }

  /** New X.509-SVIDs for all pods. */
  rotate(): void {
    this.#rows = this.#rows.map(({ pod }) => this.#rowOf(pod));
  }

  find(isWanted: (pod: DevPod) => boolean): PodRow | undefined {
    return this.#rows.find(({ pod }) => isWanted(pod));
  }

  /** SVIDs of all pods whose selectors are all given. */
  matching(selectors: ReadonlySet<string>): readonly MintedSvid[] {
    return this.#rows
      .filter(({ pod }) =>
        (pod.selectors ?? [`k8s:pod-uid:${pod.uid}`]).every((one) => selectors.has(one)),
      )
      .flatMap(({ svids }) => svids);
  }

  #rowOf(pod: DevPod): PodRow {
    return { pod, svids: this.#issuer.mintX509Svids(pod.identities ?? []) };
  }
}
