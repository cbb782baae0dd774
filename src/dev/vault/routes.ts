/**
 * Matches the paths below a mount: `role/:name`, `data/*path`.
 */
import type { Answer, Operation, VaultRequest } from './messages.ts';

/** The parts of the path that a pattern names. */
type Params = Readonly<Record<string, string>>;

/** Serves one operation on the paths of one pattern. */
export type Handler = (request: VaultRequest, params: Params) => Answer | Promise<Answer>;

/** A route that serves a request. */
export interface FoundRoute {
  /** Whether it requires no token. */
  readonly isOpen: boolean;
  handle(request: VaultRequest): Answer | Promise<Answer>;
}

/** An ordered table of routes; the first one that matches path and operation is used. */
export class Routes {
  readonly #routes: {
    readonly operation: Operation;
    readonly pattern: RegExp;
    readonly isOpen: boolean;
    readonly handler: Handler;
  }[] = [];

  /** `:name` stands for one segment, `*name` for the rest of the path, which may be empty. */
  on(operation: Operation, pattern: string, handler: Handler, isOpen = false): this {
    this.#routes.push({ operation, pattern: compile(pattern), isOpen, handler });
    return this;
  }

  /** A route that requires no token. */
  open(operation: Operation, pattern: string, handler: Handler): this {
    return this.on(operation, pattern, handler, true);
  }

  find(operation: Operation, path: string): FoundRoute | undefined {
    for (const { isOpen, handler, ...route } of this.#routes) {
      const match = route.operation === operation ? route.pattern.exec(path) : null;
      if (match === null) continue;
      return { isOpen, handle: (request) => handler(request, { ...match.groups }) };
    }
    return undefined;
  }
}

function compile(pattern: string): RegExp {
  const source = pattern
    .replace(/:(\w+)/g, '(?<$1>[^/]+)')
    .replace(/\/?\*(\w+)/g, (found, name: string) =>
      found.startsWith('/') ? `(?:/(?<${name}>.*))?` : `(?<${name}>.*)`,
    );
  return new RegExp(`^${source}$`);
}
