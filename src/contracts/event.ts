/** The object of a Kubernetes Event. */
export interface ObjectReference {
  /** `apps/v1` */
  readonly apiVersion: string;
  /** `ReplicaSet` */
  readonly kind: string;
  readonly name: string;
  readonly uid?: string;
}

/**
 * A Kubernetes Event to be recorded, from the webhook to the client of the API server. The fields are those of
 * `events.k8s.io/v1`.
 */
export interface EventDetails<Reason extends string = string> {
  /** Of the pod, and of the Event. */
  readonly namespace: string;
  readonly regarding: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** `Injected` */
  readonly reason: Reason;
  /** A sentence without values of users; cut at 1024 characters. */
  readonly note: string;
}
