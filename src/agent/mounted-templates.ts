/**
 * Follows the templates that are mounted as files.
 */
import { toVouchsafeError, type Logger, type VouchsafeError } from '../core/index.ts';
import type { FileSet } from './file-set.ts';
import type { FilesPort } from './ports.ts';

/** What {@link MountedTemplates} needs. */
export interface MountedTemplatesParts {
  readonly fileSet: FileSet;
  readonly files: Pick<FilesPort, 'watch'>;
  readonly logger: Logger;
  /** Called when other templates have been loaded. */
  readonly onChange: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}

/** Loads them, and again whenever they change; the last good ones stay. */
export class MountedTemplates {
  readonly #parts: MountedTemplatesParts;
  #lastError: VouchsafeError | undefined;

  constructor(parts: MountedTemplatesParts) {
    this.#parts = parts;
  }

  /** Why the newest templates are not in use, while they are not. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** Loads them once; a failure is told, not thrown. */
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

  /** Loads them whenever they change, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { fileSet, files } = this.#parts;
    if (fileSet.templateFiles.length === 0) return;
    for await (const _ of files.watch(fileSet.templateFiles, signal)) await this.load();
  }
}
