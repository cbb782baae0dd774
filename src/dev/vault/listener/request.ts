/**
 * Converts an HTTP request to one for the core.
 */
import type { IncomingMessage } from 'node:http';
import { asObject } from '../core/fields.ts';
import {
  Refusal,
  type Json,
  type Operation,
  type Peer,
  type VaultRequest,
} from '../core/messages.ts';
import type { SeenRequest } from './faults.ts';

/** Vault's limit for a body. */
const MAX_BODY_BYTES = 33_554_432;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  GET: 'read',
  LIST: 'list',
  POST: 'update',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** The part of a request that the log and the fault rules may see. */
export function seenRequest(request: IncomingMessage, accessor: string | undefined): SeenRequest {
  const url = urlOf(request);
  const lists = request.method === 'GET' && url.searchParams.get('list') === 'true';
  return {
    method: lists ? 'LIST' : (request.method ?? ''),
    path: pathBelowVersion(url),
    namespace: namespaceOf(request),
    accessor,
  };
}

/** @throws Refusal for a path outside of `/v1/`, a method that Vault does not have, a body that is not a JSON object. */
export async function readRequest(request: IncomingMessage, peer: Peer): Promise<VaultRequest> {
  const url = urlOf(request);
  const { method, path } = seenRequest(request, undefined);
  if (!url.pathname.startsWith('/v1/')) throw new Refusal(404, '404 page not found');
  const operation = OPERATIONS[method];
  if (operation === undefined) throw new Refusal(405, 'unsupported operation');
  const headers = flatHeaders(request);
  const bearer = /^Bearer (.+)$/i.exec(headers['authorization'] ?? '')?.[1];
  return {
    operation,
    path: operation === 'list' ? `${path.replace(/\/$/, '')}/` : path,
    body: await readBody(request),
    query: url.searchParams,
    headers,
    token: headers['x-vault-token'] || bearer,
    namespace: namespaceOf(request),
    peer,
  };
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'http://vault');
}

function pathBelowVersion(url: URL): string {
  const path = url.pathname.replace(/^\/v1\//, '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function namespaceOf(request: IncomingMessage): string {
  const header = request.headers['x-vault-namespace'];
  return typeof header === 'string' ? header.replace(/^\/+|\/+$/g, '') : '';
}

function flatHeaders(request: IncomingMessage): Record<string, string> {
  const entries = Object.entries(request.headers);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : (value ?? '')]),
  );
}

async function readBody(request: IncomingMessage): Promise<Json> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    if (!Buffer.isBuffer(part)) continue;
    size += part.length;
    if (size > MAX_BODY_BYTES) throw new Refusal(413, 'http: request body too large');
    parts.push(part);
  }
  if (size === 0) return {};
  let body: Json | undefined;
  try {
    body = asObject(JSON.parse(Buffer.concat(parts).toString()));
  } catch {
    throw new Refusal(400, 'error parsing JSON: failed to parse JSON input: invalid character');
  }
  if (body !== undefined) return body;
  throw new Refusal(
    400,
    'error parsing JSON: failed to parse JSON input: json: cannot unmarshal into Go value of type map[string]interface {}',
  );
}
