/**
 * What is to be done for a request, by the settings of volume, namespace and installation.
 */
import { problemsError, VouchsafeError } from '../core/index.ts';
import type { Checked } from '../renderer/index.ts';
import type { DriverParts, PlanInput, VolumePlan, VolumeRefusal } from './ports.ts';
import type { PublishRequest } from './publish-request.ts';

/** How long the API server may take to tell the annotations of a namespace; usually they are known already. */
const LOOKUP_TIMEOUT_MS = 5000;

type Parts = Pick<DriverParts, 'plan' | 'renderer' | 'namespaces' | 'clock'>;

/**
 * Plans a volume.
 *
 * @throws VouchsafeError `ERR_ADMISSION_DENIED` that lists every problem, `ERR_TEMPLATE_LIMIT` for templates that cannot
 * be checked within bounds, `ERR_KUBERNETES_API`.
 */
export async function planFor(
  request: PublishRequest,
  parts: Parts,
  signal: AbortSignal,
): Promise<VolumePlan> {
  const { attributes, pod, group } = request;
  const namespaceAnnotations = await annotationsOf(pod.namespace, parts, signal);
  const input = { attributes, pod, namespaceAnnotations, hasGroup: group !== null };
  const result = await planned(input, parts, signal);
  if (result.kind === 'planned') return result;
  const error = problemsError(
    'ERR_ADMISSION_DENIED',
    'the attributes of the volume are refused',
    result.problems,
  );
  const details = { ...error.details, forbidden: result.isForbidden };
  throw new VouchsafeError(error.code, error.message, { details });
}

/** Templates are parsed elsewhere: the thread that serves the kubelet looks into none of them. */
async function planned(
  input: PlanInput,
  { plan, renderer }: Parts,
  signal: AbortSignal,
): Promise<VolumePlan | VolumeRefusal> {
  const asked = new Map<string, { readonly name: string; readonly source: string }>();
  const keyOf = (source: string, name: string): string => JSON.stringify([name, source]);
  const first = plan(input, (source, name) => {
    asked.set(keyOf(source, name), { name, source });
    return NOTHING_FOUND;
  });
  if (asked.size === 0) return first;
  const checks = await renderer.check([...asked.values()], { tenant: input.pod.namespace }, signal);
  const found = new Map([...asked.keys()].map((key, index) => [key, checks[index]]));
  return plan(input, (source, name) => found.get(keyOf(source, name)) ?? NOT_CHECKED);
}

const NOTHING_FOUND: Checked = { problems: [], dependencies: [] };

/** Nothing passes that was not looked at. */
const NOT_CHECKED: Checked = {
  problems: [{ path: 'template', message: 'was not checked' }],
  dependencies: [],
};

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
export function planFingerprint({
  document,
  sizeBytes,
  tokenAudience = null,
}: Pick<VolumePlan, 'document' | 'sizeBytes'> & {
  readonly tokenAudience?: string | null | undefined;
}): string {
  return JSON.stringify([document, sizeBytes, tokenAudience]);
}
