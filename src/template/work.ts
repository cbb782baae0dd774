/**
 * What one rendering may still do. Every helper says what it is about to read and make before it does; the first
 * that goes over a bound ends the rendering.
 */
import { isStringOneByteRepresentation } from 'node:v8';
import { Fault } from './fault.ts';

/** Bounds of one rendering; going over one is `ERR_TEMPLATE_LIMIT`. */
export interface RenderLimits {
  /** Bytes of the output, as UTF-8. */
  readonly outputBytes: number;
  readonly dependencies: number;
  /** What takes time: nodes evaluated, and in helpers every item and every 16 characters read. */
  readonly steps: number;
  /**
   * What takes memory: bytes of all texts and items that the helpers of one rendering make, and of its output,
   * together. A text takes one byte a character, or two where one of its characters is beyond U+00FF; an item
   * of a list takes 64, a key of an object 256. What is copied on the way is charged for as well.
   */
  readonly workBytes: number;
}

/** `workBytes` of an agent, which renders for one pod. Default of the value `agent.maxRenderBytes`. */
export const AGENT_WORK_BYTES = 32 * 1024 * 1024;
/** `workBytes` in the CSI driver, which renders for a node. Default of the value `csi.maxRenderBytes`. */
export const DRIVER_WORK_BYTES = 8 * 1024 * 1024;

/** The default bounds, those of an agent. */
export const RENDER_LIMITS: RenderLimits = {
  outputBytes: 16 * 1024 * 1024,
  dependencies: 10_000,
  steps: 5_000_000,
  workBytes: AGENT_WORK_BYTES,
};

/** What a list item takes, and the moment's garbage of making it: a slot, and a number, a short text, an empty object or the head of a longer text. */
const ITEM_BYTES = 64;
/** An object's key takes a place in a hash table, which grows by making one of twice the size beside it. */
const KEY_BYTES = 256;
/** Characters read in one step: the slowest reader, `sha256`, takes 4 ns for each. */
const READ_SHIFT = 4;

/** Bytes of the characters of a text in memory. */
export function textBytes(text: string): number {
  return isStringOneByteRepresentation(text) ? text.length : 2 * text.length;
}

/** Bytes of each UTF-16 unit of a text that is made of these. */
export function unitBytes(texts: readonly string[]): 1 | 2 {
  return texts.every((text) => isStringOneByteRepresentation(text)) ? 1 : 2;
}

/** The meter of one rendering. Every method throws a `Fault` of `ERR_TEMPLATE_LIMIT` at its bound. */
export class WorkBudget {
  readonly limits: RenderLimits;
  #steps = 0;
  #bytes = 0;

  constructor(limits: RenderLimits = RENDER_LIMITS) {
    this.limits = limits;
  }

  /** Bytes made so far. */
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

  /** Charges for looking at every character of a text. */
  read(units: number): void {
    this.step(units >> READ_SHIFT);
  }

  /** Charges for making texts of so many bytes. */
  make(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.limits.workBytes) return;
    throw new Fault(
      'ERR_TEMPLATE_LIMIT',
      `the texts and items made by this rendering would take more than ${size(this.limits.workBytes)}; make less of them, split the template into several files, or raise agent.maxRenderBytes (csi.maxRenderBytes in the CSI driver)`,
    );
  }

  /** Charges for making a list of so many items, and for going through them. */
  makeItems(count: number): void {
    this.step(count);
    this.make(count * ITEM_BYTES);
  }

  /** Charges for making an object of so many keys, and for going through them. */
  makeKeys(count: number): void {
    this.step(4 * count);
    this.make(count * KEY_BYTES);
  }
}

function size(bytes: number): string {
  const mebibytes = bytes / 1024 / 1024;
  return Number.isInteger(mebibytes) ? `${mebibytes} MiB` : `${bytes} bytes`;
}
