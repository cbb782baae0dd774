/**
 * The state machine of a volume, `src/csi/volume-state.ts`, for its diagram and for tests that visit every state.
 */
import { VouchsafeError } from '../../src/core/index.ts';
import {
  initialState,
  transition,
  type VolumeEvent,
  type VolumeState,
} from '../../src/csi/volume-state.ts';
import type { Machine } from './state-diagram.ts';

const PASSING = new VouchsafeError('ERR_VAULT_SEALED', 'Vault is sealed');
const FINAL = new VouchsafeError('ERR_VAULT_LOGIN_WRAPPED', 'the answer is wrapped');

/** Every event but the calls of the kubelet, which are only counted; a failure of each kind. */
export const VOLUME_EVENTS: readonly VolumeEvent[] = [
  { kind: 'delayed', error: PASSING },
  { kind: 'start' },
  { kind: 'delivered' },
  { kind: 'recorded' },
  { kind: 'engine-failed', error: PASSING },
  { kind: 'engine-failed', error: FINAL },
  { kind: 'engine-ended' },
  { kind: 'unmounted' },
  { kind: 'remounted' },
  { kind: 'end' },
  { kind: 'suspend' },
];

/** New volumes, and those that a predecessor had published. */
export const VOLUME_MACHINE: Machine<VolumeState, VolumeEvent> = {
  initial: [initialState(false, 0), initialState(true, 0)],
  events: VOLUME_EVENTS,
  // The last error decides nothing; without it there are fewer states to visit.
  transition: (state, event) => ({ ...transition(state, event, 0).state, lastError: undefined }),
  nameOf: ({ kind }) => kind,
  labelOf: (event) =>
    event.kind === 'engine-failed' && event.error.retry === 'never'
      ? 'engine-failed for good'
      : event.kind,
};
