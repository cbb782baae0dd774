/**
 * Loads templates that are mounted as files, and reloads them when they change.
 */
import { toVouchsafeError, type Logger, type VouchsafeError } from '../core/index.ts';
import type { FileSet } from './file-set.ts';
import type { FilesPort } from './ports.ts';

export interface MountedTemplatesParts {
  readonly fileSet: FileSet;
  readonly files: Pick<FilesPort, 'watch'>;
  readonly logger: Logger;
  /** Called after each successful load. */
  readonly onChange: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}

/** Loads the templates; while newer ones cannot be loaded, the last good ones stay in use. */
export class MountedTemplates {
  readonly #parts: MountedTemplatesParts;
  #lastError: VouchsafeError | undefined;

  constructor(parts: MountedTemplatesParts) {
    this.#parts = parts;
  }

  /** Why the newest templates are not in use; undefined if they are. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** Loads them once; a failure is passed to `onFailure`, not thrown. */
  async load(): Promise<void> {
    const { fileSet, logger, onChange, onFailure } = this.#parts;
    if (fileSet.templateFiles.length === 0) return;
    try {
      await fileSet.reload();
      this.#lastError = undefined;
      onChange();
    } catch (caught) {
      const error = toVouchsafeError(caught);
      if (this.#lastError?.message !== error.message) {
        logger.error('template was not loaded', { error });
      }
      this.#lastError = error;
      onFailure(error);
    }
  }

  /** Reloads them when they change, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { fileSet, files } = this.#parts;
    if (fileSet.templateFiles.length === 0) return;
    for await (const _ of files.watch(fileSet.templateFiles, signal)) await this.load();
  }
}
