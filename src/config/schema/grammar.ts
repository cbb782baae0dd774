/**
 * Grammars of single values: one grammar serves an annotation and the field of a document alike.
 */
import { isIPv6 } from 'node:net';
import {
  isPrintable,
  normalizeVaultPath,
  splitSecretRef,
  NOTIFY_SIGNALS,
  notifyUrlProblem,
  outputPathProblem,
  parseDuration,
  parseNotifySignal,
  parseQuantity,
  spiffeIdProblem,
} from '../../core/index.ts';
import { MAX_RENDER_BYTES, MIN_RENDER_BYTES } from './defaults.ts';
import type { JsonSchema } from './json-schema.ts';
import type { NotifyAction, SecretRef } from './values.ts';

/** The value, or the rule that the text breaks, as a predicate: `must be …`. */
type Parsed<T> = { readonly value: T } | { readonly problem: string };

/** How one text is read; `W` are the texts it accepts, where they are a few words. */
export interface Grammar<T, W extends string = string> {
  /** Never set: it only carries the type. */
  readonly written?: W;
  /** The texts it accepts, in words, for messages and documentation. */
  readonly values: string;
  /** JSON Schema of every text that it accepts (and perhaps of a few that it does not). */
  readonly schema: JsonSchema;
  parse(text: string): Parsed<T>;
}

/** A chain of a few hundred certificates. */
const MAX_PEM_CHARS = 256 * 1024;

/** Maximum number of audiences of one JWT-SVID. */
export const MAX_AUDIENCES = 16;

/** Maximum number of actions of one file, or of all files. */
export const MAX_ACTIONS = 16;

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** A name or similar: 1 to `max` printable characters. */
export function text(values: string, max = 1024): Grammar<string> {
  return grammar(values, { minLength: 1, maxLength: max }, (given) => {
    if (given === '' || given.length > max) return err(`must be ${values}, 1 to ${max} characters`);
    return isPrintable(given)
      ? ok(given)
      : err(`must be ${values} without control or format characters`);
  });
}

/** Text of any lines: 1 to `max` characters, none of them NUL. */
export function longText(values: string, max: number): Grammar<string> {
  return grammar(values, { minLength: 1, maxLength: max }, (given) =>
    given !== '' && given.length <= max && !given.includes('\0')
      ? ok(given)
      : err(`must be ${values}, 1 to ${max} characters`),
  );
}

/** A text that matches a regular expression. */
export function matching(values: string, pattern: RegExp): Grammar<string> {
  return grammar(values, { pattern: pattern.source }, (given) =>
    pattern.test(given) ? ok(given) : err(`must be ${values}`),
  );
}

/** One of a few words. */
export function choice<const T extends string>(words: readonly T[]): Grammar<T, T> {
  const values = words.map((word) => `\`${word}\``).join(', ');
  return grammar<T, T>(values, { enum: [...words] }, (given) => {
    const word = words.find((one) => one === given);
    return word === undefined ? err(`must be one of ${words.join(', ')}`) : ok(word);
  });
}

/** `true` or `false`, and nothing else: "yes" and "True" are errors, not `false`. */
export const boolean: Grammar<boolean> = grammar(
  '`true` or `false`',
  { enum: ['true', 'false'] },
  (given) =>
    given === 'true' || given === 'false' ? ok(given === 'true') : err('must be true or false'),
);

/** A whole number within bounds. */
export function wholeNumber(min: number, max: number): Grammar<number> {
  const values = `a whole number from ${min} to ${max}`;
  return grammar(values, { pattern: '^[0-9]{1,10}$' }, (given) => {
    const value = /^\d{1,10}$/.test(given) ? Number(given) : Number.NaN;
    return value >= min && value <= max ? ok(value) : err(`must be ${values}`);
  });
}

/** A duration, in milliseconds; at least `minMs`. */
export function duration(minMs = 0): Grammar<number> {
  const values = 'a duration such as `30s`, `5m` or `1h30m`';
  const pattern = '^\\s*([0-9]{1,9}|([0-9]{1,9}(\\.[0-9]{1,3})?(ms|s|m|h|d))+)\\s*$';
  return grammar(values, { pattern }, (given) => {
    const ms = parseDuration(given);
    if (ms === undefined) return err('must be a duration such as 30s, 5m or 1h30m, up to 365d');
    return ms >= minMs ? ok(ms) : err(`must be at least ${minMs / 1000}s`);
  });
}

/** Write and execute permission of group and others. */
const OWNER_ONLY_BITS = 0o033;

