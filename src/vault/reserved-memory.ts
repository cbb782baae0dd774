/**
 * The memory of one response with a value.
 */
import { MAX_SHORT_BYTES } from '../core/index.ts';
import type { BodyBounds } from './response-body.ts';
import type { ResponseBudget } from './types.ts';

/** Memory that one call has reserved for its response, until the response is parsed. */
export class ReservedMemory implements BodyBounds {
  readonly keptBytes = Infinity;
  readonly #budget: ResponseBudget | undefined;
  readonly #path: string;
  #reserved = 0;

  /** Reserves memory for a short response before the request is sent: an issued credential must not be lost. */
  constructor(budget: ResponseBudget | undefined, path: string) {
    this.#budget = budget;
    this.#path = path;
    this.grow(MAX_SHORT_BYTES);
  }

  grow(bytes: number): void {
    if (bytes <= this.#reserved) return;
    this.#budget?.reserve(bytes - this.#reserved, this.#path);
    this.#reserved = bytes;
  }

  release(): void {
    this.#budget?.release(this.#reserved);
  }
}
