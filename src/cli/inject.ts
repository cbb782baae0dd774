/**
 * `vouchsafe inject`: the webhook's admission function for manifests and reviews in files.
 */
import { EXIT, explainProblems, toVouchsafeError, VouchsafeError } from '../core/index.ts';
import { inject, readPod, review, type InjectionResult, type Pod } from '../admission/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { checkTemplate } from '../template/index.ts';
import { readInstallation } from './installation.ts';
import { readInput, type Io } from './io.ts';
import {
  findPod,
  isManifest,
  namespaceAnnotations,
  parseManifests,
  printManifests,
  type FoundPod,
  type Manifest,
} from './manifest.ts';

/** Options of the commands that read manifests. */
export interface ManifestOptions {
  readonly file?: string;
  readonly values?: string;
  readonly kubeVersion?: string;
  readonly namespace: string;
}

/** A pod of a manifest and the webhook's result for it. */
export interface InjectedPod {
  readonly found: FoundPod;
  readonly result: InjectionResult;
}

/** Manifests with the webhook's results for their pods. */
export interface InjectedManifests {
  readonly manifests: readonly Manifest[];
  /** By manifest; manifests without a pod are missing. */
  readonly pods: ReadonlyMap<Manifest, InjectedPod>;
  readonly installation: Installation;
}

/** Reads manifests and runs the admission function for each pod in them. */
export async function admitManifests(io: Io, options: ManifestOptions): Promise<InjectedManifests> {
  const installation = await readInstallation(io, options.values);
  const file = options.file ?? '-';
  const manifests = parseManifests(
    await readInput(io, file),
    file === '-' ? 'standard input' : file,
  );
  const namespaces = namespaceAnnotations(manifests);
  const pods = new Map<Manifest, InjectedPod>();
  for (const manifest of manifests) {
    const found = findPod(manifest, options.namespace);
    if (found === undefined) continue;
    const result = inject({
      pod: podOf(found),
      namespace: found.namespace,
      namespaceAnnotations: namespaces.get(found.namespace),
      installation,
      kubeVersion: options.kubeVersion,
      checkTemplate,
    });
    pods.set(manifest, { found, result });
  }
  return { manifests, pods, installation };
}

/** Names the object in the error of an invalid pod. */
function podOf({ pod, owner }: FoundPod): Pod {
  try {
    return readPod(pod);
  } catch (cause) {
    const { code, message } = toVouchsafeError(cause);
    throw new VouchsafeError(code, `${owner}: ${message}`, { cause });
  }
}

/**
 * Prints the manifests as the webhook would patch them. If a pod is denied, nothing goes to standard output, so
 * that a pipe into kubectl applies nothing.
 */
export async function injectManifests(io: Io, options: ManifestOptions): Promise<number> {
  const { manifests, pods } = await admitManifests(io, options);
  const denials: string[] = [];
  for (const { found, result } of pods.values()) {
    for (const warning of result.warnings) io.printError(`warning: ${found.owner}: ${warning}`);
    if (result.outcome === 'denied')
      denials.push(`${found.owner}: ${explainProblems(result.problems)}`);
    else io.printError(`${found.owner}: ${result.outcome} (${result.reason})`);
  }
  if (denials.length > 0) throw new VouchsafeError('ERR_ADMISSION_DENIED', denials.join('\n'));
  const patched = manifests.map((manifest) => {
    const { found, result } = pods.get(manifest) ?? {};
    if (found === undefined || result === undefined || !isManifest(result.pod)) return manifest;
    return result.outcome === 'injected' ? found.replace(result.pod) : manifest;
  });
  io.out(printManifests(patched));
  return EXIT.ok;
}

/** Answers an AdmissionReview from the file or standard input. A denial is an answer, too: exit code 0. */
export async function reviewInput(io: Io, options: ManifestOptions): Promise<number> {
  const installation = await readInstallation(io, options.values);
  const text = await readInput(io, options.file ?? '-');
  const limit = installation.webhook.maxBodyBytes;
  if (Buffer.byteLength(text) > limit) {
    throw new VouchsafeError(
      'ERR_ADMISSION_TOO_LARGE',
      `the request is larger than ${limit} bytes`,
    );
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new VouchsafeError('ERR_ADMISSION_MALFORMED', 'the AdmissionReview is not JSON');
  }
  const { kubeVersion } = options;
  const { answer } = review(body, { installation, kubeVersion, checkTemplate });
  io.out(`${JSON.stringify(answer)}\n`);
  return EXIT.ok;
}