/** Permission bits in octal. Only the owner may have write or execute permission. */
export const fileMode: Grammar<number> = grammar(
  'octal permission bits such as `0440`',
  { pattern: '^0?[4-7][04][04]$' },
  (given) => {
    if (!/^0?[0-7]{3}$/.test(given)) return err('must be octal permission bits such as 0440');
    const mode = Number.parseInt(given, 8);
    if ((mode & 0o400) === 0) return err('must let the owner read (0400)');
    return (mode & OWNER_ONLY_BITS) === 0
      ? ok(mode)
      : err('must let only the owner write or execute: 4 or 0 for group and others, as in 0440');
  },
);

/** The logical name of a file, used in logs and metrics; also its path where none is set. */
export const fileName: Grammar<string> = matching(
  'a name of a-z, 0-9, dot, dash and underscore that does not start with two dots',
  /^(?!\.(\.|$))[a-z0-9._-]{1,128}$/,
);

/** PEM text of one or more certificates. */
export const pem: Grammar<string> = grammar(
  'PEM text of certificates',
  { pattern: '-----BEGIN CERTIFICATE-----', maxLength: MAX_PEM_CHARS },
  (given) => {
    if (given.length > MAX_PEM_CHARS) return err(`must have at most ${MAX_PEM_CHARS} characters`);
    if (given.includes('PRIVATE KEY')) return err('must not contain a private key');
    return given.includes('-----BEGIN CERTIFICATE-----')
      ? ok(given)
      : err('must be PEM text of certificates');
  },
);

/** `host:port`; an empty host stands for every address of the machine. */
export const listenAddress: Grammar<string> = grammar(
  '`host:port`, or `:port` for every address',
  { pattern: ':[0-9]{1,5}$' },
  (given) => {
    const [, host = '', port] = /^(.*):(\d{1,5})$/.exec(given) ?? [];
    const isHost = /^([A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])$/.test(host);
    return port === undefined || !isHost || Number(port) > 65_535
      ? err('must be host:port, such as 127.0.0.1:9102')
      : ok(given);
  },
);

/** A path below the mounted directory. */
export const outputPath: Grammar<string> = grammar(
  'a relative path below the mount',
  { minLength: 1 },
  (given) => {
    const problem = outputPathProblem(given);
    return problem === undefined ? ok(given) : err(problem);
  },
);

/** A Vault path with an optional key: `kvv2/app#password`. */
export const secretRef: Grammar<SecretRef> = grammar(
  'a Vault path such as `kvv2/app`, or `kvv2/app#key` for one value of it; `\\#` in the path is a `#`',
  { minLength: 1 },
  (given) => {
    const { path: written, key } = splitSecretRef(given);
    const path = normalizeVaultPath(written);
    if (path === undefined) return err('must be a Vault path such as kvv2/app');
    if (!path.includes('/')) return err(`names only the mount "${path}": add the path below it`);
    if (key === undefined) return ok({ path });
    if (!isPrintable(key)) return err('must have a key without control or format characters');
    return key === '' ? err('must have the name of a key after #') : ok({ path, key });
  },
);

/** One value of a secret, without which there is nothing to put into a variable. */
export const secretKeyRef: Grammar<SecretRef> = {
  ...secretRef,
  values: 'a Vault path and a key such as `kvv2/app#key`; `\\#` in the path is a `#`',
  parse: (given) => {
    const parsed = secretRef.parse(given);
    return 'value' in parsed && parsed.value.key === undefined
      ? err('must have a key, such as kvv2/app#password')
      : parsed;
  },
};

/** The name of an environment variable. Kubernetes accepts more, but shells and most programs do not. */
export const variableName: Grammar<string> = grammar(
  'the name of an environment variable: a-z, A-Z, 0-9 and underscore, without a digit at the start',
  { pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' },
  (given) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(given)) {
      return err(
        'must be the name of an environment variable: a-z, A-Z, 0-9 and underscore, without a digit at the start',
      );
    }
    return given.startsWith('VOUCHSAFE_')
      ? err('must not start with VOUCHSAFE_, which is reserved')
      : ok(given);
  },
);

/** An auth mount, with or without `auth/`. */
export const authMount: Grammar<string> = grammar(
  'an auth mount such as `jwt` (with or without `auth/`)',
  { minLength: 1 },
  (given) => {
    const path = normalizeVaultPath(given)?.replace(/^auth\//, '');
    return path === undefined || path === '' || path === 'auth'
      ? err('must be an auth mount such as jwt')
      : ok(path);
  },
);

/** A SPIFFE ID. */
export const spiffeId: Grammar<string> = grammar(
  'a SPIFFE ID such as `spiffe://example.org/web`',
  { pattern: '^spiffe://' },
  (given) => {
    const problem = spiffeIdProblem(given);
    return problem === undefined ? ok(given) : err(problem);
  },
);

/** An origin over HTTP(S), without path, query or credentials. */
export const httpOrigin: Grammar<string> = grammar(
  'a URL such as `https://vault.example:8200`',
  { pattern: '^https?://' },
  (given) => {
    const url = URL.canParse(given) ? new URL(given) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      return err('must be a URL such as https://vault.example:8200');
    }
    if (url.username !== '' || url.password !== '') return err('must not contain credentials');
    if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
      return err(`must not have a path or query: set ${url.origin}`);
    }
    return ok(url.origin);
  },
);

