/**
 * The AgentConfig document as users and the webhook write it: its shapes, the rules within one file, and the
 * types of the raw form.
 */
import { formatDuration, isRecord, LOG_LEVELS, OPERATIONS } from '../../core/index.ts';
import {
  AUTH_METHODS,
  AUTH_SVIDS,
  DEFAULTS as defaults,
  grammar,
  START_GATES,
  redirectHosts,
  shape,
  vaultProxy,
  type JsonSchema,
  type WrittenOf,
} from '../schema/index.ts';
import { envShape } from './env-document.ts';
import { actions, duration, file, fileEntry, loginName } from './file-document.ts';
import { x509Shape } from './x509-document.ts';

/** `apiVersion` of the document. */
export const AGENT_API_VERSION = 'vouchsafe.dev/v1';
/** `kind` of the document. */
export const AGENT_KIND = 'AgentConfig';
/** Maximum number of files of one document. */
export const MAX_FILES = 256;
/** Maximum number of logins of one document, besides `auth`: each has a session, and may have connections of its own. */
export const MAX_LOGINS = 15;
/** Bounds of one document; a pod cannot hold as much. */
const MAX_GRANTS = 1000;

const spiffe = shape.object(
  {
    socket: shape.parsed(grammar.text('`unix:///path` or `tcp://IP:port`'), 'Workload API.'),
    spiffeId: shape.parsed(grammar.spiffeId, 'Which SVID to use if there are several.'),
    hint: shape.parsed(
      grammar.text('a hint'),
      'Which SVID to use, by the hint of its registration entry.',
    ),
  },
  'Identity from the SPIFFE Workload API.',
);

const vault = shape.object(
  {
    address: shape.parsed(grammar.httpOrigin, 'Address of Vault.'),
    namespace: shape.parsed(grammar.text('a Vault namespace'), 'Vault namespace.'),
    caFile: shape.parsed(file, 'PEM file of the CA; read again when it changes.'),
    caPem: shape.parsed(grammar.pem, 'PEM text of the CA.'),
    tlsServerName: shape.parsed(grammar.text('a host name', 253), 'Name in the certificate.'),
    redirectHosts,
    proxy: vaultProxy,
    timeout: shape.withDefault(
      shape.parsed(
        grammar.duration(1000),
        'Timeout of one request; three times as long if the response may hold a token or a credential, to avoid issuing it twice.',
      ),
      defaults.VAULT_TIMEOUT_MS,
      formatDuration(defaults.VAULT_TIMEOUT_MS),
    ),
  },
  'Connection to Vault.',
  (value, place) => {
    if (value.caFile !== undefined && value.caPem !== undefined) {
      place.at('caPem').problem('conflicts with caFile: set only one of the two');
    }
  },
);

const auth = shape.object(
  {
    method: shape.withDefault(
      shape.parsed(grammar.choice(AUTH_METHODS), 'How the agent authenticates.'),
      defaults.AUTH_METHOD,
      defaults.AUTH_METHOD,
    ),
    mount: shape.parsed(grammar.authMount, 'Auth mount. Default: the name of the method.'),
    role: shape.parsed(
      grammar.text('a role', 512),
      'Role. Default: the default role of the mount.',
    ),
    audience: shape.withDefault(
      shape.parsed(grammar.text('an audience'), 'Audience of the JWT-SVID.'),
      defaults.AUDIENCE,
      defaults.AUDIENCE,
    ),
    svid: shape.parsed(
      grammar.choice(AUTH_SVIDS),
      'SVID that method `spiffe` uses: the JWT-SVID as a bearer token, or the X.509-SVID as the client certificate. Default: `jwt`.',
    ),
    tokenFile: shape.parsed(file, 'Service-account token to log in with instead of a JWT-SVID.'),
  },
  'Login to Vault.',
  (value, place) => {
    const bySvid = value.method === 'cert' || value.method === 'spiffe';
    if (bySvid && value.tokenFile !== undefined) {
      place
        .at('tokenFile')
        .problem(`conflicts with method ${value.method}, which requires an SVID`);
    }
    if (value.svid !== undefined && value.method !== 'spiffe') {
      place.at('svid').problem('requires method spiffe: other methods use only one kind of SVID');
    }
    if (value.method === 'kubernetes' && value.role === undefined) {
      place.at('role').problem('is missing: method kubernetes requires a role');
    }
  },
);

const anything = shape.withDefault(
  shape.list(
    shape.parsed(grammar.text('a name', 512), 'one; `*` stands for any characters'),
    256,
    'Default: any.',
  ),
  ['*'],
);

const grant = shape.object(
  {
    policy: shape.required(shape.parsed(grammar.text('a name', 63), 'Policy of the installation.')),
    paths: anything,
    operations: shape.withDefault(
      shape.list(
        shape.parsed(grammar.choice(OPERATIONS), 'one operation'),
        OPERATIONS.length,
        'What is allowed at the paths. Default: all.',
      ),
      OPERATIONS,
    ),
    audiences: anything,
  },
  'What one policy allows.',
);

