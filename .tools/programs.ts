/**
 * The real servers and clients that the suites run against, as Go programs of the modules in test/servers: one module for each
 * that brings its own versions of what others bring too.
 */
import { basename } from 'node:path';

/** A program of the module in test/servers. */
export interface Program {
  readonly name: string;
  /** Its module; test/servers itself by default. */
  readonly module?: string;
  /** Path for `go build`. */
  readonly path: string;
  /** The `go.mod` of the module, where it has several. */
  readonly modfile?: string;
  /** Name of the binary; the end of `path` by default. */
  readonly binary?: string;
  readonly tags?: string;
  /** Linked into images without libraries. */
  readonly isStatic?: boolean;
  /** What the linker writes into its variables. */
  readonly versions?: Readonly<Record<string, string>>;
  /** Tells the tests where the binary is. */
  readonly variable: string;
  readonly patience: string;
}

export const SPIFFECHECK: Program = {
  name: 'spiffecheck with go-spiffe 2.6.0',
  path: './cmd/spiffecheck',
  variable: 'VOUCHSAFE_TEST_SPIFFECHECK',
  patience: 'seconds with warm caches, a minute with cold ones',
};

export const VAULT: Program = {
  name: 'Vault 1.21.1',
  path: 'github.com/hashicorp/vault',
  variable: 'VOUCHSAFE_TEST_VAULT',
  patience: 'half a minute with warm caches, a quarter of an hour with cold ones',
};

export const CSI_SANITY: Program = {
  name: 'csi-sanity 5.6.0',
  module: 'sanity',
  path: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
  variable: 'VOUCHSAFE_TEST_CSI_SANITY',
  patience: 'seconds with warm caches, a minute with cold ones',
};

export const QUERIES: Program = {
  name: 'an application that asks PostgreSQL',
  path: './cmd/queries',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_QUERIES',
  patience: 'seconds with warm caches',
};

export const VARIABLES: Program = {
  name: 'an application that reads its environment',
  path: './cmd/variables',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_VARIABLES',
  patience: 'seconds with warm caches',
};

/** What the suites of a cluster run on; the first is the default. */
export const KUBERNETES_VERSIONS = ['1.37.2', '1.36.3', '1.35.4', '1.34.4'] as const;
const [DEFAULT_KUBERNETES] = KUBERNETES_VERSIONS;

/** The cluster's programs of a version: `1.37`. Throws where there is none of it. */
export function kubernetesOf(wanted: string | undefined): Program {
  const version = KUBERNETES_VERSIONS.find((one) => minorOf(one) === (wanted ?? minorOf(one)));
  if (version === undefined) {
    const known = KUBERNETES_VERSIONS.map(minorOf).join(', ');
    throw new Error(`--kubernetes ${wanted ?? ''}: there are ${known}`);
  }
  const [major = '', minor = ''] = version.split('.');
  const isDefault = version === DEFAULT_KUBERNETES;
  return {
    name: `Kubernetes ${version}`,
    module: 'kubernetes',
    path: './cmd/kubernetes',
    ...(isDefault ? {} : { modfile: `${minorOf(version)}.mod` }),
    binary: isDefault ? 'kubernetes' : `kubernetes-${minorOf(version)}`,
    versions: {
      'k8s.io/component-base/version.gitVersion': `v${version}`,
      'k8s.io/component-base/version.gitMajor': major,
      'k8s.io/component-base/version.gitMinor': minor,
    },
    variable: 'VOUCHSAFE_TEST_KUBERNETES',
    patience: 'a minute with warm caches, ten with cold ones',
  };
}

function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

/** What a chart is rendered for where no cluster is asked. */
const [CHART_MAJOR = '', CHART_MINOR = ''] = DEFAULT_KUBERNETES.split('.');

export const HELM: Program = {
  name: 'Helm 4.3.1',
  module: 'helm',
  path: 'helm.sh/helm/v4/cmd/helm',
  versions: {
    'helm.sh/helm/v4/internal/version.version': 'v4.3.1',
    'helm.sh/helm/v4/pkg/chart/common.k8sVersionMajor': CHART_MAJOR,
    'helm.sh/helm/v4/pkg/chart/common.k8sVersionMinor': CHART_MINOR,
  },
  variable: 'VOUCHSAFE_TEST_HELM',
  patience: 'half a minute with warm caches, minutes with cold ones',
};

export const SPIRE_SERVER: Program = spire('cmd/spire-server');
export const SPIRE_AGENT: Program = spire('cmd/spire-agent');
export const SPIRE_OIDC: Program = spire('support/oidc-discovery-provider');

/** All that SPIRE is made of. */
export const SPIRE: readonly Program[] = [SPIRE_SERVER, SPIRE_AGENT, SPIRE_OIDC];

function spire(path: string): Program {
  const name = basename(path);
  return {
    name: `${name} 1.15.3`,
    module: 'spire',
    path: `github.com/spiffe/spire/${path}`,
    variable: `VOUCHSAFE_TEST_${name.replaceAll('-', '_').toUpperCase()}`,
    patience: 'half a minute with warm caches, minutes with cold ones',
  };
}

export const CONTAINERD: Program = containers('containerd');
export const RUNC: Program = {
  ...containers('runc'),
  name: 'runc 1.5.3',
  path: 'github.com/opencontainers/runc',
  tags: 'seccomp', // with cgo and libseccomp: the runtime's profile applies to every pod
};

/** The container runtime of a node; its parts find each other in one directory. */
export const CONTAINER_RUNTIME: readonly Program[] = [
  CONTAINERD,
  containers('containerd-shim-runc-v2'),
  containers('ctr'),
  RUNC,
];

function containers(name: string): Program {
  return {
    name: `${name} 2.4.2`,
    module: 'containers',
    path: `github.com/containerd/containerd/v2/cmd/${name}`,
    variable: `VOUCHSAFE_TEST_${name.replaceAll('-', '_').toUpperCase()}`,
    patience: 'seconds with warm caches, a minute with cold ones',
  };
}

export const PAUSE: Program = {
  name: 'pause',
  module: 'kubernetes',
  path: './cmd/pause',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_PAUSE',
  patience: 'seconds',
};

export const CSI: Program = {
  name: 'csi',
  module: 'kubernetes',
  path: './cmd/csi',
  isStatic: true,
  variable: 'VOUCHSAFE_TEST_CSI',
  patience: 'seconds',
};
