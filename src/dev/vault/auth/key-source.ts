/**
 * Sources of the keys that verify tokens: configured, or fetched over HTTP.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { asList, asObject } from '../core/fields.ts';
import { Refusal, type Json } from '../core/messages.ts';

const FETCH_TIMEOUT_MS = 10_000;
const MAX_DOCUMENT_BYTES = 1_048_576;

/** A public key; its ID may be empty. */
export interface VerificationKey {
  readonly id: string;
  readonly key: KeyObject;
}

/** A set of keys that may change. */
export interface KeySource {
  readonly isRemote: boolean;
  /** The cached keys. */
  known(): readonly VerificationKey[];
  /** The current keys. @throws Refusal with the reason. */
  refresh(): Promise<readonly VerificationKey[]>;
}

/** Keys in PEM. @throws Refusal 400 for invalid keys. */
export function fixedKeys(pems: readonly string[]): KeySource {
  const keys = pems.map((pem) => ({ id: '', key: readPem(pem) }));
  return { isRemote: false, known: () => keys, refresh: () => Promise.resolve([]) };
}

/** Keys as JSON Web Keys; unknown types are left out. */
export function givenKeys(jwks: readonly unknown[]): KeySource {
  const keys = jwks.flatMap(readJwk);
  return { isRemote: false, known: () => keys, refresh: () => Promise.resolve([]) };
}

/** Keys at a URL, fetched immediately. @throws Refusal 400 */
export async function remoteKeys(url: string, caPem: string): Promise<KeySource> {
  const source = lazyKeys(() => url, caPem);
  try {
    await fetchJson(url, caPem);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(400, `error checking jwks URL ${url}`);
  }
  return source;
}

/** Keys at the `jwks_uri` of a discovery document, whose issuer must be the URL itself. @throws Refusal 400 */
export async function discoveredKeys(issuer: string, caPem: string): Promise<KeySource> {
  const failed = new Refusal(400, 'error checking oidc discovery URL');
  let document: Json;
  try {
    const base = issuer.replace(/\/$/, '');
    document = await fetchJson(`${base}/.well-known/openid-configuration`, caPem);
  } catch (error) {
    throw error instanceof Refusal ? failed : error;
  }
  const uri = document['jwks_uri'];
  if (document['issuer'] !== issuer || typeof uri !== 'string') throw failed;
  return lazyKeys(() => uri, caPem);
}

/** Keys that are fetched for the first token. */
export function lazyKeys(url: () => string, caPem: string): KeySource {
  let keys: readonly VerificationKey[] = [];
  return {
    isRemote: true,
    known: () => keys,
    async refresh() {
      const document = await fetchJson(url(), caPem);
      keys = asList(document['keys']).flatMap(readJwk);
      return keys;
    },
  };
}

function readPem(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch {
    throw new Refusal(400, 'error parsing public key: data does not contain any valid public keys');
  }
}

/** Keys of unknown types are left out, as by go-jose. */
function readJwk(value: unknown): VerificationKey[] {
  const jwk = asObject(value);
  if (jwk === undefined) return [];
  try {
    const key = createPublicKey({ format: 'jwk', key: jwk });
    return [{ id: typeof jwk['kid'] === 'string' ? jwk['kid'] : '', key }];
  } catch {
    return [];
  }
}

async function fetchJson(url: string, caPem: string): Promise<Json> {
  const { status, text } = await get(url, caPem);
  if (status.code !== 200) {
    throw new Refusal(400, `oidc: get keys failed: ${status.code} ${status.text} ${text}`.trim());
  }
  try {
    const document = asObject(JSON.parse(text));
    if (document !== undefined) return document;
  } catch {
    // Rejected below.
  }
  throw new Refusal(400, 'oidc: failed to decode keys');
}

interface Document {
  readonly status: { readonly code: number; readonly text: string };
  readonly text: string;
}

async function get(url: string, caPem: string): Promise<Document> {
  const { promise, resolve, reject } = Promise.withResolvers<Document>();
  const fail = (): void => reject(new Refusal(400, `oidc: get keys failed Get "${url}"`));
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const options: RequestOptions = { signal, agent: false };
  const isSecure = url.startsWith('https:');
  if (!URL.canParse(url)) fail();
  else {
    const request = isSecure
      ? httpsRequest(url, { ...options, ...(caPem === '' ? {} : { ca: caPem }) })
      : httpRequest(url, options);
    request.on('error', fail);
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      response.on('data', (part: Buffer) => {
        size += part.length;
        parts.push(part);
        if (size > MAX_DOCUMENT_BYTES) response.destroy();
      });
      response.on('close', () => {
        const status = { code: response.statusCode ?? 0, text: response.statusMessage ?? '' };
        if (response.complete) resolve({ status, text: Buffer.concat(parts).toString() });
        else fail();
      });
    });
    request.end();
  }
  return await promise;
}
