/**
 * A namespace: its mounts and its policies.
 */
import { DEFAULT_POLICY, parsePolicy, type PolicyRule } from './acl.ts';
import type { MountTable } from './mounts.ts';

interface Policy {
  readonly text: string;
  readonly rules: readonly PolicyRule[];
}

/** What one tenant sees. */
export class Namespace {
  /** Without leading or trailing slashes; empty for the root namespace. */
  readonly path: string;
  readonly mounts: MountTable;
  readonly #policies = new Map<string, Policy>();

  constructor(path: string, mounts: MountTable) {
    this.path = path;
    this.mounts = mounts;
    this.setPolicy('default', DEFAULT_POLICY);
  }

  /** @throws Refusal 400 for an invalid policy. */
  setPolicy(name: string, text: string): void {
    this.#policies.set(name, { text, rules: parsePolicy(text) });
  }

  policyText(name: string): string | undefined {
    return name === 'root' ? '' : this.#policies.get(name)?.text;
  }

  policyNames(): string[] {
    return [...this.#policies.keys(), 'root'].sort();
  }

  deletePolicy(name: string): void {
    this.#policies.delete(name);
  }

  /** The rules of several policies together; names without a policy are ignored. */
  rulesOf(names: readonly string[]): PolicyRule[] {
    return names.flatMap((name) => this.#policies.get(name)?.rules ?? []);
  }
}
