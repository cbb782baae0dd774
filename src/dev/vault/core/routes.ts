/**
 * Matches the paths below a mount: `role/:name`, `data/*path`.
 */
import { listedRefusal, type Answer, type Operation, type VaultRequest } from './messages.ts';

/** The parts of the path that a pattern names. */
export type Params = Readonly<Record<string, string>>;

/** Serves one operation on the paths of one pattern. */
export type Handler = (request: VaultRequest, params: Params) => Answer | Promise<Answer>;

interface Route {
  readonly pattern: RegExp;
  readonly operations: readonly Operation[];
  readonly handler: Handler;
}

/** Both kinds of writes, which differ only for policies. */
export const WRITE: readonly Operation[] = ['create', 'update'];

/** An ordered table of routes; the first pattern that matches path and operation is used. */
export class Routes {
  readonly #routes: Route[] = [];

  /** `:name` stands for one segment, `*name` for the rest of the path, which may be empty. */
  on(operations: Operation | readonly Operation[], pattern: string, handler: Handler): this {
    this.#routes.push({
      pattern: compile(pattern),
      operations: typeof operations === 'string' ? [operations] : operations,
      handler,
    });
    return this;
  }

  /** @throws Refusal 404 for a path that nothing serves, 405 for an operation that it does not have. */
  async handle(request: VaultRequest): Promise<Answer> {
    let known = false;
    for (const route of this.#routes) {
      const match = route.pattern.exec(request.path);
      if (match === null) continue;
      known = true;
      if (!route.operations.includes(request.operation)) continue;
      return route.handler(request, { ...match.groups });
    }
    throw known
      ? listedRefusal(405, 'unsupported operation')
      : listedRefusal(404, 'unsupported path');
  }
}

function compile(pattern: string): RegExp {
  const source = pattern
    .replace(/[.?+^$()|[\]{}]/g, '\\$&')
    .replace(/:(\w+)/g, '(?<$1>[^/]+)')
    .replace(/\*(\w+)/g, '(?<$1>.*?)');
  return new RegExp(`^${source}/?$`);
}
