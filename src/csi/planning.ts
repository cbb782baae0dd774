/**
 * Plans a volume by the settings of volume, namespace and installation.
 */
import { DEADLINE, withDeadline } from '../async/index.ts';
import type { TemplateCheck, VolumePlan, VolumeRefusal } from '../contracts/index.ts';
import { problemsError, VouchsafeError } from '../core/index.ts';
import type { DriverParts, PlanInput } from './ports.ts';
import type { PublishRequest } from './publish-request.ts';

type Parts = Pick<DriverParts, 'plan' | 'renderer' | 'namespaces' | 'clock' | 'waits'>;

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
  const namespaceAnnotations = await namespaceAnnotationsOf(pod.namespace, parts, signal);
  const input = { attributes, pod, namespaceAnnotations, hasGroup: group !== null };
  const result = await planWithChecks(input, parts, signal);
  if (result.kind === 'planned') return result;
  const error = problemsError(
    'ERR_ADMISSION_DENIED',
    'the attributes of the volume are denied',
    result.problems,
  );
  const details = { ...error.details, forbidden: result.isForbidden };
  throw new VouchsafeError(error.code, error.message, { details });
}

/** Has the renderer check the templates: the thread that serves the kubelet never parses one. */
async function planWithChecks(
  input: PlanInput,
  { plan, renderer }: Parts,
  signal: AbortSignal,
): Promise<VolumePlan | VolumeRefusal> {
  const templates = new Map<string, { readonly name: string; readonly source: string }>();
  const keyOf = (source: string, name: string): string => JSON.stringify([name, source]);
  const first = plan(input, (source, name) => {
    templates.set(keyOf(source, name), { name, source });
    return NOTHING_FOUND;
  });
  if (templates.size === 0) return first;
  const checks = await renderer.check(
    [...templates.values()],
    { tenant: input.pod.namespace },
    signal,
  );
  const found = new Map([...templates.keys()].map((key, index) => [key, checks[index]]));
  return plan(input, (source, name) => found.get(keyOf(source, name)) ?? NOT_CHECKED);
}

const NOTHING_FOUND: TemplateCheck = { problems: [], dependencies: [] };

/** A template that was not checked is denied. */
const NOT_CHECKED: TemplateCheck = {
  problems: [{ path: 'template', message: 'was not checked' }],
  dependencies: [],
};

/** Has a deadline, because a pod that is deleted waits for the call to end. */
async function namespaceAnnotationsOf(
  namespace: string,
  { namespaces, clock, waits }: Parts,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (namespaces === undefined) return undefined;
  try {
    return await withDeadline({ clock, ms: waits.lookupMs, signal }, (inner) =>
      namespaces(namespace, inner),
    );
  } catch (error) {
    if (error !== DEADLINE) throw error;
    const text = `the API server did not return the annotations of namespace ${namespace} in time`;
    throw new VouchsafeError('ERR_KUBERNETES_API', text);
  }
}

/** What a plan makes of a volume, for comparison with another plan or a record. */
export function planFingerprint({
  document,
  sizeBytes,
  tokenAudience = null,
}: Pick<VolumePlan, 'document' | 'sizeBytes'> & {
  readonly tokenAudience?: string | null | undefined;
}): string {
  return JSON.stringify([document, sizeBytes, tokenAudience]);
}
