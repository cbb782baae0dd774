/**
 * The roles of a mount: stored as they were written, parsed at each use.
 */
import { NOTHING_FOUND, type Answer, type Json, type VaultRequest } from './messages.ts';
import { WRITE, type Routes } from './routes.ts';

/** How a method handles its roles. */
export interface RoleKind<Role> {
  /** Path below the mount, without the name: `role`. */
  readonly base: string;
  /** Rejects an invalid role. */
  readonly parse: (body: Json, name: string) => Role;
  /** The data of a read. */
  readonly show: (role: Role) => Json;
  /** Warnings in the response to a write. */
  readonly warnings?: (role: Role, name: string) => readonly string[];
  /** Whether a write responds with the role, as in PKI. */
  readonly answersWithRole?: boolean;
}

/** Roles by name. */
export class RoleStore<Role> {
  readonly #bodies = new Map<string, Json>();
  readonly #kind: RoleKind<Role>;

  constructor(kind: RoleKind<Role>) {
    this.#kind = kind;
  }

  get(name: string): Role | undefined {
    const body = this.#bodies.get(name);
    return body === undefined ? undefined : this.#kind.parse(body, name);
  }

  has(name: string): boolean {
    return this.#bodies.has(name);
  }

  names(): string[] {
    return [...this.#bodies.keys()].sort();
  }

  /** Adds list, read, write and delete. A write changes only the fields that it contains. */
  addRoutes(routes: Routes): void {
    const { base, show } = this.#kind;
    routes
      .on('list', base, () => {
        return this.#bodies.size === 0 ? NOTHING_FOUND : { data: { keys: this.names() } };
      })
      .on('read', `${base}/:name`, (_, { name = '' }) => {
        const role = this.get(name.toLowerCase());
        return role === undefined ? NOTHING_FOUND : { data: show(role) };
      })
      .on(WRITE, `${base}/:name`, (request, { name = '' }) => this.#write(request, name))
      .on('delete', `${base}/:name`, (_, { name = '' }) => {
        this.#bodies.delete(name.toLowerCase());
        return {};
      });
  }

  #write(request: VaultRequest, given: string): Answer {
    const name = given.toLowerCase();
    const body = { ...this.#bodies.get(name), ...request.body };
    const role = this.#kind.parse(body, name);
    this.#bodies.set(name, body);
    const warnings = this.#kind.warnings?.(role, name) ?? [];
    return this.#kind.answersWithRole === true
      ? { data: this.#kind.show(role), warnings }
      : { warnings };
  }
}
