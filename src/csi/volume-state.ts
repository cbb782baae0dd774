/**
 * The states of a volume, as a pure function of events. What an event causes is a list of effects; `Volume` executes them.
 */
import type { VouchsafeError } from '../core/index.ts';

/** The publish calls of the kubelet for a volume, in this process. */
interface PublishCalls {
  readonly count: number;
  /** When the last one came, in monotonic milliseconds; without any, when this process came to know the volume. */
  readonly lastMs: number;
}

/** What is known in every state. */
interface Known {
  readonly calls: PublishCalls;
  /** Why there is no engine, or why the last one ended. */
  readonly lastError: VouchsafeError | undefined;
}

/** A volume whose engine was stopped. */
interface Stopped {
  /** Whether every file was there: the newest or the last good ones. */
  readonly hasFiles: boolean;
  /** False once the engine has ended. Until then no other may use the directory and the state of the volume. */
  readonly hasEngine: boolean;
}

type Situation =
  /** No engine has run in this process: the volume is new, or from a predecessor. Files are there if it is published. */
  | { readonly kind: 'waiting'; readonly isPublished: boolean }
  /** An engine runs; not every file has been written. Only here can a volume fail. */
  | { readonly kind: 'starting' }
  /** An engine runs, and every file is there; the record does not say so yet. */
  | { readonly kind: 'filled' }
  /** An engine runs, every file is there, and the record says so. The files stay whatever happens to the engine. */
  | { readonly kind: 'published' }
  /** An engine runs; the record says that the files are there, but the mount was lost and they are written again. */
  | { readonly kind: 'refilling' }
  /** The mount was lost; the engine is stopped before the volume is mounted again. */
  | ({ readonly kind: 'remounting'; readonly isPublished: boolean } & Stopped)
  /** The start cannot succeed; the volume is to be removed. */
  | { readonly kind: 'failed'; readonly error: VouchsafeError }
  /** The files are being removed; then what the engine held is revoked. No engine starts any more. */
  | ({ readonly kind: 'ending' } & Stopped)
  /** The driver ends: mount, record, token and leases are left to its successor. No engine starts any more. */
  | ({ readonly kind: 'suspended' } & Stopped);

/** A state of a volume. */
export type VolumeState = Situation & Known;

/** What happens to a volume. */
export type VolumeEvent =
  /** The kubelet has called. */
  | { readonly kind: 'called' }
  /** The first engine will start later, and why. */
  | { readonly kind: 'delayed'; readonly error: VouchsafeError }
  /** The first engine of this process is to start. */
  | { readonly kind: 'start' }
  /** The engine has written every file. */
  | { readonly kind: 'delivered' }
  /** The record says that the volume is published. */
  | { readonly kind: 'recorded' }
  /** The engine ended with an error; unless the volume fails, the next one starts after a wait. */
  | { readonly kind: 'engine-failed'; readonly error: VouchsafeError }
  /** No engine runs any more. */
  | { readonly kind: 'engine-ended' }
  /** The mount was lost. */
  | { readonly kind: 'unmounted' }
  /** The volume is mounted again, and empty. */
  | { readonly kind: 'remounted' }
  /** The volume is to be removed. */
  | { readonly kind: 'end' }
  /** The driver ends. */
  | { readonly kind: 'suspend' };

/** What `Volume` has to do. */
export type VolumeEffect =
  | 'start-engine'
  | 'stop-engine'
  /** Calls wait for the files once more. */
  | 'await-files'
  /** Calls that wait for the files succeed. */
  | 'report-filled'
  /** Calls that wait for the files fail. */
  | 'report-failed';

/** A state, and what has to be done because it was entered. */
export interface Step {
  readonly state: VolumeState;
  readonly effects: readonly VolumeEffect[];
}

/** The state of a volume that no engine of this process has worked on. */
export function initialState(isPublished: boolean, nowMs: number): VolumeState {
  return {
    kind: 'waiting',
    isPublished,
    calls: { count: 0, lastMs: nowMs },
    lastError: undefined,
  };
}

/** Whether an engine runs, or has not ended yet. */
export function hasEngine(state: VolumeState): boolean {
  if ('hasEngine' in state) return state.hasEngine;
  return state.kind !== 'waiting' && state.kind !== 'failed';
}

/** Whether every file is there, the newest or the last good ones. */
export function hasFiles(state: VolumeState): boolean {
  if ('hasFiles' in state) return state.hasFiles;
  if (state.kind === 'waiting') return state.isPublished;
  return state.kind === 'filled' || state.kind === 'published';
}