const grants = shape.list(
  grant,
  MAX_GRANTS,
  'What templates and files may request. Default: everything.',
);

const login = shape.object(
  {
    name: shape.required(shape.parsed(loginName, 'Name, by which files choose it.')),
    vault,
    auth,
    grants,
  },
  'One more login. `vault` and `auth` default to those of the document.',
  (value, place) => {
    if (value.vault !== undefined && value.vault.address === undefined) {
      place.at('vault').at('address').missing('is missing: set it, or omit vault');
    }
  },
);

/** Shape of the whole document. */
export const agentDocument = shape.object(
  {
    apiVersion: shape.required(shape.parsed(grammar.choice([AGENT_API_VERSION]), 'Version.')),
    kind: shape.required(shape.parsed(grammar.choice([AGENT_KIND]), 'Kind.')),
    spiffe,
    vault,
    auth,
    grants,
    logins: shape.withDefault(
      shape.list(
        login,
        MAX_LOGINS,
        'Logins of files that name one; each has a session of its own.',
      ),
      [],
      [],
    ),
    output: shape.nested(
      shape.object(
        {
          directory: shape.withDefault(
            shape.parsed(file, 'Directory of the delivered files.'),
            defaults.OUTPUT_DIRECTORY,
            defaults.OUTPUT_DIRECTORY,
          ),
          mode: shape.withDefault(
            shape.parsed(grammar.fileMode, 'Permission bits of files that do not set their own.'),
            defaults.FILE_MODE,
            `0${defaults.FILE_MODE.toString(8)}`,
          ),
        },
        'Where the files go.',
      ),
    ),
    refresh: duration(
      'How often files that do not set their own read a value without a lease again.',
      defaults.REFRESH_MS,
      1000,
    ),
    files: shape.withDefault(shape.list(fileEntry, MAX_FILES, 'The delivered files.'), [], []),
    x509Svid: shape.either(
      shape.flag('Whether the X.509-SVID is written to files.'),
      x509Shape,
      (value) => (isRecord(value) ? 'second' : 'first'),
    ),
    env: envShape,
    onChange: actions(grammar.MAX_ACTIONS),
    onMissingVault: shape.withDefault(
      shape.parsed(
        grammar.choice(['fail', 'wait']),
        'What happens when the start exceeds its deadline.',
      ),
      defaults.ON_MISSING_VAULT,
      defaults.ON_MISSING_VAULT,
    ),
    initDeadline: duration('How long a start may take.', defaults.INIT_DEADLINE_MS, 1000),
    startGate: shape.withDefault(
      shape.parsed(
        grammar.choice(START_GATES),
        'What holds the application back until the first delivery: a `postStart` hook, which connects to a socket in `stateDirectory`, or a startup probe.',
      ),
      defaults.AGENT_START_GATE,
      defaults.AGENT_START_GATE,
    ),
    revokeOnExit: shape.withDefault(
      shape.flag('Whether token and leases are revoked at exit.'),
      defaults.REVOKE_ON_EXIT,
      defaults.REVOKE_ON_EXIT,
    ),
    revokeGrace: duration('How long a replaced credential stays valid.', defaults.REVOKE_GRACE_MS),
    revokeDelay: duration(
      'How long leased credentials stay valid after the agent received SIGTERM.',
      defaults.REVOKE_DELAY_MS,
    ),
    maxRenderBytes: shape.withDefault(
      shape.whole(
        defaults.MIN_RENDER_BYTES,
        defaults.MAX_RENDER_BYTES,
        'Memory in bytes that one rendering of a template may allocate for text and items.',
      ),
      defaults.AGENT_RENDER_BYTES,
      defaults.AGENT_RENDER_BYTES,
    ),
    stateDirectory: shape.parsed(file, 'Private directory for the hand-over to the next agent.'),
    listen: shape.parsed(grammar.listenAddress, 'Address of health, metrics and status.'),
    terminationLog: shape.parsed(file, 'File for the reason of a failed start.'),
    logLevel: shape.withDefault(
      shape.parsed(grammar.choice(LOG_LEVELS), 'Lowest severity that is logged.'),
      defaults.LOG_LEVEL,
      defaults.LOG_LEVEL,
    ),
  },
  'Configuration of a Vouchsafe agent.',
);

/** The JSON Schema that is published as `agent-config.schema.json`. */
export const AGENT_CONFIG_SCHEMA: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'https://vouchsafe.dev/schemas/agent-config.schema.json',
  title: AGENT_KIND,
  ...agentDocument.schema,
};

/** The document before parsing, which the webhook puts into the pod. It holds no secret. */
export type RawAgentConfig = WrittenOf<typeof agentDocument>;
/** One file of the raw document. */
export type RawFile = WrittenOf<typeof fileEntry>;
/** The variables of the raw document. */
export type RawEnv = WrittenOf<typeof envShape>;
/** Names, modes and actions of the X.509 files in the raw document. */
export type RawX509Files = WrittenOf<typeof x509Shape>;
