/**
 * Converts an HTTP request to one for the core.
 */
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import { parseExactJson } from '../../../core/index.ts';
import { asObject } from '../fields.ts';
import { VaultError, type Json, type Operation, type VaultRequest } from '../messages.ts';
import type { SeenRequest } from './faults.ts';

const OPERATIONS: Readonly<Record<string, Operation>> = {
  GET: 'read',
  LIST: 'list',
  POST: 'update',
  PUT: 'update',
  DELETE: 'delete',
};

/** The part of a request that the log and the fault rules may see. */
export function seenRequest(request: IncomingMessage, accessor: string | undefined): SeenRequest {
  const { pathname, searchParams } = urlOf(request);
  const isList = request.method === 'GET' && searchParams.get('list') === 'true';
  return {
    method: isList ? 'LIST' : (request.method ?? ''),
    path: decodeURIComponent(pathname.replace(/^\/v1\//, '')),
    namespace: headerOf(request, 'x-vault-namespace').replace(/^\/+|\/+$/g, ''),
    accessor,
    certificate: certificateOf(request)?.serialNumber,
  };
}

/** The token of a request; undefined if it has none. */
export function tokenOf(request: IncomingMessage): string | undefined {
  return headerOf(request, 'x-vault-token') || undefined;
}

/** @throws VaultError for a method that Vault does not have, or a body that is not a JSON object. */
export async function readRequest(
  request: IncomingMessage,
  { method, path }: SeenRequest,
): Promise<VaultRequest> {
  const operation = OPERATIONS[method];
  if (operation === undefined) throw new VaultError(405, 'unsupported operation');
  return {
    operation,
    path: path.replace(/\/$/, ''),
    body: operation === 'update' ? await readBody(request) : {},
    query: urlOf(request).searchParams,
    token: tokenOf(request),
    bearer: /^Bearer (.+)$/i.exec(headerOf(request, 'authorization'))?.[1],
    certificate: certificateOf(request),
  };
}

function certificateOf({ socket }: IncomingMessage): X509Certificate | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'http://vault');
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}

async function readBody(request: IncomingMessage): Promise<Json> {
  if (request.headers['content-length'] === '0') return {};
  const body = asObject(parsed(await text(request).catch(() => '')));
  if (body === undefined) throw new VaultError(400, 'error parsing JSON');
  return body;
}

function parsed(body: string): unknown {
  try {
    return parseExactJson(body);
  } catch {
    return undefined;
  }
}
