/**
 * What holds where nobody said anything else. The manual and the schema quote these.
 */
import { AUTH_METHODS, type AuthMethod } from './agent-config.ts';

/** Login by JWT-SVID works with every edition of Vault. */
export const AUTH_METHOD: AuthMethod = AUTH_METHODS[0];
/** Audience of the JWT-SVID or service-account token that logs in. */
export const AUDIENCE = 'vault';
/** How often a value without a lease is read again. */
export const REFRESH_MS = 5 * 60_000;
/** How long a start may wait before it fails with a reason. */
export const INIT_DEADLINE_MS = 2 * 60_000;
/** A pod that cannot have its secrets had better not start. */
export const ON_MISSING_VAULT = 'fail';
/** Nothing that the pod held stays valid after it. */
export const REVOKE_ON_EXIT = true;
/** How long the application may still use a credential after it was told of the next one. */
export const REVOKE_GRACE_MS = 10_000;
/** An agent that is told to stop after the application has ended has nothing to wait for. */
export const REVOKE_DELAY_MS = 0;
/** Directory of the delivered set, in the agent and, unless told otherwise, in the application. */
export const OUTPUT_DIRECTORY = '/vault/secrets';
/** Owner and group may read: they share the volume's fsGroup or the UID. */
export const FILE_MODE = 0o440;
/** Limit of one request to Vault; that of what Vault makes something for is a minute, as in its own clients. */
export const VAULT_TIMEOUT_MS = 20_000;
/** Where the kubelet puts the pod's service-account token. */
export const SERVICE_ACCOUNT_TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
/** Least severity that is logged. */
export const LOG_LEVEL = 'info';
/** Least size of a volume that the CSI driver makes: a size of 0 would be no limit. */
export const MIN_VOLUME_BYTES = 64 * 1024;
/** Least that a rendering may make: less, and the shipped formats would not do. */
export const MIN_RENDER_BYTES = 64 * 1024;
/** Most that can be allowed. */
export const MAX_RENDER_BYTES = 1024 * 1024 * 1024;
/** Bytes of texts and items that one rendering may make in an agent, which renders for one pod. */
export const AGENT_RENDER_BYTES = 32 * 1024 * 1024;
/** The same in the CSI driver, which renders for a node. */
export const DRIVER_RENDER_BYTES = 8 * 1024 * 1024;
/** Files of the X.509-SVID: logical name, part and file name. */
export const X509_FILES = [
  { name: 'svid', part: 'svid', path: 'svid.pem' },
  { name: 'svid_key', part: 'key', path: 'svid_key.pem' },
  { name: 'bundle', part: 'bundle', path: 'bundle.pem' },
] as const;
