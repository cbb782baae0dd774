/**
 * The containers with variables: which version of the variables each runs with, and their restarts.
 */
import type { Clock } from '../core/index.ts';
import type { EnvRestart } from './env-restarts.ts';
import type { EnvPort, NotifierPort } from './ports.ts';

/** How often the versions are read, in milliseconds: a container may be restarted by the kubelet at any time. */
const LOOK_MS = 30_000;

/** The version of the variables that a container runs with; undefined if the agent cannot see it. */
export interface EnvContainer {
  readonly name: string;
  readonly version: number | undefined;
}

export interface EnvContainersParts {
  /** Containers whose processes the agent can see. */
  readonly names: readonly string[];
  readonly env: EnvPort;
  readonly notifier: NotifierPort;
  readonly clock: Clock;
}

/** Restarts containers, and knows what they run with. */
export class EnvContainers {
  readonly #parts: EnvContainersParts;
  #versions: ReadonlyMap<string, number | undefined> = new Map();
  /** The restart that is waited for. */
  #pending: Promise<void> | undefined;
  #written: number | undefined;

  constructor(parts: EnvContainersParts) {
    this.#parts = parts;
  }

  /** The version of the variables that were written last; undefined before the first write. */
  get version(): number | undefined {
    return this.#written;
  }

  get containers(): readonly EnvContainer[] {
    const { names } = this.#parts;
    return names.map((name) => ({ name, version: this.#versions.get(name) }));
  }

  /** Records a version that was written. */
  written(version: number | undefined): void {
    this.#written = version ?? this.#written;
  }

  /** Reads the versions from time to time, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (this.#parts.names.length > 0) {
      await this.#look();
      await this.#parts.clock.sleep(LOOK_MS, signal);
    }
  }

  /**
   * Restarts the containers after the delay, except those that have started with the newest version by then. A restart that
   * is waited for serves every later set as well: containers start with the newest variables. Rejects only on abort.
   */
  restart(wanted: EnvRestart, signal: AbortSignal): Promise<void> {
    this.#pending ??= this.#restart(wanted, signal);
    return this.#pending;
  }

  async #restart({ containers, delayMs }: EnvRestart, signal: AbortSignal): Promise<void> {
    const { clock, notifier } = this.#parts;
    try {
      await clock.sleep(delayMs, signal);
    } finally {
      // From here on a later set needs a restart of its own.
      this.#pending = undefined;
    }
    await this.#look();
    const outdated = containers.filter((name) => {
      const version = this.#versions.get(name);
      return version === undefined || version !== this.#written;
    });
    const actions = outdated.map((container) => ({ kind: 'restart', container }) as const);
    await notifier.notify(actions, signal);
    await this.#look();
  }

  async #look(): Promise<void> {
    const { names, env } = this.#parts;
    const found = names.map(async (name) => [name, await env.versionOf(name)] as const);
    this.#versions = new Map(await Promise.all(found));
  }
}
