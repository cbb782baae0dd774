/**
 * The phase of an agent: a union of named states, changed only by {@link transition}. Pure; `Agent` executes the effects.
 */

/**
 * The files of a pod, for its next agent: `none` written yet; `good`; or with `revoked` credentials, so that no
 * application may start with them and the next files need a notification.
 */
export type FilesState = 'none' | 'good' | 'revoked';

/** The files of this pod: as a predecessor left them, or `confirmed`, which means that this process has written them. */
type KnownFiles = FilesState | 'confirmed';

/**
 * The state of an agent:
 * - `new`: the run has not begun, and the state of a predecessor has not been read. It must not be replaced, because it
 *   is the only record of what to revoke. Left when the run begins, or when the agent only revokes.
 * - `starting`: there are no files that an application may start with. Left with the first delivery.
 * - `resumed`: an application may run with the files of a predecessor; they are not confirmed yet. Left with the first
 *   delivery.
 * - `ready`: this process has written or confirmed every file. Left only to end.
 * - `lingering`: SIGTERM has come. Files are still refreshed while the application shuts down, but a successor must not
 *   reuse the credentials. Left when the time is over.
 * - `stopped`: the agent ends, and its saved state stays as it is: a successor continues with it, or it is the record of
 *   what another try has to revoke.
 * - `revoking`: the agent ends, and its credentials are being revoked or are revoked.
 */
export type AgentState =
  | { readonly name: 'new'; readonly files: 'none' }
  | { readonly name: 'starting'; readonly files: 'none' | 'revoked' }
  | { readonly name: 'resumed'; readonly files: 'good' }
  | { readonly name: 'ready'; readonly files: 'confirmed' }
  | { readonly name: 'lingering' | 'stopped' | 'revoking'; readonly files: KnownFiles };

/**
 * What happens to an agent:
 * - `start`: the run begins, with the files that a predecessor left.
 * - `delivered`: every file has been written or confirmed.
 * - `linger`: the application was told to end together with the agent.
 * - `stop`: the agent ends and its saved state stays.
 * - `revoke`: the agent ends and its credentials must not be reused.
 */
export type AgentEvent =
  | { readonly kind: 'start'; readonly files: FilesState }
  | { readonly kind: 'delivered' | 'linger' | 'stop' | 'revoke' };

/** Before the run. */
export const NEW_AGENT: AgentState = { name: 'new', files: 'none' };

/** The next state. An event that means nothing in a state leaves it as it is: the same object is returned. */
export function transition(state: AgentState, event: AgentEvent): AgentState {
  switch (event.kind) {
    case 'start':
      return state.name === 'new' ? started(event.files) : state;
    case 'delivered':
      return delivered(state);
    case 'linger':
      return isRunning(state) ? { name: 'lingering', files: state.files } : state;
    case 'stop':
      // A tombstone is never replaced by a state with credentials.
      return isEnding(state) ? ended('revoking', state) : ended('stopped', state);
    case 'revoke':
      return ended('revoking', state);
  }
}

function started(files: FilesState): AgentState {
  return files === 'good' ? { name: 'resumed', files } : { name: 'starting', files };
}

function delivered(state: AgentState): AgentState {
  if (state.name === 'new' || state.files === 'confirmed') return state;
  if (isRunning(state)) return { name: 'ready', files: 'confirmed' };
  return { name: state.name, files: 'confirmed' };
}

function ended(name: 'stopped' | 'revoking', state: AgentState): AgentState {
  return state.name === name ? state : { name, files: state.files };
}

type RunningState = Extract<AgentState, { readonly name: 'starting' | 'resumed' | 'ready' }>;

function isRunning(state: AgentState): state is RunningState {
  return state.name === 'starting' || state.name === 'resumed' || state.name === 'ready';
}

/** True once credentials are or will be revoked: a successor must not reuse any, so a tombstone is saved. */
export function isEnding({ name }: AgentState): boolean {
  return name === 'lingering' || name === 'revoking';
}

/** True once this process has written or confirmed every file. */
export function isDelivered({ files }: AgentState): boolean {
  return files === 'confirmed';
}

/** The files as they are saved for a successor. */
export function savedFiles({ files }: AgentState): FilesState {
  return files === 'confirmed' ? 'good' : files;
}

/**
 * The phase that the status shows:
 * - `starting`: the files have not been written; then `ready`, or the process exits with an error.
 * - `ready`: the newest values are in the files.
 * - `degraded`: the files are the last good ones, and something that would refresh them fails.
 * - `stopping`: tokens and leases are being revoked.
 */
export type AgentPhase = 'starting' | 'ready' | 'degraded' | 'stopping';

/** The phase that the status shows. `isFailing`: there are errors at the moment. */
export function phaseOf(state: AgentState, isFailing: boolean): AgentPhase {
  if (state.name === 'stopped' || state.name === 'revoking') return 'stopping';
  if (!isDelivered(state)) return 'starting';
  return isFailing ? 'degraded' : 'ready';
}
