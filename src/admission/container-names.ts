/**
 * Names of containers that Knative fills in, where a pod has to have one.
 *
 * @see https://github.com/knative/serving/blob/main/pkg/apis/serving/v1/revision_defaults.go
 */
import { fieldsOf, isRecord } from '../core/index.ts';

const CONTAINER = 'user-container';
const INIT_CONTAINER = 'init-container';

/** The spec of a pod with a name for each container, as Knative chooses it. */
export function withNames(spec: unknown): unknown {
  if (!isRecord(spec)) return spec;
  const { containers, initContainers } = spec;
  const taken = new Set([...namesOf(initContainers), ...namesOf(containers)]);
  return {
    ...spec,
    ...(Array.isArray(initContainers) && {
      initContainers: named(initContainers, INIT_CONTAINER, taken),
    }),
    ...(Array.isArray(containers) && { containers: named(containers, CONTAINER, taken) }),
  };
}

function named(list: readonly unknown[], base: string, taken: ReadonlySet<string>): unknown {
  let next = 0;
  const free = (): string => {
    if (list.length === 1 && !taken.has(base)) return base;
    while (taken.has(`${base}-${next}`)) next += 1;
    return `${base}-${next++}`;
  };
  return list.map((one) =>
    isRecord(one) && (one['name'] ?? '') === ''
      ? Object.assign({ name: '' }, one, { name: free() })
      : one,
  );
}

function namesOf(list: unknown): readonly string[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: unknown) => {
    const { name } = fieldsOf(one);
    return typeof name === 'string' && name !== '' ? [name] : [];
  });
}