/** A host, normalized as in a URL: lower case, IPv4 in four parts, IPv6 in brackets. */
export const host: Grammar<string> = grammar(
  'a host name or an IP address, without port',
  { minLength: 1, maxLength: 253 },
  (given) => {
    const written = isIPv6(given) ? `[${given}]` : given;
    const isHost = written.length <= 253 && HOST.test(written) && isPrintable(written);
    const url = isHost ? URL.parse(`https://${written}/`) : null;
    const name = url?.hostname.replace(/\.$/, '') ?? '';
    return name === ''
      ? err('must be a host name or an IP address, without scheme, port and path')
      : ok(name);
  },
);

const HOST = /^(\[[\d.:a-fA-F]+\]|[^\s:/?#@%\\[\]]+)$/;

/** Names of containers, comma-separated. */
export const containerNames: Grammar<readonly string[]> = listOf(
  'comma-separated names of containers',
  matching('the name of a container', DNS_LABEL),
);

/** Names of init containers, or `all` of those that follow the agent. */
export const initContainerNames: Grammar<'all' | readonly string[]> = {
  ...containerNames,
  values: '`all`, or comma-separated names of init containers',
  parse: (given) => (given.trim() === 'all' ? ok('all' as const) : containerNames.parse(given)),
};

/** Audiences of one JWT-SVID, comma-separated. */
export const audiences: Grammar<readonly string[]> = listOf(
  'comma-separated audiences, 16 at most',
  text('an audience'),
  MAX_AUDIENCES,
);

const ACTIONS =
  '`signal:HUP@container`, `http:POST http://127.0.0.1:8080/-/reload` or `restart@container`';

/** What to do when files change. */
export const notifyAction: Grammar<NotifyAction> = grammar(ACTIONS, { minLength: 1 }, parseAction);

/** What to do when files change: several actions, comma-separated. */
export const notifyActions: Grammar<readonly NotifyAction[]> = listOf(
  `${ACTIONS}; several, 16 at most, are comma-separated`,
  notifyAction,
  MAX_ACTIONS,
);

/** A resource request, with an optional limit after a slash: `10m`, `48Mi/128Mi`. */
export const quantityRange: Grammar<{ readonly request: string; readonly limit?: string }> =
  grammar(
    'a request such as `10m` or `64Mi`, or request and limit: `48Mi/128Mi`',
    { minLength: 1 },
    (given) => {
      const [request = '', limit, ...rest] = given.split('/').map((part) => part.trim());
      const amounts = limit === undefined ? [request] : [request, limit];
      if (rest.length > 0 || !amounts.every(isQuantity)) {
        return err('must be a quantity such as 10m, 64Mi or 48Mi/128Mi');
      }
      if (limit !== undefined && (parseQuantity(request) ?? 0) > (parseQuantity(limit) ?? 0)) {
        return err('must not request more than its limit');
      }
      return ok(limit === undefined ? { request } : { request, limit });
    },
  );

/** One resource quantity. */
export const quantity: Grammar<string> = grammar(
  'a quantity such as `16Mi`',
  { pattern: '^[0-9]' },
  (given) => (isQuantity(given) ? ok(given) : err('must be a quantity such as 16Mi')),
);

/** Memory that one rendering may allocate, as a quantity; the value is in bytes. */
export const renderBytes: Grammar<number> = grammar(
  'a size from `64Ki` to `1Gi`',
  { pattern: '^[0-9]' },
  (given) => {
    const bytes = Math.floor(parseQuantity(given) ?? 0);
    const isWithin = bytes >= MIN_RENDER_BYTES && bytes <= MAX_RENDER_BYTES;
    return isWithin ? ok(bytes) : err('must be a size from 64Ki to 1Gi');
  },
);

/** `configmap-name/key` */
export const configMapRef: Grammar<{ readonly name: string; readonly key: string }> = grammar(
  '`configmap-name/key`',
  { pattern: '^[^/]+/[^/]+$' },
  (given) => {
    const [name = '', key = '', ...rest] = given.split('/');
    const isName = name.length <= 253 && name.split('.').every((label) => DNS_LABEL.test(label));
    if (rest.length > 0 || !isName || !/^[-._a-zA-Z0-9]{1,253}$/.test(key) || /^\.+$/.test(key)) {
      return err('must be configmap-name/key');
    }
    return ok({ name, key });
  },
);

/** Address of the Workload API: a path, `unix:///path` or `tcp://IP:port`; the value is always a URL. */
export const workloadSocket: Grammar<string> = grammar(
  'a path such as `/run/spire/sockets/agent.sock`, `unix:///path` or `tcp://IP:port`',
  { pattern: '^(/|unix:///|tcp://)' },
  (given) => {
    if (/^tcp:\/\/(\d+(\.\d+){3}|\[[0-9a-f:]+\]):\d{1,5}$/.test(given)) return ok(given);
    const path = mountPath.parse(given.replace(/^unix:\/\//, ''));
    if ('problem' in path || path.value.lastIndexOf('/') === 0) {
      return err('must be a path in a directory of its own, such as /run/spire/sockets/agent.sock');
    }
    return ok(`unix://${path.value}`);
  },
);

/** A container image. */
export const imageReference: Grammar<string> = matching(
  'an image such as `vouchsafe:1.0.0`',
  /^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$/,
);

/** An absolute directory that can be mounted without hiding the system. */
export const mountPath: Grammar<string> = grammar(
  'an absolute path such as `/vault/secrets`',
  { pattern: '^/' },
  (given) => {
    // The look-behind keeps this linear: without it a run of slashes is searched again from each slash.
    const segments = given
      .replace(/(?<!\/)\/+$/, '')
      .split('/')
      .slice(1);
    const isClean = segments.length > 0 && segments.every((name) => !/^(\.{0,2})$/.test(name));
    if (!given.startsWith('/') || !isClean || /[:\u0000-\u001f]/.test(given)) {
      return err('must be an absolute path such as /vault/secrets, without //, . and ..');
    }
    if (['proc', 'sys', 'dev'].includes(segments[0] ?? ''))
      return err('must not be in /proc, /sys or /dev');
    return ok(`/${segments.join('/')}`);
  },
);

function listOf<T>(
  values: string,
  item: Grammar<T>,
  maxItems = Number.POSITIVE_INFINITY,
): Grammar<readonly T[]> {
  return grammar(values, { minLength: 1 }, (given) => {
    const items: T[] = [];
    const parts = given.split(',');
    if (parts.length > maxItems) return err(`must have at most ${maxItems} items`);
    for (const part of parts) {
      const parsed = item.parse(part.trim());
      if ('problem' in parsed) return err(`"${part.trim()}": ${parsed.problem}`);
      items.push(parsed.value);
    }
    return ok(items);
  });
}

function isQuantity(given: string): boolean {
  return parseQuantity(given) !== undefined;
}

function parseAction(given: string): Parsed<NotifyAction> {
  const [, kind, rest = ''] = /^(signal:|http:|restart@)(.*)$/.exec(given) ?? [];
  if (kind === 'signal:') return signalAction(rest);
  if (kind === 'http:') return httpAction(rest);
  if (kind === 'restart@') return inContainer(rest, { kind: 'restart', container: rest });
  return err(
    'must be signal:HUP@container, http:POST http://127.0.0.1:8080/-/reload or restart@container',
  );
}

function signalAction(given: string): Parsed<NotifyAction> {
  const [name = '', container = '', ...rest] = given.split('@');
  const signal = parseNotifySignal(name);
  if (signal === undefined) {
    return err(`unknown signal "${name}": must be one of ${NOTIFY_SIGNALS.join(', ')}`);
  }
  if (rest.length > 0) return err('must be signal:HUP@container');
  return inContainer(container, { kind: 'signal', signal, container });
}

function httpAction(given: string): Parsed<NotifyAction> {
  const [verb, url = '', ...rest] = given.split(' ');
  const method = (['GET', 'POST', 'PUT'] as const).find((one) => one === verb);
  if (method === undefined || rest.length > 0) {
    return err('must be http:POST http://127.0.0.1:8080/-/reload, with GET, POST or PUT');
  }
  const problem = notifyUrlProblem(url);
  return problem === undefined ? ok({ kind: 'http', method, url }) : err(problem);
}

function inContainer(container: string, action: NotifyAction): Parsed<NotifyAction> {
  return DNS_LABEL.test(container)
    ? ok(action)
    : err(`"${container}" is not a valid container name`);
}

function grammar<T, W extends string = string>(
  values: string,
  schema: JsonSchema,
  parse: (given: string) => Parsed<T>,
): Grammar<T, W> {
  return { values, schema: { type: 'string', ...schema }, parse };
}

function ok<T>(value: T): Parsed<T> {
  return { value };
}

function err(problem: string): Parsed<never> {
  return { problem };
}
