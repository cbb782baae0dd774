/**
 * Pods that a check creates: they comply with the restricted Pod Security Standard and with quotas.
 */

/** What differs between the pods of a check. */
export interface PodParts {
  readonly labels?: unknown;
  readonly annotations: Readonly<Record<string, string>>;
  /** Image, command and so on. */
  readonly container: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** The user of distroless images, and of the image of the agent. */
const USER = 65_532;

/** A pod with one container. */
export function restrictedPod({ labels, annotations, container, spec }: PodParts): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'vouchsafe-check-', labels, annotations },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: USER,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      ...spec,
      containers: [
        {
          name: 'check',
          resources: {
            requests: { cpu: '10m', memory: '64Mi' },
            limits: { cpu: '1', memory: '128Mi' },
          },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          ...container,
        },
      ],
    },
  };
}
