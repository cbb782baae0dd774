/** Identifies a pod. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A pod as the API server reports it, never as the requester of SVIDs does. */
export interface PodFacts extends PodName {
  readonly serviceAccount: string;
  readonly nodeName: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owners?: readonly {
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
  }[];
}
