export * as cloudIds from './cloud-ids.ts';
export * as DEFAULTS from './defaults.ts';
export { parseDocumentText, parseExactDocumentText } from './document-text.ts';
export * as grammar from './grammar.ts';
export type { Grammar } from './grammar.ts';
export type { JsonSchema } from './json-schema.ts';
export { redirectHosts } from './redirect-hosts.ts';
export { vaultProxy, vaultProxyUrl } from './vault-proxy.ts';
export * as shape from './shape.ts';
export type { Defaulted, Place, Shape, WrittenOf } from './shape.ts';
export {
  AUTH_METHODS,
  AUTH_SVIDS,
  ENV_ON_CHANGE,
  FORMATS,
  START_GATES,
  type AuthMethod,
  X509_FORMATS,
  type EnvOnChange,
  type Format,
  type NotifyAction,
  type SecretRef,
  type StartGateKind,
} from './values.ts';
