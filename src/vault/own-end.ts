/**
 * When a value ends by what its own data say: tokens by `exp`, certificates by their dates, other credentials by the fields that
 * secrets engines and plug-ins set beside them. docs/use/lifecycle.md lists them.
 */
import type { OwnEnd } from '../contracts/index.ts';
import { certificateLife, isRecord, parseDuration } from '../core/index.ts';
import { X509Certificate } from 'node:crypto';
import { numberAt, parseJson, type JsonObject } from './json.ts';
import { sshCertificateLife } from './ssh-certificate.ts';

/** Bounds of the search: answers of Vault are up to 8 MiB. */
const MAX_FIELDS = 256;
const MAX_DEPTH = 4;
const MAX_DOCUMENT_CHARS = 64 * 1024;

/** From here on a number is in milliseconds: as seconds it would be far beyond the year 9999. */
const MIN_MILLISECONDS = 1e12;
/** The last second of the year 9999, which certificates without an end name. Later ends are treated as this one. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59);

/** What a date or a duration may belong to: `token_ttl`, `key_expires_at`. */
const SUBJECT =
  '(?:(?:access|id|session|security|bearer|oauth|auth|api|secret|client|private|ssh)_)?' +
  '(?:token|key|secret|password|credentials?|creds|certificate|cert|jwt|secret_id|session|login|account|user)_';
const UNIT =
  '(?:_(?:at|on|date|datetime|time|timestamp|unix|epoch|utc|sec|secs|seconds|ms|millis|milliseconds))*';

/** Names of fields with the end as a date: `expiration`, `expires_at_seconds`, `expire_time`, `valid_until`. */
const DATE = new RegExp(
  `^(?:${SUBJECT})?(?:exp|expir(?:e|es|ed|y|ation)|valid_(?:until|to|till|before)|not_after|end_date)${UNIT}$`,
);

/** Names of fields with the time that is left: `ttl`, `token_ttl`, `expires_in`. */
const DURATION = new RegExp(
  `^(?:${SUBJECT})?(?:ttl|time_to_live|lifetime|valid_for|expir(?:es|y|ation)_in|expires_after)(?:_(?:sec|secs|seconds|ms|millis|milliseconds))?$`,
);

/** Names of fields that hold a credential; a `ttl` beside none of them is that of a role, say. */
const CREDENTIAL =
  /(?:^|_)(?:token|jwt|password|passphrase|secret|secret_id|(?:access|secret|private|api|auth|signed|client)_key|credentials?|creds|certificate|cert|otp|kubeconfig|assertion|cookie)$/;

/** Certificates of others, and tokens that outlive the credential. */
const NOT_OWN =
  /(?:^|_)(?:ca|cas|root|issuer|issuing|trust|trusted|trustanchors?|intermediate|authority|authorities|refresh_token)(?:_|$)/;

const CERTIFICATE = /(?:^|_)(?:certificate|cert|crt|x509)(?:_|$)/;

interface Field {
  /** In lower case, with underscores: `expires_at` also for `expiresAt`. */
  readonly name: string;
  readonly parent: JsonObject;
  readonly key: string;
}

interface Life {
  readonly fromMs?: number | undefined;
  readonly toMs: number;
}

/** The ends that the data of a response name, in milliseconds since the epoch. */
interface OwnEnds {
  /** The earliest of dates and signed documents. */
  readonly absolute: OwnEnd | undefined;
  /** The shortest duration, from now. */
  readonly relative: OwnEnd | undefined;
}

/**
 * When the data of a response end; undefined if they do not say so. A token's own `exp` takes precedence over a `ttl` beside it,
 * unless the local clock is ahead of it. `nowMs` is the wall time.
 */
export function ownEnd(data: JsonObject, nowMs: number): OwnEnd | undefined {
  const { absolute, relative } = ownEnds(data, nowMs);
  // A duration needs no correct clock.
  if (absolute === undefined || absolute.expiresAtMs <= nowMs) return relative ?? absolute;
  return absolute;
}

/** As {@link ownEnd}, apart: a duration beside a lease may be that of the lease. */
export function ownEnds(data: JsonObject, nowMs: number): OwnEnds {
  const fields = fieldsIn(data);
  const x509 = fields.flatMap((field) => some(x509Life(field)));
  const signed = fields.flatMap((field) => [...jwtLives(field), ...some(sshLife(field))]);
  const dates = hasText(fields) ? fields.flatMap((field) => some(dateOf(field))) : [];
  const durations = fields.some(isCredential)
    ? fields.flatMap((field) => some(durationOf(field, nowMs)))
    : [];
  const isMade =
    signed.length > 0 || durations.length > 0 || (dates.length > 0 && fields.some(isCertificate));
  const documents = [...x509, ...signed];
  const absolute = earliest([...documents, ...dates]);
  const relative = earliest(durations);
  // A date beside a document says only when it ends.
  const fromMs = documents.find((life) => life.fromMs !== undefined)?.fromMs;
  return {
    absolute: absolute && {
      ...spanOf({ fromMs, ...absolute }),
      ...(!isMade && { isStored: true }),
    },
    relative: relative && spanOf(relative),
  };
}

function spanOf({ fromMs, toMs }: Life): OwnEnd {
  const expiresAtMs = Math.min(toMs, LAST_MS);
  if (fromMs === undefined || !Number.isFinite(fromMs) || fromMs >= expiresAtMs) {
    return { expiresAtMs };
  }
  return { notBeforeMs: fromMs, expiresAtMs };
}

/** The fields of the data, and of the objects and lists in them. */
function fieldsIn(data: JsonObject): readonly Field[] {
  const found: Field[] = [];
  const collect = (parent: JsonObject, depth: number): void => {
    for (const key of Object.keys(parent)) {
      if (found.length >= MAX_FIELDS) return;
      found.push({ name: snakeCase(key), parent, key });
      if (depth === MAX_DEPTH) continue;
      for (const inner of objectsIn(parent[key], key)) collect(inner, depth + 1);
    }
  };
  collect(data, 1);
  return found;
}

