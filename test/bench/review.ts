/** An AdmissionReview as the API server sends it for a pod of a Deployment that asks for three secrets. */
const LABELS = {
  app: 'shop',
  'app.kubernetes.io/name': 'shop',
  'app.kubernetes.io/part-of': 'shop',
  'pod-template-hash': '6c9f7b9d5b',
};

const PROBE = { httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1 };

const TOKEN_MOUNT = {
  name: 'kube-api-access-x7k2p',
  readOnly: true,
  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
};

const POD = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: {
    generateName: 'shop-6c9f7b9d5b-',
    creationTimestamp: null,
    labels: LABELS,
    annotations: {
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': '8080',
      'vouchsafe.dev/inject': 'true',
      'vouchsafe.dev/role': 'shop',
      'vouchsafe.dev/secret-config': 'kvv2/shop/config',
      'vouchsafe.dev/file-config': 'config.properties',
      'vouchsafe.dev/template-config':
        'api.key={{properties api_key}}\napi.url={{properties api_url}}\n',
      'vouchsafe.dev/secret-db': 'database/creds/shop',
      'vouchsafe.dev/format-db': 'env',
      'vouchsafe.dev/file-db': 'db.env',
      'vouchsafe.dev/secret-mail': 'kvv2/shop/mail',
    },
    ownerReferences: [
      {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        name: 'shop-6c9f7b9d5b',
        uid: '0c2b3a52-7a0e-4e0c-9a3e-6f1d2a7f1b11',
        controller: true,
        blockOwnerDeletion: true,
      },
    ],
  },
  spec: {
    volumes: [
      {
        name: TOKEN_MOUNT.name,
        projected: {
          sources: [
            { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
            { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          ],
          defaultMode: 420,
        },
      },
    ],
    containers: [
      {
        name: 'shop',
        image: 'registry.example.org/shop:1.42.0',
        ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
        env: [
          { name: 'LOG_LEVEL', value: 'info' },
          {
            name: 'POD_NAME',
            valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } },
          },
        ],
        resources: { limits: { memory: '512Mi' }, requests: { cpu: '250m', memory: '256Mi' } },
        volumeMounts: [TOKEN_MOUNT],
        livenessProbe: { ...PROBE, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 },
        readinessProbe: { ...PROBE, periodSeconds: 5, successThreshold: 1, failureThreshold: 3 },
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
        imagePullPolicy: 'IfNotPresent',
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
      },
    ],
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    serviceAccountName: 'shop',
    serviceAccount: 'shop',
    securityContext: { fsGroup: 2000, runAsNonRoot: true },
    schedulerName: 'default-scheduler',
    tolerations: [
      {
        key: 'node.kubernetes.io/not-ready',
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: 300,
      },
      {
        key: 'node.kubernetes.io/unreachable',
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: 300,
      },
    ],
    priority: 0,
    enableServiceLinks: true,
    preemptionPolicy: 'PreemptLowerPriority',
  },
  status: {},
};

/** The whole body. */
export const REVIEW = JSON.stringify({
  kind: 'AdmissionReview',
  apiVersion: 'admission.k8s.io/v1',
  request: {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    requestKind: { group: '', version: 'v1', kind: 'Pod' },
    requestResource: { group: '', version: 'v1', resource: 'pods' },
    namespace: 'shop',
    operation: 'CREATE',
    userInfo: {
      username: 'system:serviceaccount:kube-system:replicaset-controller',
      uid: '4f6d6a35-9f5c-4a4f-8e0f-0b9a5b3e2c11',
      groups: [
        'system:serviceaccounts',
        'system:serviceaccounts:kube-system',
        'system:authenticated',
      ],
    },
    object: POD,
    oldObject: null,
    dryRun: false,
    options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
  },
});
