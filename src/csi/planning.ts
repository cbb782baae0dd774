/**
 * What is to be done for a request, by the settings of volume, namespace and installation. Ring: csi.
 */
import { problemsError, VouchsafeError } from '../core/index.ts';
import type { DriverParts, VolumePlan } from './ports.ts';
import type { PublishRequest } from './publish-request.ts';

/** How long the API server may take to tell the annotations of a namespace; usually they are known already. */
const LOOKUP_TIMEOUT_MS = 5000;

type Parts = Pick<DriverParts, 'plan' | 'namespaces' | 'clock'>;

/**
 * Plans a volume.
 *
 * @throws VouchsafeError `ERR_ADMISSION_DENIED` that lists every problem, `ERR_KUBERNETES_API`.
 */
export async function planFor(
  request: PublishRequest,
  parts: Parts,
  signal: AbortSignal,
): Promise<VolumePlan> {
  const { attributes, pod, group } = request;
  const namespaceAnnotations = await annotationsOf(pod.namespace, parts, signal);
  const result = parts.plan({ attributes, pod, namespaceAnnotations, hasGroup: group !== null });
  if (result.kind === 'planned') return result;
  const error = problemsError(
    'ERR_ADMISSION_DENIED',
    'the attributes of the volume are refused',
    result.problems,
  );
  const details = { ...error.details, forbidden: result.isForbidden };
  throw new VouchsafeError(error.code, error.message, { details });
}

/** Within bounds: the pod cannot end as long as this waits. */
async function annotationsOf(
  namespace: string,
  { namespaces, clock }: Parts,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (namespaces === undefined) return undefined;
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const limit = clock.sleep(LOOKUP_TIMEOUT_MS, either).then((): never => {
    const text = `the API server does not tell the annotations of namespace ${namespace}`;
    throw new VouchsafeError('ERR_KUBERNETES_API', text);
  });
  try {
    return await Promise.race([namespaces(namespace, either), limit]);
  } finally {
    enough.abort();
    await limit.catch(() => undefined);
  }
}

/** What a plan makes of a volume, for comparison. It survives JSON. */
export function factsOf({
  document,
  sizeBytes,
  tokenAudience = null,
}: Pick<VolumePlan, 'document' | 'sizeBytes'> & {
  readonly tokenAudience?: string | null | undefined;
}): string {
  return JSON.stringify([document, sizeBytes, tokenAudience]);
}