/** Whether the record says that every file is there. */
export function isPublished(state: VolumeState): boolean {
  if ('isPublished' in state) return state.isPublished;
  return state.kind === 'published' || state.kind === 'refilling';
}

/** Whether the volume is to be removed, and another one made in its place if the kubelet calls again. */
export function isOver({ kind }: VolumeState): boolean {
  return kind === 'failed' || kind === 'ending';
}

/** The next state; an event that means nothing in a state leaves it as it is. `nowMs` is monotonic. */
export function transition(state: VolumeState, event: VolumeEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'called':
      return step({ ...state, calls: { count: state.calls.count + 1, lastMs: nowMs } });
    case 'delayed':
      return step(delayed(state, event.error));
    case 'start':
      return start(state);
    case 'delivered':
      return delivered(state);
    case 'recorded':
      return step(recorded(state));
    case 'engine-failed':
      return engineFailed(state, event.error);
    case 'engine-ended':
      return step(engineEnded(state));
    case 'unmounted':
      return unmounted(state);
    case 'remounted':
      return remounted(state);
    case 'end':
      return end(state);
    case 'suspend':
      return suspend(state);
  }
}

function delayed(state: VolumeState, error: VouchsafeError): VolumeState {
  return state.kind === 'waiting' ? { ...state, lastError: error } : state;
}

function start(state: VolumeState): Step {
  if (state.kind !== 'waiting') return step(state);
  return step(enter(state, { kind: state.isPublished ? 'published' : 'starting' }), 'start-engine');
}

/** A resumed engine confirms files that are there already. */
function delivered(state: VolumeState): Step {
  if (!isRunning(state)) return step(state);
  const kind = isPublished(state) ? 'published' : 'filled';
  return step(state.kind === kind ? state : enter(state, { kind }), 'report-filled');
}

/** The mount may have been lost while the record was saved. */
function recorded(state: VolumeState): VolumeState {
  if (state.kind === 'filled') return enter(state, { kind: 'published' });
  if (state.kind === 'starting') return enter(state, { kind: 'refilling' });
  return state.kind === 'remounting' ? { ...state, isPublished: true } : state;
}

function engineFailed(state: VolumeState, error: VouchsafeError): Step {
  if (!isRunning(state)) return step(state);
  const failing = { ...state, lastError: error };
  if (state.kind !== 'starting' || error.retry !== 'never') return step(failing);
  return step(enter(failing, { kind: 'failed', error }), 'report-failed');
}

/** An engine that was not stopped does not end: it fails. */
function engineEnded(state: VolumeState): VolumeState {
  return 'hasEngine' in state ? { ...state, hasEngine: false } : state;
}

function unmounted(state: VolumeState): Step {
  if (state.kind !== 'waiting' && !isRunning(state)) return step(state);
  const next = enter(state, {
    kind: 'remounting',
    isPublished: isPublished(state),
    ...left(state),
  });
  return step(next, ...stopping(state));
}

function remounted(state: VolumeState): Step {
  if (state.kind !== 'remounting' || state.hasEngine) return step(state);
  const next = enter(state, { kind: state.isPublished ? 'refilling' : 'starting' });
  // Where the files were not there, the calls still wait.
  return state.hasFiles ? step(next, 'await-files', 'start-engine') : step(next, 'start-engine');
}

function end(state: VolumeState): Step {
  if (state.kind === 'ending') return step(state);
  return step(enter(state, { kind: 'ending', ...left(state) }), ...stopping(state));
}

function suspend(state: VolumeState): Step {
  if (isOver(state) || state.kind === 'suspended') return step(state);
  return step(enter(state, { kind: 'suspended', ...left(state) }), ...stopping(state));
}

/** Whether an engine runs that nobody has stopped. */
function isRunning(state: VolumeState): boolean {
  return !('hasEngine' in state) && hasEngine(state);
}

function left(state: VolumeState): Stopped {
  return { hasFiles: hasFiles(state), hasEngine: hasEngine(state) };
}

function stopping(state: VolumeState): readonly VolumeEffect[] {
  return isRunning(state) ? ['stop-engine'] : [];
}

/** Keeps only what is known in every state. */
function enter({ calls, lastError }: VolumeState, situation: Situation): VolumeState {
  return { ...situation, calls, lastError };
}

function step(state: VolumeState, ...effects: readonly VolumeEffect[]): Step {
  return { state, effects };
}
