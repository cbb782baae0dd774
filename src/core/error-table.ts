/**
 * The one table of everything that can go wrong: what to do about it and how it ends a process.
 * Callers consult the table, never message text. A test keeps it identical to the list in docs/reference/errors.md.
 */
import type { LogLevel } from './logger.ts';

/** What a caller does next: give up, wait and try again, or log in anew first. */
export type RetryClass = 'never' | 'backoff' | 'reauth';

/** Exit codes of every process of the project. Documented in docs/reference/errors.md. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  config: 10,
  template: 11,
  identity: 12,
  login: 13,
  vault: 14,
  secret: 15,
  output: 16,
  deadline: 17,
  denied: 18,
  server: 19,
  notify: 20,
  stopped: 21,
  check: 22,
  secondSignal: 130,
} as const;

interface ErrorRule {
  readonly retry: RetryClass;
  readonly level: LogLevel;
  readonly exit: number;
  /** One sentence for docs/reference/errors.md: what it means and what to do. */
  readonly meaning: string;
}

function rule(retry: RetryClass, level: LogLevel, exit: number, meaning: string): ErrorRule {
  return { retry, level, exit, meaning };
}

/** Code -> rule. Adding an error means adding a row here, and running `npm run generate`. */
export const ERROR_TABLE = {
  ERR_BUG: rule('never', 'error', EXIT.bug, 'A defect of Vouchsafe itself. Please report it.'),
  ERR_USAGE: rule(
    'never',
    'error',
    EXIT.usage,
    'A command line that cannot be understood. See `--help`.',
  ),

  ERR_CONFIG_INVALID: rule(
    'never',
    'error',
    EXIT.config,
    'A setting is wrong. Every problem is listed with its place, its value and the rule it breaks.',
  ),
  ERR_CONFIG_UNREADABLE: rule(
    'never',
    'error',
    EXIT.config,
    'A configuration or manifest file cannot be read or is not YAML or JSON.',
  ),

  ERR_SPIFFE_ADDRESS: rule(
    'never',
    'error',
    EXIT.config,
    'The Workload API address is not `unix:///path` or `tcp://IP:port`, or is not set.',
  ),
  ERR_SPIFFE_ID: rule('never', 'error', EXIT.config, 'A SPIFFE ID breaks the specification.'),
  ERR_SPIFFE_UNAVAILABLE: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'The Workload API does not answer. Is the SPIRE agent running, and its socket mounted?',
  ),
  ERR_SPIFFE_DENIED: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'The Workload API knows no identity for this workload (yet). Is there a registration entry?',
  ),
  ERR_SPIFFE_REJECTED: rule(
    'never',
    'error',
    EXIT.identity,
    'The Workload API calls the request invalid.',
  ),
  ERR_SPIFFE_UNIMPLEMENTED: rule(
    'never',
    'error',
    EXIT.identity,
    'The Workload API does not offer this call.',
  ),
  ERR_SPIFFE_MALFORMED: rule(
    'backoff',
    'error',
    EXIT.identity,
    'The Workload API sent a message that breaks the specification.',
  ),
  ERR_SPIFFE_SVID_INVALID: rule(
    'backoff',
    'error',
    EXIT.identity,
    'An SVID does not hold what the specification demands, or has expired.',
  ),
  ERR_SPIFFE_NO_MATCH: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'The workload has SVIDs, but none with the SPIFFE ID or hint that was asked for.',
  ),

  ERR_VAULT_ADDRESS: rule(
    'never',
    'error',
    EXIT.config,
    'The Vault address is not an http(s) URL.',
  ),
  ERR_VAULT_UNREACHABLE: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'No connection to Vault: refused, reset, no route or unknown host.',
  ),
  ERR_VAULT_TIMEOUT: rule('backoff', 'warn', EXIT.vault, 'Vault did not answer in time.'),
  ERR_VAULT_TLS: rule(
    'backoff',
    'error',
    EXIT.vault,
    'The TLS handshake with Vault failed. Check the CA and the server name.',
  ),
  ERR_VAULT_SEALED: rule('backoff', 'warn', EXIT.vault, 'Vault is sealed, or has no active node.'),
  ERR_VAULT_THROTTLED: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'Vault refuses by quota; retried later.',
  ),
  ERR_VAULT_SERVER: rule('backoff', 'warn', EXIT.vault, 'Vault answered with an internal error.'),
  ERR_VAULT_MALFORMED: rule(
    'backoff',
    'error',
    EXIT.vault,
    'The answer is not what Vault sends: not JSON, cut off, or too large. Is that address Vault?',
  ),
  ERR_VAULT_REDIRECT: rule(
    'backoff',
    'error',
    EXIT.vault,
    'Vault redirected to an address that must not be followed, or too often.',
  ),
  ERR_VAULT_LOGIN_REFUSED: rule(
    'backoff',
    'warn',
    EXIT.login,
    'Vault refused the login. Check role, audience and SPIFFE ID against the role of the auth mount.',
  ),
  ERR_VAULT_LOGIN_WRAPPED: rule(
    'never',
    'error',
    EXIT.login,
    'The login was answered with a wrapped token, which cannot be renewed. Remove the wrapping.',
  ),
  ERR_VAULT_LOGIN_MFA: rule(
    'never',
    'error',
    EXIT.login,
    'The login awaits a second factor, which a workload does not have. Exempt the role from MFA.',
  ),
  ERR_VAULT_TOKEN_FILE: rule(
    'backoff',
    'warn',
    EXIT.login,
    'The service-account token file is missing, empty, too large or expired.',
  ),
  ERR_VAULT_TOKEN_INVALID: rule(
    'reauth',
    'warn',
    EXIT.login,
    'The Vault token is no longer valid. A new login follows.',
  ),
  ERR_VAULT_DENIED: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'A policy does not allow this path. The error names path, role and mount.',
  ),
  ERR_VAULT_NOT_FOUND: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'There is no secret at this path, or its version was deleted.',
  ),
  ERR_VAULT_BAD_REQUEST: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'Vault calls the request for this path wrong.',
  ),
  ERR_VAULT_UNSUPPORTED: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'This path does not support the operation (a read of a write-only path, say).',
  ),
  ERR_VAULT_LEASE_GONE: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'The lease was revoked or has expired on the server; the secret is read anew.',
  ),

  ERR_TEMPLATE_SYNTAX: rule(
    'never',
    'error',
    EXIT.template,
    'A template is not valid Handlebars. Line and column are given.',
  ),
  ERR_TEMPLATE_HELPER: rule(
    'never',
    'error',
    EXIT.template,
    'A template calls an unknown helper, or one with the wrong arguments.',
  ),
  ERR_TEMPLATE_MISSING_KEY: rule(
    'backoff',
    'error',
    EXIT.template,
    'A template uses a key that the secret does not have. The keys that exist are named.',
  ),
  ERR_TEMPLATE_VALUE: rule(
    'backoff',
    'error',
    EXIT.template,
    'A helper cannot work with the value it was given, or `required` found none.',
  ),
  ERR_TEMPLATE_LIMIT: rule(
    'never',
    'error',
    EXIT.template,
    'Rendering went over a bound: bytes of its texts and items, output size, steps, passes, number of secrets, or in the CSI driver time or memory.',
  ),
  ERR_TEMPLATE_BUSY: rule(
    'backoff',
    'warn',
    EXIT.template,
    'The processes of the CSI driver that render are all busy, or cannot be started; it is tried again.',
  ),
  ERR_TEMPLATE_UNREADABLE: rule(
    'backoff',
    'error',
    EXIT.template,
    'A mounted template file cannot be read.',
  ),

  ERR_OUTPUT_PATH: rule(
    'never',
    'error',
    EXIT.output,
    'A file name would leave the volume, or clashes with another one.',
  ),
  ERR_OUTPUT_FULL: rule(
    'backoff',
    'error',
    EXIT.output,
    "The volume is full, or the memory of the CSI driver for all files and values, or the namespace's third of it; the old files stay. Raise the limit.",
  ),
  ERR_OUTPUT_READ_ONLY: rule('backoff', 'error', EXIT.output, 'The volume cannot be written.'),
  ERR_OUTPUT_IO: rule('backoff', 'error', EXIT.output, 'Writing the files failed.'),

  ERR_NOTIFY_TARGET: rule(
    'backoff',
    'warn',
    EXIT.notify,
    'The container or address to notify was not found or refused.',
  ),
  ERR_NOTIFY_TIMEOUT: rule(
    'backoff',
    'warn',
    EXIT.notify,
    'The application did not answer in time.',
  ),
  ERR_NOTIFY_STATUS: rule(
    'backoff',
    'warn',
    EXIT.notify,
    'The application answered the notification with an error status.',
  ),

  ERR_AGENT_DEADLINE: rule(
    'never',
    'error',
    EXIT.deadline,
    'The files were not written within `init-deadline`. The last cause is named.',
  ),
  ERR_AGENT_STOPPED: rule(
    'never',
    'warn',
    EXIT.stopped,
    'The agent was told to stop before it had written the files.',
  ),
  ERR_AGENT_STATE: rule(
    'never',
    'warn',
    EXIT.bug,
    'The state left by a predecessor cannot be used; the agent starts afresh.',
  ),

  ERR_ADMISSION_MALFORMED: rule(
    'never',
    'warn',
    EXIT.denied,
    'The input is not an AdmissionReview v1 of a pod, or not a Kubernetes manifest.',
  ),
  ERR_ADMISSION_TOO_LARGE: rule(
    'never',
    'warn',
    EXIT.denied,
    'The request is over the size limit.',
  ),
  ERR_ADMISSION_DENIED: rule(
    'never',
    'warn',
    EXIT.denied,
    'The pod asks for something that cannot be given; every reason is listed.',
  ),

  ERR_POLICY_DENIED: rule(
    'never',
    'error',
    EXIT.denied,
    'No policy of the installation (`vault.policies`) allows this login, path, operation or audience. The error names path and policy; Vault was not asked.',
  ),

  ERR_CSI_REQUEST: rule(
    'never',
    'warn',
    EXIT.denied,
    'The kubelet asks the CSI driver for what it does not have; what to write otherwise is told.',
  ),
  ERR_CSI_CONFLICT: rule(
    'never',
    'warn',
    EXIT.denied,
    'A volume is published already, with other attributes or at another place.',
  ),
  ERR_CSI_TOKEN: rule(
    'backoff',
    'warn',
    EXIT.login,
    'The kubelet gave the CSI driver no service-account token of the pod for the audience that logs in.',
  ),
  ERR_CSI_PENDING: rule(
    'backoff',
    'warn',
    EXIT.deadline,
    'The files of a volume are not there yet; the pod waits. The last cause is named.',
  ),
  ERR_CSI_ENDED: rule(
    'backoff',
    'warn',
    EXIT.stopped,
    'A volume was unpublished, or the driver ended, before its files were there.',
  ),
  ERR_CSI_BUSY: rule(
    'backoff',
    'warn',
    EXIT.server,
    'The node, or the namespace on it, has as many volumes as it can have, or an earlier one has not ended yet.',
  ),
  ERR_CSI_NO_VOLUME: rule('never', 'warn', EXIT.server, 'The CSI driver has no such volume.'),
  ERR_CSI_MOUNT: rule(
    'backoff',
    'error',
    EXIT.output,
    'A volume cannot be mounted or unmounted. Does the container mounter run privileged, with mount propagation Bidirectional?',
  ),
  ERR_CSI_STATE: rule(
    'never',
    'error',
    EXIT.config,
    'The state directory of the CSI driver is not in memory, or cannot be used.',
  ),

  ERR_CHECK_FAILED: rule(
    'never',
    'error',
    EXIT.check,
    'Some check of `vouchsafe check` failed; it is told above, with what to do about it.',
  ),
  ERR_KUBERNETES_API: rule(
    'backoff',
    'warn',
    EXIT.server,
    'The Kubernetes API does not answer, or refuses what the webhook needs; the request is named.',
  ),

  ERR_SERVER_BUSY: rule(
    'backoff',
    'warn',
    EXIT.server,
    'The webhook has as many requests in memory as it may have; the API server tries again or denies the pod.',
  ),
  ERR_SERVER_CERTIFICATE: rule(
    'backoff',
    'error',
    EXIT.server,
    'The serving certificate cannot be read, or its key does not fit.',
  ),
  ERR_SERVER_LISTEN: rule('never', 'error', EXIT.server, 'The port cannot be listened on.'),
} as const satisfies Record<string, ErrorRule>;

/** Every code there is. */
export type ErrorCode = keyof typeof ERROR_TABLE;
