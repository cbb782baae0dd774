/**
 * Reads the fields of a request body in the lenient way of Vault.
 */
import { isRecord } from '../../core/index.ts';
import { VaultError, type Json } from './messages.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Typed access to a body. A field that is absent or null has the zero value of its type. */
export class Fields {
  readonly body: Json;

  constructor(body: Json) {
    this.body = body;
  }

  text(name: string): string {
    return textOf(this.body[name]);
  }

  /** The list of a JSON array or of a comma-separated string. */
  list(name: string): string[] {
    const value = this.body[name];
    if (Array.isArray(value)) return value.map(textOf);
    const items = this.text(name).split(',');
    return items.map((item) => item.trim()).filter((item) => item !== '');
  }

  /** Milliseconds of a number of seconds or of a duration such as `1h30m`. @throws VaultError 400 */
  duration(name: string): number {
    const text = this.text(name);
    if (/^\d*$/.test(text)) return Number(text) * 1000;
    if (!/^(\d+(ms|s|m|h))+$/.test(text)) {
      throw new VaultError(400, `error converting input for field "${name}": "${text}"`);
    }
    return [...text.matchAll(/(\d+)(ms|s|m|h)/g)].reduce(
      (total, [, amount, unit = '']) => total + Number(amount) * (UNIT_MS[unit] ?? 0),
      0,
    );
  }

  /** A JSON object; empty if absent. */
  object(name: string): Json {
    return asObject(this.body[name]) ?? {};
  }
}

/** The value as a JSON object, or undefined if it is not one. */
export function asObject(value: unknown): Json | undefined {
  return isRecord(value) ? value : undefined;
}

/** Whole seconds, rounded down, never negative. */
export function seconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1000));
}

/** Whether a text matches a pattern in which `*` stands for any characters, including slashes. */
export function matchesGlob(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => RegExp.escape(part));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(text);
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
