/**
 * `vouchsafe inject`: the webhook's admission function for manifests and reviews in files.
 */
import { KNATIVE, review, withPod } from '../admission/index.ts';
import { EXIT, explainProblems, VouchsafeError } from '../core/index.ts';
import { checkTemplate } from '../template/index.ts';
import {
  admitManifests,
  misplacementLines,
  type InjectedPod,
  type ManifestOptions,
} from './admit.ts';
import { readInstallation } from './installation.ts';
import { readInput, type Io } from './io.ts';
import { printManifests, type Manifest } from './manifest.ts';

/**
 * Prints the manifests as the webhook would patch them. If a pod is denied, nothing goes to standard output, so
 * that a pipe into kubectl applies nothing.
 */
export async function injectManifests(io: Io, options: ManifestOptions): Promise<number> {
  const admitted = await admitManifests(io, options);
  const { manifests, pods } = admitted;
  for (const line of misplacementLines(admitted)) io.printError(line);
  if (pods.length === 0) io.printError('no pod in these manifests');
  const denials: string[] = [];
  for (const pod of pods) {
    const { found, result } = pod;
    for (const warning of result.warnings) io.printError(`warning: ${found.owner}: ${warning}`);
    if (result.outcome === 'denied')
      denials.push(`${found.owner}: ${explainProblems(result.problems)}`);
    else io.printError(`${found.owner}: ${result.outcome} (${result.reason})`);
    warnOfKnative(io, pod);
  }
  if (denials.length > 0) throw new VouchsafeError('ERR_ADMISSION_DENIED', denials.join('\n'));
  io.out(printManifests(manifests.map((manifest) => patched(manifest, pods))));
  return EXIT.ok;
}

function patched(manifest: Manifest, pods: readonly InjectedPod[]): Manifest {
  return pods
    .filter((one) => one.manifest === manifest && one.result.outcome === 'injected')
    .reduce((object, { found, result }) => withPod(object, found.template, result.pod), manifest);
}

/** Pods of Knative can have everything, but not the objects from which they are created. */
function warnOfKnative(io: Io, { found, result }: InjectedPod): void {
  if (result.outcome !== 'injected' || found.template.group !== KNATIVE) return;
  io.printError(
    `warning: ${found.owner}: Knative rejects parts of what is added in its own objects; apply the original manifest and let the webhook inject the pods`,
  );
}

/** Answers an AdmissionReview from the file or standard input. A denial is an answer, too: exit code 0. */
export async function reviewInput(io: Io, options: ManifestOptions): Promise<number> {
  const installation = await readInstallation(io, options.values);
  const [file = '-', ...others] = options.file ?? [];
  if (others.length > 0) throw new VouchsafeError('ERR_USAGE', '--review reads one file (-f)');
  const text = await readInput(io, file);
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
