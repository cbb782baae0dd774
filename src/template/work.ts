/**
 * The budget of one rendering. Every helper charges in advance for what it reads and creates; the first charge
 * over a limit ends the rendering.
 */
import { isStringOneByteRepresentation } from 'node:v8';
import { Fault } from './fault.ts';

/** Limits of one rendering; exceeding one is `ERR_TEMPLATE_LIMIT`. */
export interface RenderLimits {
  /** Bytes of the output, as UTF-8. */
  readonly outputBytes: number;
  readonly dependencies: number;
  /** CPU time: evaluated nodes, and in helpers every item and every 16 characters that are read. */
  readonly steps: number;
  /**
   * Memory: the bytes of all texts and items that helpers create, and of the output, together. A text takes one
   * byte for each character, or two if one of them is beyond U+00FF; an item of a list takes 64, a key of an
   * object 256. Intermediate copies are charged for as well.
   */
  readonly workBytes: number;
}

/** `workBytes` of an agent, which renders for one pod. Default of the value `agent.maxRenderBytes`. */
export const AGENT_WORK_BYTES = 32 * 1024 * 1024;
/** `workBytes` in the CSI driver, which renders for a node. Default of the value `csi.maxRenderBytes`. */
export const DRIVER_WORK_BYTES = 8 * 1024 * 1024;

/** The default limits, those of an agent. */
export const RENDER_LIMITS: RenderLimits = {
  outputBytes: 16 * 1024 * 1024,
  dependencies: 10_000,
  steps: 5_000_000,
  workBytes: AGENT_WORK_BYTES,
};

/** A list item and the garbage of creating it: a slot, and a number, a short text, an empty object or the head of a longer text. */
const ITEM_BYTES = 64;
/** A key takes a slot of a hash table, which grows by a copy of twice the size. */
const KEY_BYTES = 256;
/** Characters read in one step: the slowest reader, `sha256`, takes 4 ns for each. */
const READ_SHIFT = 4;

/** Bytes of a text in memory. */
export function textBytes(text: string): number {
  return isStringOneByteRepresentation(text) ? text.length : 2 * text.length;
}

/** Bytes of each UTF-16 unit of a concatenation of these texts. */
export function unitBytes(texts: readonly string[]): 1 | 2 {
  return texts.every((text) => isStringOneByteRepresentation(text)) ? 1 : 2;
}

/** The budget of one rendering. Every method throws a `Fault` of `ERR_TEMPLATE_LIMIT` beyond its limit. */
export class WorkBudget {
  readonly limits: RenderLimits;
  #steps = 0;
  #bytes = 0;

  constructor(limits: RenderLimits = RENDER_LIMITS) {
    this.limits = limits;
  }

  /** Bytes created so far. */
  get bytes(): number {
    return this.#bytes;
  }

  step(count: number): void {
    this.#steps += count;
    if (this.#steps <= this.limits.steps) return;
    throw new Fault(
      'ERR_TEMPLATE_LIMIT',
      `rendering takes more than ${this.limits.steps} steps; loop over less, or split the template into several files`,
    );
  }

  /** Charges for reading every character of a text. */
  read(units: number): void {
    this.step(units >> READ_SHIFT);
  }

  /** Charges for creating texts of this many bytes. */
  make(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.limits.workBytes) return;
    throw new Fault(
      'ERR_TEMPLATE_LIMIT',
      `the texts and items of this rendering would take more than ${size(this.limits.workBytes)}; create fewer of them, split the template into several files, or raise agent.maxRenderBytes (csi.maxRenderBytes in the CSI driver)`,
    );
  }

  /** Charges for creating a list of this many items, and for iterating over them. */
  makeItems(count: number): void {
    this.step(count);
    this.make(count * ITEM_BYTES);
  }

  /** Charges for creating an object of this many keys, and for iterating over them. */
  makeKeys(count: number): void {
    this.step(4 * count);
    this.make(count * KEY_BYTES);
  }
}

function size(bytes: number): string {
  const mebibytes = bytes / 1024 / 1024;
  return Number.isInteger(mebibytes) ? `${mebibytes} MiB` : `${bytes} bytes`;
}
