/**
 * Built-in defaults. The manual and the schema quote these.
 */
import { AUTH_METHODS, type AuthMethod, type StartGateKind, type X509Format } from './values.ts';

/** Login by JWT-SVID works with every edition of Vault. */
export const AUTH_METHOD: AuthMethod = AUTH_METHODS[0];
/** Audience of the JWT-SVID or service-account token that logs in. */
export const AUDIENCE = 'vault';
/** How often a value without a lease is read again. */
export const REFRESH_MS = 5 * 60_000;
/** How long a start may wait before it fails with a reason. */
export const INIT_DEADLINE_MS = 2 * 60_000;
/**
 * The longest start that the hook is made for: with more tries the kubelet's back-off grows, and with it the time between
 * the return of Vault and the start of the pod.
 */
export const MAX_HOOK_DEADLINE_MS = 2 * 60_000;
/** An agent waits for no hook unless it is told that there is one. */
export const AGENT_START_GATE: StartGateKind = 'probe';
/** A pod that cannot get its secrets fails to start. */
export const ON_MISSING_VAULT = 'fail';
/** Nothing that the pod held stays valid after it has ended. */
export const REVOKE_ON_EXIT = true;
/** How long the application may still use a credential after it was notified of the next one. */
export const REVOKE_GRACE_MS = 10_000;
/** An agent that is stopped after the application has ended has nothing to wait for. */
export const REVOKE_DELAY_MS = 0;
/** Directory of the delivered files, in the agent and, by default, in the application. */
export const OUTPUT_DIRECTORY = '/vault/secrets';
/** Directory of the files with environment variables, in the agent alone: the kubelet reads them on the node. */
export const ENV_DIRECTORY = '/run/vouchsafe/env';
/** The variable with the version of the variables of a container: when they were written, in seconds since 1970. */
export const ENV_VERSION = 'VOUCHSAFE_ENV_VERSION';
/** Owner and group may read: they share the volume's fsGroup or the UID. */
export const FILE_MODE = 0o440;
/** Timeout of one request to Vault; if Vault creates something for it a minute, as in its own clients. */
export const VAULT_TIMEOUT_MS = 20_000;
/** Where the kubelet puts the pod's service-account token. */
export const SERVICE_ACCOUNT_TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
/** Lowest severity that is logged. */
export const LOG_LEVEL = 'info';
/** Smallest size of a volume of the CSI driver: a size of 0 would mean no limit. */
export const MIN_VOLUME_BYTES = 64 * 1024;
/** Smallest memory limit of one rendering: the shipped formats need as much. */
export const MIN_RENDER_BYTES = 64 * 1024;
/** Largest memory limit of one rendering. */
export const MAX_RENDER_BYTES = 1024 * 1024 * 1024;
/** Memory limit of one rendering in an agent, which renders for one pod. */
export const AGENT_RENDER_BYTES = 32 * 1024 * 1024;
/** Memory limit of one rendering in the CSI driver, which renders for a node. */
export const DRIVER_RENDER_BYTES = 8 * 1024 * 1024;
/** Files of the X.509-SVID by format: logical name, part, file name, and whether the private key is in it. */
export const X509_FILES = {
  pem: [
    { name: 'svid', part: 'svid', path: 'svid.pem', hasKey: false },
    { name: 'svid_key', part: 'key', path: 'svid_key.pem', hasKey: true },
    { name: 'bundle', part: 'bundle', path: 'bundle.pem', hasKey: false },
  ],
  pkcs12: [
    { name: 'svid', part: 'svid', path: 'svid.p12', hasKey: true },
    { name: 'bundle', part: 'bundle', path: 'bundle.p12', hasKey: false },
  ],
} as const satisfies Record<X509Format, readonly X509File[]>;
/** Password of PKCS#12 files, which is Java's own default. It is not a secret. */
export const KEYSTORE_PASSWORD = 'changeit';

interface X509File {
  readonly name: string;
  readonly part: 'svid' | 'key' | 'bundle';
  readonly path: string;
  readonly hasKey: boolean;
}
