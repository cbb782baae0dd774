/**
 * Saves the state of a running agent for a successor, and restores it.
 */
import { toVouchsafeError, type Clock, type Logger } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import { captureState, captureTombstone, type StateParts } from './capture-state.ts';
import { digestOf } from './fingerprints.ts';
import type { FilesState } from './phase.ts';
import { resumeState } from './resume-state.ts';
import { savedLogins, type SavedState, type Tombstone } from './saved-state.ts';
import type { StateFile } from './state-file.ts';

export interface HandoverParts extends StateParts {
  /** Undefined: nothing is saved. */
  readonly stateFile: StateFile | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Serializes absolute times, so that the digest ignores the passage of time. */
const ZERO_CLOCK = { monotonicMs: () => 0 };

/** The files that a predecessor left; `unreadable`: its state exists and cannot be read at the moment. */
export type Resumed = FilesState | 'unreadable';

/** Passes the state of one process to the next one of the same pod. */
export class Handover {
  readonly #config: AgentConfig;
  readonly #parts: HandoverParts;
  /** Digest of the last saved state. */
  #saved = '';
  #isFailing = false;

  constructor(config: AgentConfig, parts: HandoverParts) {
    this.#config = config;
    this.#parts = parts;
  }

  /** Resumes from the state of a predecessor. Never throws. */
  resume(): Resumed {
    const { stateFile, logins, logger } = this.#parts;
    try {
      const loaded = stateFile?.load();
      if (loaded === undefined) return 'none';
      const files = resumeState(this.#config, loaded, this.#parts);
      const hasToken = [...logins.values()].some(({ sessions }) => sessions.current !== undefined);
      logger.info('found a predecessor', { files, token: hasToken });
      return files;
    } catch (caught) {
      const error = toVouchsafeError(caught);
      logger.warn('state of a predecessor was not used', { error });
      return 'errno' in error.details ? 'unreadable' : 'none';
    }
  }

  /** Saves the current state unless only time has passed since the last save. Never throws. */
  save(files: FilesState): void {
    if (this.#parts.stateFile === undefined) return;
    const digest = digestOf(
      captureState(this.#config, { ...this.#parts, files, clock: ZERO_CLOCK }),
    );
    if (digest === this.#saved) return;
    if (this.#write(() => captureState(this.#config, { ...this.#parts, files })))
      this.#saved = digest;
  }

  /**
   * Saves a tombstone, before and after the revocation: if the process ends in between, a successor neither uses a
   * token that may be revoked nor forgets one that may still be valid. Never throws.
   */
  saveTombstone(files: FilesState): void {
    this.#saved = '';
    const tombstone = (): Tombstone => captureTombstone(this.#config, { ...this.#parts, files });
    const state = tombstone();
    const isEmpty = savedLogins(state).every(([, { retired }]) => retired.length === 0);
    if (!state.isDelivered && isEmpty) {
      this.deleteState();
    } else if (!this.#write(tombstone)) {
      // There may be no room beside the previous state, which must not stay in any case.
      this.deleteState();
      this.#write(tombstone);
    }
  }

  /** Deletes the state, so that a successor starts afresh. Never throws. */
  deleteState(): void {
    try {
      this.#parts.stateFile?.remove();
    } catch (error) {
      this.#parts.logger.warn('state was not removed', { error });
    }
  }

  #write(state: () => SavedState): boolean {
    const { stateFile, logger } = this.#parts;
    try {
      stateFile?.save(state());
      if (this.#isFailing) logger.info('state is saved again');
      this.#isFailing = false;
      return true;
    } catch (error) {
      // Then a restart needs a login and new credentials; the files are not affected.
      if (!this.#isFailing) logger.warn('state was not saved', { error });
      this.#isFailing = true;
      return false;
    }
  }
}
