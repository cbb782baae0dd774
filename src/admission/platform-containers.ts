/**
 * Containers that platforms add to pods. They are not the application's, and do not see the files by default.
 */
import { fieldsOf } from '../core/index.ts';
import { isMeshProxy, isMeshSetup } from './meshes.ts';
import type { Named, Pod } from './pod.ts';

/** Names that no application uses. docs/use/files-and-notifications.md lists them, with those of the meshes. */
const ADDED: readonly string[] = [
  'queue-proxy', // Knative Serving
  'vault-agent', // HashiCorp's injector
  'vault-agent-init',
];

/** Containers of Argo Workflows; other pods may have containers with these names. */
const OF_ARGO: readonly string[] = ['wait', 'init'];
const ARGO = 'workflows.argoproj.io/';

/** A test of the containers and init containers of a pod: true for those that no platform has added. */
export function applicationFilter(pod: Pod): (container: Named) => boolean {
  const added = new Set([...ADDED, ...(isOfArgo(pod) ? OF_ARGO : [])]);
  return ({ name }) => !added.has(name) && !isMeshProxy(name) && !isMeshSetup(name);
}

/** The controller of Argo marks its pods, and calls the container of the user `main`. */
function isOfArgo({ metadata, spec }: Pod): boolean {
  const marks = { ...fieldsOf(metadata['labels']), ...metadata.annotations };
  const names = new Set(spec.containers.map(({ name }) => name));
  return (
    Object.keys(marks).some((name) => name.startsWith(ARGO)) ||
    (names.has('main') && names.has('wait'))
  );
}
