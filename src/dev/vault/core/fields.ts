/**
 * Reads the fields of a request body the lenient way Vault does.
 */
import { Refusal, type Json } from './messages.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Typed access to a body. A field that is absent or null has the zero value of its type. */
export class Fields {
  readonly #body: Json;

  constructor(body: Json) {
    this.#body = body;
  }

  has(name: string): boolean {
    return this.#body[name] !== undefined && this.#body[name] !== null;
  }

  text(name: string): string {
    const value = this.#body[name];
    return value === undefined || value === null ? '' : scalarText(value);
  }

  /** The list of a JSON array or of a comma-separated string. */
  list(name: string): string[] {
    const value = this.#body[name];
    if (Array.isArray(value)) return asList(value).map(scalarText);
    return this.text(name)
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  }

  flag(name: string): boolean {
    return ['true', '1'].includes(this.text(name).toLowerCase());
  }

  whole(name: string): number {
    const value = Number(this.text(name));
    if (!Number.isInteger(value)) {
      throw this.#unreadable(name, `cannot parse '' as int: strconv.ParseInt: invalid syntax`);
    }
    return value;
  }

  /** Milliseconds of a number of seconds or of a duration such as `1h30m`. */
  duration(name: string): number {
    try {
      return parseVaultDuration(this.text(name));
    } catch (error) {
      throw this.#unreadable(name, error instanceof Error ? error.message : '');
    }
  }

  #unreadable(name: string, reason: string): Refusal {
    return new Refusal(400, `error converting input for field "${name}": ${reason}`);
  }

  /** A JSON object; empty if absent. */
  object(name: string): Json {
    return asObject(this.#body[name]) ?? {};
  }
}

/** The value as a JSON object, or undefined if it is not one. */
export function asObject(value: unknown): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // Checked above: not an array, so a record of unknown values.
  return value as Json;
}

/** The value as a JSON array; a single value as a list of one, nothing as an empty one. */
export function asList(value: unknown): readonly unknown[] {
  // Array.isArray narrows to any[]; its elements are as unknown as the value.
  if (Array.isArray(value)) return value as unknown[];
  return value === undefined || value === null ? [] : [value];
}

/**
 * Milliseconds of seconds or of a duration with Go's units and days; empty is 0.
 *
 * @throws Refusal 400 with Vault's text.
 */
export function parseVaultDuration(text: string): number {
  if (text === '') return 0;
  if (/^-?\d+$/.test(text)) return Number(text) * 1000;
  if (!/^-?(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) {
    throw new Refusal(400, `time: invalid duration "${text}"`);
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  }
  return text.startsWith('-') ? -total : total;
}

/** A duration as Vault prints it in warnings: `768h`, `1h30m`, `45s`. */
export function formatVaultDuration(ms: number): string {
  const total = Math.round(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(total / 3600), 'h'],
    [Math.floor((total % 3600) / 60), 'm'],
    [total % 60, 's'],
  ];
  const text = parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('');
  return text === '' ? '0s' : text;
}

/** A JSON object with a text for each value. */
export function textMap(body: Json): Record<string, string> {
  const fields = new Fields(body);
  return Object.fromEntries(Object.keys(body).map((name) => [name, fields.text(name)]));
}

/** RFC 3339 text of an instant, as in Vault's answers. */
export function formatInstant(ms: number): string {
  return new Date(ms).toISOString();
}

/** Whole seconds, rounded down, never negative. */
export function seconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1000));
}

function scalarText(value: unknown): string {
  if (typeof value === 'string') return value;
  return JSON.stringify(value);
}
