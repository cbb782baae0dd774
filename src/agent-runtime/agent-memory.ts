/**
 * Bounds what an agent holds by the memory limit of its container, which the kernel enforces by killing it without a word.
 */
import type { TemplatePort, ValuesRoom, WriterPort } from '../agent/index.ts';
import { VouchsafeError } from '../core/index.ts';
import type { ResponseBudget } from '../vault/index.ts';

const MIB = 2 ** 20;

/** The agent without any value: measured 17 MiB, and a margin. */
const BASE_BYTES = 32 * MIB;
/**
 * Memory for each byte of a value and of a file: a value is in the response, parsed, and in the rendering; a file is text, bytes,
 * and twice on the tmpfs, which counts as memory of its writer. Measured for both together: 8 to 10, with margin 12.
 */
const COPIES = 6;
/** Room of an agent with hardly any memory: small secrets fit in any case. */
const LEAST_BYTES = MIB;
/** Below this much, garbage does not matter. */
const SMALL_BYTES = MIB;
/** Garbage is collected at the latest after responses of this many bytes. */
const READ_BYTES = 4 * MIB;
/** Shorter responses leave little garbage, and there may be thousands. */
const SHORT_BYTES = 64 * 1024;

/** Something of a size. */
interface Sized {
  readonly content: { readonly byteLength: number };
}

/** The values and files of one agent. */
export class AgentMemory implements ResponseBudget, ValuesRoom {
  readonly #limitBytes: number;
  readonly #roomBytes: number;
  readonly #collectGarbage: () => void;
  #answers = 0;
  #values = 0;
  #files = 0;
  #readBytes = 0;

  /** `limitBytes`: memory limit of the container. `collectGarbage` frees memory at once. */
  constructor(limitBytes: number, collectGarbage: () => void) {
    this.#limitBytes = limitBytes;
    this.#roomBytes = Math.max(LEAST_BYTES, Math.floor((limitBytes - BASE_BYTES) / COPIES));
    this.#collectGarbage = collectGarbage;
  }

  /** @throws VouchsafeError `ERR_OUTPUT_FULL` */
  reserve(bytes: number, path: string): void {
    if (bytes > SHORT_BYTES) this.#readBytes += bytes;
    if (this.#readBytes > READ_BYTES) this.#tidy();
    this.#require(bytes, `the response of Vault for ${path}`);
    this.#answers += bytes;
  }

  release(bytes: number): void {
    this.#answers -= bytes;
  }

  /** @throws VouchsafeError `ERR_OUTPUT_FULL` */
  hold({ heldBytes }: { readonly heldBytes: number }, label: string): void {
    this.#require(heldBytes - this.#values, label);
    this.#values = heldBytes;
  }

  adopt({ heldBytes }: { readonly heldBytes: number }): void {
    this.#values = heldBytes;
  }

  /** Collects garbage before each rendering of large values. */
  templates<T>(templates: TemplatePort<T>): TemplatePort<T> {
    return {
      ...templates,
      renderTemplates: (jobs, values, signal) => {
        this.#tidy();
        return templates.renderTemplates(jobs, values, signal);
      },
    };
  }

  /** Rejects with `ERR_OUTPUT_FULL` before a set is written for which there is no memory. */
  writer(writer: WriterPort): WriterPort {
    return {
      write: async (files, signal) => {
        const before = this.#files;
        const bytes = bytesOf(files);
        this.#require(bytes - before, 'the set of files');
        this.#files = Math.max(before, bytes);
        this.#tidy();
        try {
          const result = await writer.write(files, signal);
          this.#files = bytes;
          return result;
        } catch (error) {
          this.#files = before;
          throw error;
        } finally {
          this.#tidy();
        }
      },
    };
  }

  get #heldBytes(): number {
    return this.#answers + this.#values + this.#files;
  }

  #tidy(): void {
    if (this.#heldBytes + this.#readBytes < SMALL_BYTES) return;
    this.#readBytes = 0;
    this.#collectGarbage();
  }

  /** Less always fits. */
  #require(moreBytes: number, what: string): void {
    if (moreBytes <= 0 || this.#heldBytes + moreBytes <= this.#roomBytes) return;
    throw new VouchsafeError(
      'ERR_OUTPUT_FULL',
      `values and files of this pod may take ${mib(this.#roomBytes)} together, because each is in memory several times and the ` +
        `agent's memory limit is ${mib(this.#limitBytes)}; ${what} does not fit: the present files stay; raise the annotation memory, or use fewer or shorter values`,
      { details: { limit_bytes: this.#limitBytes, held_bytes: this.#heldBytes } },
    );
  }
}

function bytesOf(files: readonly Sized[]): number {
  return files.reduce((sum, { content }) => sum + content.byteLength, 0);
}

function mib(bytes: number): string {
  return `${Number((bytes / MIB).toFixed(1))} MiB`;
}
