/**
 * All error codes: whether to retry, the log level and the exit code.
 * Callers look errors up here and never match message text. A test keeps docs/reference/errors.md identical.
 */
import type { LogLevel } from './logger.ts';

/** What a caller does next: give up, wait and retry, wait for minutes and retry, or log in again and retry. */
export type RetryClass = 'never' | 'backoff' | 'slow' | 'reauth';

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
  brokenPipe: 141,
} as const;

interface ErrorRule {
  readonly retry: RetryClass;
  readonly level: LogLevel;
  readonly exit: number;
  /** For docs/reference/errors.md: what happened, then what to do. */
  readonly meaning: string;
}

function rule(retry: RetryClass, level: LogLevel, exit: number, meaning: string): ErrorRule {
  return { retry, level, exit, meaning };
}

/** By code. `npm run generate` writes the rows to docs/reference/errors.md. */
export const ERROR_TABLE = {
  ERR_BUG: rule(
    'never',
    'error',
    EXIT.bug,
    'An unexpected error: a bug in Vouchsafe. Please report it.',
  ),
  ERR_USAGE: rule('never', 'error', EXIT.usage, 'The command line is not valid. See `--help`.'),

  ERR_CONFIG_INVALID: rule(
    'never',
    'error',
    EXIT.config,
    'A setting is not valid. The error lists every problem with its place, its value and the rule it breaks.',
  ),
  ERR_CONFIG_UNREADABLE: rule(
    'never',
    'error',
    EXIT.config,
    'A configuration file or manifest cannot be read, or is not valid YAML or JSON.',
  ),

  ERR_SPIFFE_ADDRESS: rule(
    'never',
    'error',
    EXIT.config,
    'The Workload API address is missing, or is neither `unix:///path` nor `tcp://IP:port`.',
  ),
  ERR_SPIFFE_ID: rule('never', 'error', EXIT.config, 'A SPIFFE ID is not valid.'),
  ERR_SPIFFE_UNAVAILABLE: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'The Workload API does not answer. Check that the SPIRE agent runs and that its socket is mounted.',
  ),
  ERR_SPIFFE_DENIED: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'The Workload API has no identity for this workload yet. Check its registration entry.',
  ),
  ERR_SPIFFE_REJECTED: rule(
    'never',
    'error',
    EXIT.identity,
    'The Workload API rejected the request as invalid.',
  ),
  ERR_SPIFFE_UNIMPLEMENTED: rule(
    'never',
    'error',
    EXIT.identity,
    'The Workload API does not implement this call.',
  ),
  ERR_SPIFFE_MALFORMED: rule(
    'backoff',
    'error',
    EXIT.identity,
    'The Workload API sent a message that is not valid by the SPIFFE specification.',
  ),
  ERR_SPIFFE_SVID_INVALID: rule(
    'backoff',
    'error',
    EXIT.identity,
    'An SVID is not valid by the SPIFFE specification, or has expired.',
  ),
  ERR_SPIFFE_BUNDLES: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'Not every federated trust domain has a file with its bundle. The other files are delivered.',
  ),
  ERR_SPIFFE_NO_MATCH: rule(
    'backoff',
    'warn',
    EXIT.identity,
    'The workload has SVIDs, but none with the configured SPIFFE ID or hint.',
  ),

  ERR_VAULT_ADDRESS: rule(
    'never',
    'error',
    EXIT.config,
    'The Vault address is not an http or https URL.',
  ),
  ERR_VAULT_UNREACHABLE: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'Cannot connect to Vault, or to the proxy before it: connection refused or reset, no route, unknown host, or rejected by the proxy. Check the address, the proxy and network policies.',
  ),
  ERR_VAULT_TIMEOUT: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'Vault did not answer in time. The request is retried.',
  ),
  ERR_VAULT_TLS: rule(
    'backoff',
    'error',
    EXIT.vault,
    'The TLS handshake with Vault failed. Check the CA and the server name.',
  ),
  ERR_VAULT_SEALED: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'Vault is sealed, or has no active node. The request is retried.',
  ),
  ERR_VAULT_THROTTLED: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'A rate limit quota of Vault rejected the request. It is retried later.',
  ),
  ERR_VAULT_SERVER: rule(
    'backoff',
    'warn',
    EXIT.vault,
    'Vault answered with an internal error. The request is retried.',
  ),
  ERR_VAULT_MALFORMED: rule(
    'backoff',
    'error',
    EXIT.vault,
    'The answer is not JSON, is cut off, or is too large. Check that the address is that of Vault.',
  ),
  ERR_VAULT_REDIRECT: rule(
    'backoff',
    'error',
    EXIT.vault,
    'Vault redirected too often, or to a host that is not allowed. See `redirectHosts`.',
  ),
  ERR_VAULT_LOGIN_REFUSED: rule(
    'backoff',
    'warn',
    EXIT.login,
    'Vault denied the login. Compare role, audience and SPIFFE ID with the role of the auth mount.',
  ),
  ERR_VAULT_LOGIN_WRAPPED: rule(
    'never',
    'error',
    EXIT.login,
    'Vault answered the login with a wrapped token, which cannot be renewed. Remove the wrapping.',
  ),
  ERR_VAULT_LOGIN_MFA: rule(
    'never',
    'error',
    EXIT.login,
    'The login requires a second factor, which a workload does not have. Exempt the role from MFA.',
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
    'The Vault token is no longer valid. The agent logs in again.',
  ),
  ERR_VAULT_DENIED: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'A Vault policy does not allow this path. The error names path, role and mount.',
  ),
  ERR_VAULT_NOT_FOUND: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'There is no secret at this path, or its version was deleted. If it may be absent, set `optional-<name>`, or use `optionalSecret` in the template.',
  ),
  ERR_VAULT_NO_VALUE: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'Vault answered with success, but without a value: no content, no object as data, or JSON without the members that Vault always sends. The old files stay. Check the path.',
  ),
  ERR_VAULT_WRAPPED: rule(
    'slow',
    'warn',
    EXIT.secret,
    'Vault answered with a wrapping token instead of a value: a control group requires an approval, or wrapping is forced. The old files stay. Exempt the path for this role.',
  ),
  ERR_VAULT_NOT_JSON: rule(
    'never',
    'error',
    EXIT.secret,
    'This path of Vault answers with a bare certificate, revocation list or public key. The error names the path that has the same in JSON.',
  ),
  ERR_VAULT_BAD_REQUEST: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'Vault rejected the request for this path (400 Bad Request).',
  ),
  ERR_VAULT_UNSUPPORTED: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'This path does not support the operation, for example a read of a write-only path.',
  ),
  ERR_VAULT_LEASE_GONE: rule(
    'backoff',
    'warn',
    EXIT.secret,
    'The lease was revoked or has expired on the server. The secret is read again.',
  ),

  ERR_TEMPLATE_SYNTAX: rule(
    'never',
    'error',
    EXIT.template,
    'A template is not valid Handlebars. The error names line and column.',
  ),
  ERR_TEMPLATE_HELPER: rule(
    'never',
    'error',
    EXIT.template,
    'A template calls an unknown helper, or a helper with invalid arguments.',
  ),
  ERR_TEMPLATE_MISSING_KEY: rule(
    'backoff',
    'error',
    EXIT.template,
    'A template uses a key that the secret does not have. The error names the keys that exist.',
  ),
  ERR_TEMPLATE_VALUE: rule(
    'backoff',
    'error',
    EXIT.template,
    'A helper cannot use the value of an argument, or the value of `required` is missing.',
  ),
  ERR_TEMPLATE_LIMIT: rule(
    'never',
    'error',
    EXIT.template,
    'Rendering exceeded a limit: bytes of texts and items, output size, steps, passes or number of secrets; in the CSI driver also time or memory.',
  ),
  ERR_TEMPLATE_BUSY: rule(
    'backoff',
    'warn',
    EXIT.template,
    'All rendering processes of the CSI driver are busy, or cannot be started. Rendering is retried.',
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
    'A file name would leave the volume, or conflicts with another one.',
  ),
  ERR_OUTPUT_FULL: rule(
    'backoff',
    'error',
    EXIT.output,
    "The volume is full, or the memory for files and values: that of the agent, of the CSI driver, or the namespace's third of the driver's. The old files stay. Raise the limit.",
  ),
  ERR_OUTPUT_READ_ONLY: rule(
    'backoff',
    'error',
    EXIT.output,
    'The volume is read-only for this process. The old files stay.',
  ),
  ERR_OUTPUT_IO: rule(
    'backoff',
    'error',
    EXIT.output,
    'The files could not be written. The old files stay.',
  ),

  ERR_ENV_VALUE: rule(
    'never',
    'error',
    EXIT.output,
    'A value cannot be in an environment variable, because the kubelet would not read it as it is: it is empty, too large or not UTF-8, or has a single quote, a NUL character, or a carriage return before a line feed. The containers keep the variables that they have. Deliver the value as a file, or change it with `env-template-<NAME>`: `{{base64Encode password}}`.',
  ),

  ERR_NOTIFY_TARGET: rule(
    'backoff',
    'warn',
    EXIT.notify,
    'The container or address to notify was not found, or does not accept the notification.',
  ),
  ERR_NOTIFY_TIMEOUT: rule(
    'backoff',
    'warn',
    EXIT.notify,
    'The application did not answer the notification in time.',
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
    'The files were not written within `init-deadline`. The error names the last cause.',
  ),
  ERR_AGENT_START_PENDING: rule(
    'backoff',
    'warn',
    EXIT.deadline,
    'The files are not written yet, and the `postStart` hook fails so that the kubelet shows the reason. It starts the container again, which goes on where this one ended. The error names the last cause.',
  ),
  ERR_AGENT_STOPPED: rule(
    'never',
    'warn',
    EXIT.stopped,
    'The agent was stopped before it had written the files.',
  ),
  ERR_AGENT_STATE: rule(
    'never',
    'warn',
    EXIT.bug,
    'The state that a previous agent left cannot be used. The agent starts without it.',
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
    'The request exceeds the size limit.',
  ),
  ERR_ADMISSION_DENIED: rule(
    'never',
    'warn',
    EXIT.denied,
    'The pod requests something that is not possible or not allowed. The error lists every reason.',
  ),

  ERR_POLICY_DENIED: rule(
    'never',
    'error',
    EXIT.denied,
    'No policy of the installation (`vault.policies`) allows this login, path, operation or audience. The error names path and policy. Vault has not received a request.',
  ),

  ERR_CSI_REQUEST: rule(
    'never',
    'warn',
    EXIT.denied,
    'The CSI driver does not support the request of the kubelet. The error says what to change.',
  ),
  ERR_CSI_CONFLICT: rule(
    'never',
    'warn',
    EXIT.denied,
    'The volume is already published with other attributes or at another target path.',
  ),
  ERR_CSI_TOKEN: rule(
    'backoff',
    'warn',
    EXIT.login,
    'The kubelet passed no service-account token with the login audience to the CSI driver.',
  ),
  ERR_CSI_PENDING: rule(
    'backoff',
    'warn',
    EXIT.deadline,
    'The files of the volume are not ready yet, and the pod waits. The error names the last cause.',
  ),
  ERR_CSI_ENDED: rule(
    'backoff',
    'warn',
    EXIT.stopped,
    'The volume was unpublished, or the driver was stopped, before the files were ready.',
  ),
  ERR_CSI_BUSY: rule(
    'backoff',
    'warn',
    EXIT.server,
    'The node, or the namespace on it, has reached its limit of volumes, or an earlier volume is still being removed.',
  ),
  ERR_CSI_NO_VOLUME: rule(
    'never',
    'warn',
    EXIT.server,
    'The CSI driver does not have this volume.',
  ),
  ERR_CSI_MOUNT: rule(
    'backoff',
    'error',
    EXIT.output,
    'A volume cannot be mounted or unmounted. Check that the container `mounter` runs privileged with mount propagation `Bidirectional`.',
  ),
  ERR_CSI_STATE: rule(
    'never',
    'error',
    EXIT.config,
    'The state directory of the CSI driver is not in memory (tmpfs), or cannot be used.',
  ),

  ERR_CHECK_FAILED: rule(
    'never',
    'error',
    EXIT.check,
    'At least one check of `vouchsafe check` failed. The output names each with its remedy.',
  ),
  ERR_KUBERNETES_API: rule(
    'backoff',
    'warn',
    EXIT.server,
    'The Kubernetes API does not answer, or denies a request. The error names the request.',
  ),

  ERR_SERVER_BUSY: rule(
    'backoff',
    'warn',
    EXIT.server,
    'The webhook has reached its limit of requests in memory. The API server retries or denies the pod.',
  ),
  ERR_SERVER_CERTIFICATE: rule(
    'backoff',
    'error',
    EXIT.server,
    'The serving certificate cannot be read, or does not match its key.',
  ),
  ERR_SERVER_LISTEN: rule('never', 'error', EXIT.server, 'The process cannot listen on its port.'),
} as const satisfies Record<string, ErrorRule>;

/** All error codes. */
export type ErrorCode = keyof typeof ERROR_TABLE;
