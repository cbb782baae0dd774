/**
 * Why a pod or a volume cannot be planned, and what is worth a warning: collected while decisions are taken and checked,
 * so that the user sees every reason at once.
 */
import type { Problem } from '../core/index.ts';

/** Collects problems and warnings of one plan, each in the order of its reports. */
export class Diagnostics {
  readonly #invalid: Problem[] = [];
  readonly #forbidden: Problem[] = [];
  readonly #warnings: string[] = [];

  /** Reports settings that are not valid, or conflict with each other or with the pod. */
  invalid(...problems: readonly Problem[]): void {
    this.#invalid.push(...problems);
  }

  /** Reports what the installation does not allow. */
  forbid(...problems: readonly Problem[]): void {
    this.#forbidden.push(...problems);
  }

  /** Reports what has no effect or is probably not intended. */
  warn(...warnings: readonly string[]): void {
    this.#warnings.push(...warnings);
  }

  /** Every problem; those that the installation does not allow are last. */
  get problems(): readonly Problem[] {
    return [...this.#invalid, ...this.#forbidden];
  }

  get warnings(): readonly string[] {
    return [...this.#warnings];
  }

  /** True if the installation does not allow something. */
  get isForbidden(): boolean {
    return this.#forbidden.length > 0;
  }

  /** True if nothing prevents the plan. */
  get isClean(): boolean {
    return this.#invalid.length === 0 && this.#forbidden.length === 0;
  }
}
