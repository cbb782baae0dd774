/** Templates that use whatever templates can, and the values that they take. */
import { createPrivateKey } from 'node:crypto';
import type { RenderJob } from '../../src/renderer/index.ts';
import { FORMAT_NAMES } from '../../src/template/index.ts';

/** A self-signed certificate without a meaning, valid until 2126, and its key: the same ones in every process. */
export const FIXED_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBMjCB5aADAgECAhQnymhIPIGXNT8fgoF1Eo3c+RCUMTAFBgMrZXAwDjEMMAoG
A1UEAwwDd2ViMCAXDTI2MTEzMDE2MTQyNloYDzIxMjYxMTA2MTYxNDI2WjAOMQww
CgYDVQQDDAN3ZWIwKjAFBgMrZXADIQDqSmxj4pxSCr71UHsTLsX5lUd2rr6+e5JC
HuppFEbSLKNTMFEwHQYDVR0OBBYEFExezkAjoDQe4qz/zE0XFUqFTwLlMB8GA1Ud
IwQYMBaAFExezkAjoDQe4qz/zE0XFUqFTwLlMA8GA1UdEwEB/wQFMAMBAf8wBQYD
K2VwA0EARcptmL3ZgR36AtiznROFpncHtjSxNo1Bhfgqy6gId4+zPLmYkP4deH4r
r5PibrTsvwVKmKn4MZNR2hk0VhLZCA==
-----END CERTIFICATE-----
`;
export const FIXED_KEY = createPrivateKey({
  // PKCS#8 of an Ed25519 key with this seed.
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, 7)]),
  format: 'der',
  type: 'pkcs8',
}).export({ format: 'pem', type: 'pkcs8' });

/** Of Vault's values: texts beyond ASCII, lists, numbers, a certificate as it is issued. */
export const EVERY_VALUE: ReadonlyMap<string, { readonly value: unknown }> = new Map(
  Object.entries({
    'read:kv/app': {
      user: 'Ünïcödé ẞ',
      password: 'p\'a"s$s\\:w\n#ö',
      port: 5432,
      list: ['b', 'a', 'c'],
      nested: { one: { two: null } },
      document: '{"a":[1,2,{"b":"c"}]}',
      bytes: Buffer.from([0, 255, 1, 254]).toString('base64'),
    },
    'read:kv/tls': { key: FIXED_KEY, certificate: FIXED_CERTIFICATE, chain: [FIXED_CERTIFICATE] },
    'read:kv/none': null,
    'list:kv': ['app', 'other'],
    'jwt-svid:["vault"]': 'header.payload.signature',
    'pki:pki/issue/web?[["common_name","web"]]': {
      certificate: `-----BEGIN CERTIFICATE-----\n${'MIIB'.repeat(300)}\n-----END CERTIFICATE-----`,
    },
    'spiffe-id': 'spiffe://example.org/ns/default/sa/web',
  }).map(([key, value]) => [key, { value }]),
);

const SOURCES: readonly string[] = [
  '{{#if user}}1{{else}}0{{/if}}{{#unless user}}1{{/unless}}{{#each list}}{{@index}}{{this}}{{/each}}{{#with nested as |n|}}{{json n}}{{/with}}{{{{raw}}}}{{no}}{{{{/raw}}}}',
  '{{json this indent=2}}{{yaml this}}{{yaml nested block=true}}{{toml list}}{{properties password}}{{properties user key=true}}',
  '{{dotenv password}}{{shell password}}{{url password}}{{xml password}}{{pgpass user}}{{json (envKeys (pick this "user" "port"))}}',
  '{{base64Encode user}}{{base64Decode (base64Encode user)}}{{base64UrlEncode user}}{{base64UrlDecode (base64UrlEncode user)}}{{sha256 password}}',
  '{{base64Decode bytes}}',
  '{{text nested}}{{trim " x "}}{{trimPrefix user "Ü"}}{{trimSuffix user "ẞ"}}{{indent password 4}}{{replace password "a" "b"}}{{join (split user "c") "-"}}{{concat user "x"}}{{lower user}}{{upper user}}',
  '{{startsWith user "Ü"}}{{endsWith user "ẞ"}}{{default "" user}}{{required user "why"}}{{and user port}}{{or "" user}}{{not user}}{{eq port 5432}}{{ne port 1}}{{lt 1 2}}{{le 1 2}}{{gt port 1}}{{ge port 1}}',
  '{{contains list "a"}}{{length user}}{{join (keys this) ","}}{{lookup list 1}}{{first list}}{{last list}}{{single (object a=1)}}{{json (list 1 2)}}{{json (merge nested (object x=1))}}{{json (omit this "bytes")}}{{json (parseJson document)}}{{parseNumber "1.5"}}',
].map((source) => `{{#with (secret "kv/app")}}${source}{{/with}}`);

const FAILING: readonly string[] = [
  '{{required (secret "kv/app#nothing") "it is missing"}}',
  '{{#with',
  '{{parseJson "{"}}',
];

/** Each is rendered by itself. */
export const EVERY_JOB: readonly RenderJob[] = [
  ...[
    ...SOURCES,
    ...FAILING,
    '{{join (secrets "kv/") ","}}{{jwtSvid "vault"}}{{spiffeId}}',
    '{{#with (optionalSecret "kv/none")}}x{{else}}{{default (optionalSecret "kv/app#none") "y"}}{{/with}}',
    '{{#with (secret "kv/tls")}}{{pkcs12 key certificate chain}}{{/with}}',
    '{{#with (secret "kv/tls")}}{{pkcs12Trust chain password="other"}}{{/with}}',
    '{{secret "kv/none#x"}}',
    '{{#with (pki "pki/issue/web" common_name="web")}}{{certificate}}{{/with}}',
  ].map((source, index) => ({ template: { name: `t${index}`, source } })),
  {
    template: { name: 'absent', format: 'json' },
    context: { dependency: { kind: 'read', path: 'kv/none', optional: true } },
  },
  ...FORMAT_NAMES.map((format): RenderJob => {
    const dependency = { kind: 'read', path: 'kv/app' } as const;
    const more = format === 'raw' ? { key: 'user' } : {};
    return { template: { name: format, format }, context: { dependency, ...more } };
  }),
];
