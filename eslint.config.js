// Lint as architecture: the rings of ARCHITECTURE.md are rules here, one block per folder.
import tseslint from 'typescript-eslint';

const COMMON_RULES = {
  'no-restricted-syntax': [
    'error',
    {
      selector: 'ObjectExpression > SpreadElement > ObjectExpression',
      message: 'Write the properties themselves: spread, they are not checked for excess ones.',
    },
  ],
  complexity: ['error', 10],
  'max-depth': ['error', 3],
  'max-lines': ['error', { max: 300 }],
  'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
  'max-params': ['error', 4],
  eqeqeq: ['error', 'always'],
  'no-console': 'error',
  '@typescript-eslint/explicit-module-boundary-types': 'error',
  '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'as' }],
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
  '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
  '@typescript-eslint/no-unused-vars': [
    'error',
    { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
  ],
};

const ABORT_SIGNAL_TIMEOUT = {
  object: 'AbortSignal',
  property: 'timeout',
  message: 'Use withDeadline or a RestartableDeadline of src/async with a Clock.',
};

/** Real time, randomness, environment and timers live in src/platform alone. */
const NO_PLATFORM = {
  'no-restricted-properties': [
    'error',
    { object: 'process', property: 'env', message: 'Read the environment in src/platform.' },
    { object: 'process', property: 'exit', message: 'Only cmd ends the process.' },
    { object: 'Date', property: 'now', message: 'Take a Clock.' },
    { object: 'Math', property: 'random', message: 'Take a Random.' },
    { object: 'performance', property: 'now', message: 'Take a Clock.' },
    ABORT_SIGNAL_TIMEOUT,
    ...['validFromDate', 'validToDate'].map((property) => ({
      property,
      message: 'It is made up for a time that cannot be read: use certificateLife of src/core.',
    })),
  ],
  'no-restricted-globals': [
    'error',
    { name: 'setTimeout', message: 'Take a Clock.' },
    { name: 'setInterval', message: 'Take a Clock.' },
    { name: 'setImmediate', message: 'Take a Clock.' },
  ],
};

/** Folder -> the folders it may import (its own is always allowed). */
const MAY_IMPORT = {
  core: [],
  contracts: ['core'],
  x509: [],
  pkcs12: [],
  async: ['core'],
  config: ['core'],
  spiffe: ['core', 'contracts', 'async'],
  vault: ['core', 'contracts', 'async'],
  template: ['core', 'contracts', 'pkcs12'],
  output: ['core', 'contracts', 'async', 'config'],
  notify: ['core', 'async', 'config'],
  admission: ['core', 'contracts', 'config'],
  http: ['core', 'async'],
  webhook: ['core', 'contracts', 'async', 'config', 'admission', 'http', 'webhook-certificates'],
  agent: ['core', 'contracts', 'async', 'config', 'http', 'pkcs12'],
  kubernetes: ['core', 'contracts', 'async'],
  'webhook-certificates': ['core', 'async', 'x509', 'spiffe', 'kubernetes'],
  check: ['core', 'contracts', 'config', 'admission', 'kubernetes'],
  platform: ['core', 'contracts', 'async'],
  'agent-runtime': [
    'core',
    'async',
    'config',
    'spiffe',
    'vault',
    'template',
    'output',
    'notify',
    'http',
    'agent',
    'platform',
  ],
  'worker-pool': ['core', 'contracts', 'async'],
  renderer: ['core', 'contracts', 'worker-pool', 'template', 'vault'],
  mounter: ['core', 'contracts', 'async'],
  csi: [
    'core',
    'contracts',
    'async',
    'config',
    'spiffe',
    'renderer',
    'mounter',
    'agent',
    'http',
    'agent-runtime',
  ],
  dev: [
    'core',
    'x509',
    'async',
    'config',
    'spiffe',
    'vault',
    'template',
    'admission',
    'agent',
    'platform',
    'agent-runtime',
    'csi',
  ],
  cli: [
    'core',
    'async',
    'config',
    'template',
    'admission',
    'agent',
    'agent-runtime',
    'kubernetes',
    'check',
    'dev',
  ],
};

/** A third-party package is imported by one folder alone. */
const PACKAGE_HOME = {
  '@grpc/grpc-js': ['spiffe', 'dev', 'csi'],
  'node-vault': ['vault'],
  handlebars: ['template'],
  pino: ['platform'],
  'prom-client': ['platform'],
  rfc6902: ['admission'],
  chokidar: ['platform'],
  '@peculiar/asn1-schema': ['x509'],
  '@peculiar/asn1-x509': ['x509'],
  '@kubernetes/client-node': ['kubernetes'],
  commander: ['cli'],
};

function importRules(folder, allowed) {
  const folders = Object.keys(MAY_IMPORT);
  const forbidden = folders.filter((other) => other !== folder && !allowed.includes(other));
  const packages = Object.entries(PACKAGE_HOME)
    .filter(([, homes]) => !homes.includes(folder))
    .map(([name]) => name);
  return [
    'error',
    {
      patterns: [
        ...forbidden.map((other) => ({
          regex: `(^|/)\\.\\./${other}/`,
          message: `src/${folder} may not import src/${other} (see ARCHITECTURE.md, rings).`,
        })),
        ...packages.map((name) => ({
          group: [name, `${name}/*`],
          message: `${name} is imported in src/${PACKAGE_HOME[name].join(', src/')} alone.`,
        })),
      ],
    },
  ];
}

/** Files that are over a limit, and why. No file is added for convenience, and who mends one removes it. */
const EXCEPTIONS = [
  {
    why: 'tables, one row after the other: a table in two files would be harder to read',
    files: [
      '.tools/docs/tables.ts',
      'src/config/annotations/annotations.ts',
      'src/config/installation/installation-shape.ts',
      'src/config/schema/grammar.ts',
      'src/core/error-table.ts',
    ],
    rules: { 'max-lines': ['error', { max: 500 }] },
  },
  {
    why: 'one class whose methods share its state; next to be divided',
    files: [
      'src/admission/build-document.ts',
      'src/output/file-writer.ts',
      'src/spiffe/proto/codec.ts',
      'src/template/compile.ts',
      'src/template/render.ts',
      'src/vault/transport.ts',
    ],
    rules: { 'max-lines': ['error', { max: 430 }] },
  },
  {
    why: 'one switch over all events of a state machine, or over all characters of JSON',
    files: [
      'src/agent/entry-transitions.ts',
      'src/core/json-bounds.ts',
      'src/csi/volume-state.ts',
      'src/notify/attempts.ts',
    ],
    rules: { complexity: ['error', 12] },
  },
  {
    why: 'an object with many optional fields, each of which counts as a branch',
    files: [
      'src/admission/assemble.ts',
      'src/admission/build-document.ts',
      'src/admission/container-selection.ts',
      'src/admission/review.ts',
      'src/admission/user.ts',
      'src/agent-runtime/build-agent.ts',
      'src/agent/credential-revoker.ts',
    ],
    rules: { complexity: ['error', 12] },
  },
  {
    why: 'the wiring of a process, or functions that share what they are created with',
    files: ['cmd/csi/main.ts', 'src/agent/credential-revoker.ts', 'src/agent/obtain.ts'],
    rules: {
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
    },
  },
];

export default tseslint.config(
  {
    ignores: [
      'node_modules/**',
      'dist/**',
      'coverage/**',
      '.cache/**',
      'test/servers/**',
      'src/spiffe/proto/generated/**',
      'src/config/generated/**',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: COMMON_RULES,
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/platform/**'],
    rules: NO_PLATFORM,
  },
  {
    // The sandbox of `npm start` talks to real servers in real time.
    files: ['src/dev/**/*.ts'],
    rules: {
      'no-restricted-properties': NO_PLATFORM['no-restricted-properties'].filter(
        (one) => one !== ABORT_SIGNAL_TIMEOUT,
      ),
    },
  },
  ...Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
    files: [`src/${folder}/**/*.ts`],
    rules: { 'no-restricted-imports': importRules(folder, allowed) },
  })),
  ...EXCEPTIONS.map(({ files, rules }) => ({ files, rules })),
  {
    files: ['src/cli/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '(^|/)\\.\\./dev/',
              allowTypeImports: true,
              message:
                'src/cli loads src/dev by import() (see ARCHITECTURE.md): other commands run without it.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      complexity: ['error', 12],
      'max-lines': ['error', { max: 700 }],
      'max-lines-per-function': 'off',
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['test', 'describe', 'it', 'suite'], package: 'node:test' },
          ],
        },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
