/**
 * The roles of a mount: stored as they were written, read at each use.
 */
import { Fields } from './fields.ts';
import { NOT_FOUND, type Json } from './messages.ts';
import type { Routes } from './routes.ts';

/** Roles by name. A write changes only the fields that it contains. */
export class RoleStore {
  readonly #bodies = new Map<string, Json>();

  /** Adds routes to read, write and delete at `<base>/<name>`. `onWrite` may reject a role. */
  constructor(
    routes: Routes,
    base: string,
    onWrite: (name: string, role: Fields) => void = () => undefined,
  ) {
    routes
      .on('read', `${base}/:name`, (_, { name = '' }) => {
        const data = this.#bodies.get(name);
        return data === undefined ? NOT_FOUND : { data };
      })
      .on('update', `${base}/:name`, ({ body }, { name = '' }) => {
        const merged = { ...this.#bodies.get(name), ...body };
        onWrite(name, new Fields(merged));
        this.#bodies.set(name, merged);
        return {};
      })
      .on('delete', `${base}/:name`, (_, { name = '' }) => {
        this.#bodies.delete(name);
        return {};
      });
  }

  get(name: string): Fields | undefined {
    const body = this.#bodies.get(name);
    return body === undefined ? undefined : new Fields(body);
  }

  names(): readonly string[] {
    return [...this.#bodies.keys()];
  }
}
