/**
 * Manifests of the command line, with the webhook's results for the pods in them.
 */
import {
  inject,
  misplacedSettings,
  ownerOf,
  readPod,
  workloadRefOf,
  type InjectionResult,
  type Pod,
} from '../admission/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { fieldsOf, toVouchsafeError, VouchsafeError } from '../core/index.ts';
import { checkTemplate } from '../template/index.ts';
import { readInstallation } from './installation.ts';
import { filesOf, readInput, type Io } from './io.ts';
import {
  findPods,
  namespaceAnnotations,
  parseManifests,
  type FoundPod,
  type Manifest,
} from './manifest.ts';

/** Options of the commands that read manifests. */
export interface ManifestOptions {
  /** Files and directories; `-` is standard input. Default: standard input. */
  readonly file?: readonly string[];
  readonly values?: string;
  readonly kubeVersion?: string;
  readonly namespace: string;
}

/** A pod of a manifest and the webhook's result for it. */
export interface InjectedPod {
  readonly manifest: Manifest;
  readonly found: FoundPod;
  readonly result: InjectionResult;
  /** What the manifest sets where its pods do not get it; empty for all but the first pod of a manifest. */
  readonly misplaced: readonly string[];
}

/** A manifest without a pod of its own about which there is something to report. */
export interface PodlessManifest {
  readonly owner: string;
  readonly namespace: string;
  /** Where its pods come from. */
  readonly message: string;
  readonly warnings: readonly string[];
}

/** Manifests with the webhook's results for their pods. */
export interface InjectedManifests {
  readonly manifests: readonly Manifest[];
  readonly pods: readonly InjectedPod[];
  readonly podless: readonly PodlessManifest[];
  readonly installation: Installation;
}

/** Reads manifests and runs the admission function for each pod in them. */
export async function admitManifests(io: Io, options: ManifestOptions): Promise<InjectedManifests> {
  const installation = await readInstallation(io, options.values);
  const manifests: Manifest[] = [];
  for (const path of options.file ?? ['-']) {
    for (const file of await filesOf(io, path)) {
      const name = file === '-' ? 'standard input' : file;
      manifests.push(...parseManifests(await readInput(io, file), name));
    }
  }
  const pods = podsOf(manifests, installation, options);
  return {
    manifests,
    pods,
    podless: podlessOf(manifests, pods, { installation, options }),
    installation,
  };
}

function podsOf(
  manifests: readonly Manifest[],
  installation: Installation,
  { namespace, kubeVersion }: ManifestOptions,
): readonly InjectedPod[] {
  const namespaces = namespaceAnnotations(manifests);
  const prefix = installation.annotationPrefix;
  return manifests.flatMap((manifest) => {
    const all = findPods(manifest, namespace);
    const pods = all.flatMap((found) => {
      const pod = podOf(found, prefix);
      return pod === undefined ? [] : [{ found, pod }];
    });
    const templates = all.map(({ template }) => template);
    return pods.map(({ found, pod }, index): InjectedPod => {
      const result = inject({
        pod,
        namespace: found.namespace,
        namespaceAnnotations: namespaces.get(found.namespace),
        installation,
        kubeVersion,
        checkTemplate,
      });
      const misplaced = index === 0 ? misplacedSettings(manifest, { prefix, templates }) : [];
      return { manifest, found, result, misplaced };
    });
  });
}

/**
 * Names the object in the error of an invalid pod. Undefined for what only looks like a pod template, in a kind that is
 * not known.
 */
function podOf({ pod, owner, template }: FoundPod, prefix: string): Pod | undefined {
  try {
    return readPod(pod);
  } catch (cause) {
    const annotations = fieldsOf(fieldsOf(pod['metadata'])['annotations']);
    const isOurs = Object.keys(annotations).some((name) => name.startsWith(`${prefix}/`));
    if (!template.isKnownKind && !isOurs) return undefined;
    const { code, message } = toVouchsafeError(cause);
    throw new VouchsafeError(code, `${owner}: ${message}`, { cause });
  }
}

function podlessOf(
  manifests: readonly Manifest[],
  pods: readonly InjectedPod[],
  {
    installation,
    options,
  }: { readonly installation: Installation; readonly options: ManifestOptions },
): readonly PodlessManifest[] {
  const withPods = new Set(pods.map(({ manifest }) => manifest));
  const owners = new Set(pods.map(({ found }) => found.template.owner));
  const podAnnotations = pods.map(({ found }) =>
    fieldsOf(fieldsOf(found.pod['metadata'])['annotations']),
  );
  const prefix = installation.annotationPrefix;
  return manifests.flatMap((manifest) => {
    if (withPods.has(manifest)) return [];
    const reference = workloadRefOf(manifest);
    const warnings = [
      ...(reference === undefined || owners.has(reference)
        ? []
        : [
            `the pod template is in ${reference} (spec.workloadRef), which is not in these manifests`,
          ]),
      ...misplacedSettings(manifest, { prefix, templates: [], podAnnotations }),
    ];
    if (reference === undefined && warnings.length === 0) return [];
    const namespace = fieldsOf(manifest['metadata'])['namespace'];
    const message =
      reference === undefined
        ? 'No pod template is known in this kind.'
        : `The pods are created from the template of ${reference} (spec.workloadRef).`;
    return [
      {
        owner: ownerOf(manifest),
        namespace: typeof namespace === 'string' ? namespace : options.namespace,
        message,
        warnings,
      },
    ];
  });
}

/** Warnings about manifests, one line each, in the order of the manifests' pods; those of admission are not included. */
export function misplacementLines({
  pods,
  podless,
}: Pick<InjectedManifests, 'pods' | 'podless'>): readonly string[] {
  return [
    ...pods.flatMap(({ found, misplaced }) =>
      misplaced.map((text) => `warning: ${found.template.owner}: ${text}`),
    ),
    ...podless.flatMap(({ owner, warnings }) =>
      warnings.map((text) => `warning: ${owner}: ${text}`),
    ),
  ];
}