/** A member that is an object, or the items of one that is a list; a text in a list has the name of the list. */
function objectsIn(value: unknown, key: string): readonly JsonObject[] {
  if (isRecord(value)) return [value];
  if (!Array.isArray(value)) return [];
  const items: readonly unknown[] = value.slice(0, MAX_FIELDS);
  return items.flatMap((item, index) => {
    if (isRecord(item)) return [item];
    // After the first one, the certificates of a list are those of its issuers.
    const isIssuer = index > 0 && (typeof item !== 'string' || !/^(?:Bearer )?ey/.test(item));
    return isIssuer ? [] : [{ [key]: item }];
  });
}

function snakeCase(key: string): string {
  return key
    .slice(0, 128)
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[-. ]/g, '_')
    .toLowerCase();
}

function textOf({ parent, key }: Field): string {
  const value = parent[key];
  return typeof value === 'string' ? value : '';
}

function documentOf(field: Field): string {
  const text = textOf(field);
  return text.length > MAX_DOCUMENT_CHARS || NOT_OWN.test(field.name) ? '' : text;
}

/** True if there is anything that a date can be about. */
function hasText(fields: readonly Field[]): boolean {
  return fields.some((field) => textOf(field) !== '' && !DATE.test(field.name));
}

function isCredential(field: Field): boolean {
  return textOf(field) !== '' && CREDENTIAL.test(field.name);
}

function isCertificate(field: Field): boolean {
  return textOf(field) !== '' && CERTIFICATE.test(field.name);
}

/** The life of the first certificate in a PEM text, or of one in base64. */
function x509Life(field: Field): Life | undefined {
  const text = documentOf(field);
  const start = text.indexOf('-----BEGIN CERTIFICATE-----');
  const end = text.indexOf('-----END CERTIFICATE-----', start);
  const isDer = start === -1 && CERTIFICATE.test(field.name) && text.startsWith('MI');
  if (!isDer && (start === -1 || end === -1)) return undefined;
  try {
    const bytes = isDer ? Buffer.from(text, 'base64') : text.slice(start, end + 25);
    const { fromMs, toMs } = certificateLife(new X509Certificate(bytes));
    return Number.isFinite(toMs) ? { fromMs, toMs } : undefined;
  } catch {
    return undefined; // Not a certificate that can be read.
  }
}

/** The lives of the JWTs in a text: the whole text, or a part of it as in NATS's files. */
function jwtLives(field: Field): readonly Life[] {
  const text = documentOf(field);
  if (!text.includes('.')) return [];
  return text.split(/[^\w.-]+/, MAX_FIELDS).flatMap((word) => some(jwtLife(word)));
}

/** @see https://www.rfc-editor.org/rfc/rfc7519#section-4.1 */
function jwtLife(word: string): Life | undefined {
  const [, header = '', payload = ''] = /^([\w-]{2,})\.([\w-]{2,})\.[\w-]*$/.exec(word) ?? [];
  const head = jsonOf(header);
  const claims = head === undefined || !('alg' in head) ? undefined : jsonOf(payload);
  const toMs = numberAt(claims, 'exp') * 1000;
  if (toMs === 0) return undefined;
  const fromMs = (numberAt(claims, 'nbf') || numberAt(claims, 'iat')) * 1000;
  return { fromMs: fromMs === 0 ? undefined : fromMs, toMs };
}

function jsonOf(base64url: string): JsonObject | undefined {
  if (base64url === '') return undefined;
  try {
    const value = parseJson(Buffer.from(base64url, 'base64url'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined; // A text with two dots.
  }
}

function sshLife(field: Field): Life | undefined {
  const life = sshCertificateLife(documentOf(field));
  return life === undefined || life.toMs === Infinity ? undefined : life;
}

/** A date in seconds or milliseconds since the epoch, or as RFC 3339. */
function dateOf(field: Field): Life | undefined {
  if (!DATE.test(field.name) || NOT_OWN.test(field.name)) return undefined;
  const seconds = numberAt(field.parent, field.key);
  const isDate = seconds === 0 && /^\d{4}-\d{2}-\d{2}/.test(textOf(field));
  const ms = isDate ? parseDate(textOf(field)) : numericMs(seconds);
  // Year 1 is Go's zero time: no end.
  return Number.isFinite(ms) && ms > 0 ? { toMs: ms } : undefined;
}

/** A time without a zone is in UTC. */
function parseDate(text: string): number {
  const hasZone = !/\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?$/.test(text);
  return Date.parse(hasZone ? text.slice(0, 64) : `${text.replace(' ', 'T')}Z`);
}

function numericMs(value: number): number {
  return value >= MIN_MILLISECONDS ? value : value * 1000;
}

/** What is left in seconds, in milliseconds by its name, or as a duration: `1h30m`. */
function durationOf(field: Field, nowMs: number): Life | undefined {
  if (!DURATION.test(field.name) || NOT_OWN.test(field.name)) return undefined;
  const number = numberAt(field.parent, field.key);
  const unitMs = /_(?:ms|millis|milliseconds)$/.test(field.name) ? 1 : 1000;
  const leftMs = number > 0 ? number * unitMs : (parseDuration(textOf(field)) ?? 0);
  return leftMs > 0 ? { toMs: nowMs + leftMs } : undefined;
}

function earliest(lives: readonly Life[]): Life | undefined {
  return lives.reduce<Life | undefined>(
    (first, life) => (first === undefined || life.toMs < first.toMs ? life : first),
    undefined,
  );
}

function some<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}
