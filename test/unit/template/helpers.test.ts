import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TEMPLATE_HELPERS } from '../../../src/template/index.ts';
import { FIXED_CERTIFICATE, FIXED_KEY } from '../../helpers/every-template.ts';
import { pass, refusal, render } from './support.ts';

const ROOT = {
  user: 'App',
  db: { host: 'h', port: 5432 },
  xs: ['b', 'a', 3],
  none: [],
  nothing: null,
  pem: 'one\n\ntwo\n',
  big: '12345678901234567890',
  broken: '\ud800',
  key: FIXED_KEY,
  certificate: FIXED_CERTIFICATE,
  chain: [FIXED_CERTIFICATE, ''],
};

/** Helper -> templates and what they print. */
const PRINTS: Readonly<Record<string, readonly (readonly [source: string, expected: string])[]>> = {
  json: [
    ['{{json user}}{{json db}}{{json nothing}}', '"App"{"host":"h","port":5432}null'],
    ['{{json db indent=2}}', '{\n  "host": "h",\n  "port": 5432\n}'],
    ['{{json none indent=4}}{{json (object) indent=1}}', '[]{}'],
  ],
  yaml: [
    ['{{yaml user}} {{yaml xs}} {{yaml db}}', '"App" ["b", "a", 3] {"host": "h", "port": 5432}'],
    ['{{yaml (object a=db yes=1) block=true}}', 'a:\n  host: "h"\n  port: 5432\n"yes": 1'],
    [
      '{{yaml (list xs db none) block=true}}',
      '-\n  - "b"\n  - "a"\n  - 3\n-\n  host: "h"\n  port: 5432\n- []',
    ],
    ['{{yaml user block=true}}', '"App"'],
  ],
  toml: [
    [
      '{{toml user}} {{toml xs}} {{toml db}}',
      '"App" ["b", "a", 3] { "host" = "h", "port" = 5432 }',
    ],
  ],
  dotenv: [['{{dotenv user}} {{dotenv "a b"}} {{dotenv ""}} {{dotenv 5}}', "App 'a b'  5"]],
  envKeys: [['{{json (envKeys (object A_1=2))}}', '{"A_1":2}']],
  properties: [
    ['{{properties " a b=ü"}}|{{properties "a b:" key=true}}', '\\ a b\\=\\u00fc|a\\ b\\:'],
  ],
  shell: [[`{{shell "it's $x"}}`, `'it'\\''s $x'`]],
  url: [['{{url "a b/ü&\'()*!"}}', 'a%20b%2F%C3%BC%26%27%28%29%2A%21']],
  xml: [[`{{xml "<a b='c'>&\\"\n"}}`, '&lt;a b=&apos;c&apos;&gt;&amp;&quot;&#10;']],
  pgpass: [['{{pgpass "a:b\\c"}}', 'a\\:b\\\\c']],
  base64Encode: [['{{base64Encode "ü"}}', 'w7w=']],
  base64Decode: [
    ['{{base64Decode "w7w="}}{{base64Decode "w7w"}}{{base64Decode " aGVs\nbG8= "}}', 'üühello'],
    [
      '{{base64Encode (base64Decode "/w==")}}{{sha256 (base64Decode "/w==")}}',
      '/w==a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89',
    ],
  ],
  base64UrlEncode: [['{{base64UrlEncode "ü??>"}}', 'w7w_Pz4']],
  base64UrlDecode: [['{{base64UrlDecode "w7w_Pz4"}}', 'ü??>']],
  sha256: [
    ['{{sha256 "abc"}}', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ],
  text: [['{{text user}}{{text db}}{{text nothing}}{{text 1}}', 'App{"host":"h","port":5432}1']],
  trim: [['{{trim "  a b\n"}}', 'a b']],
  trimPrefix: [['{{trimPrefix "abc" "ab"}}{{trimPrefix "abc" "x"}}', 'cabc']],
  trimSuffix: [['{{trimSuffix "abc" "bc"}}{{trimSuffix "abc" ""}}', 'aabc']],
  indent: [['{{indent pem 2}}', '  one\n\n  two\n']],
  replace: [['{{replace "a.b.c" "." "$&"}}', 'a$&b$&c']],
  split: [['{{json (split "a,b,,c" ",")}}', '["a","b","","c"]']],
  join: [['{{join xs ", "}}{{join none ","}}', 'b, a, 3']],
  concat: [['{{concat user 1 true}}', 'App1true']],
  lower: [['{{lower user}}', 'app']],
  upper: [['{{upper user}}', 'APP']],
  startsWith: [['{{startsWith user "Ap"}}{{startsWith user "p"}}', 'truefalse']],
  endsWith: [['{{endsWith user "pp"}}{{endsWith user "A"}}', 'truefalse']],
  pkcs12: [
    [
      '{{sha256 (pkcs12 key certificate)}}',
      'fbf16f972339670a29d62958dca365ca681d3c02c1c75016d63b0b734801fac5',
    ],
    [
      '{{eq (sha256 (pkcs12 key certificate)) (sha256 (pkcs12 key certificate chain password="changeit" alias="certificate"))}}',
      'true',
    ],
  ],
  pkcs12Trust: [
    [
      '{{sha256 (pkcs12Trust chain password="other" alias="root")}}',
      '0730e4ef89f480174c40fa2905e32a70b2916e238bf5530ba767877402e09884',
    ],
  ],
  default: [
    ['{{default nope "" nothing "d"}}{{default 0 1}}{{default false 1}}', 'd0false'],
    ['[{{default nope nothing}}]', '[]'],
  ],
  required: [['{{required user}}{{required 0 "m"}}', 'App0']],
  and: [['{{and user 1}}{{and 0 user}}{{and user (not 1) 2}}', '10false']],
  or: [['{{or nope 0 user}}{{or 1 user}}', 'App1']],
  not: [['{{not nope}}{{not user}}{{not none}}', 'truefalsetrue']],
  eq: [
    [
      '{{eq db.port "5432"}}{{eq user "app"}}{{eq nothing ""}}{{eq nothing null}}',
      'truefalsefalsetrue',
    ],
  ],
  ne: [['{{ne db.port 5432}}{{ne user "x"}}', 'falsetrue']],
  lt: [['{{lt 9 "10"}}{{lt "b" "a"}}{{lt 1 1}}', 'truefalsefalse']],
  le: [['{{le 1 1}}{{le 2 1}}', 'truefalse']],
  gt: [['{{gt big 5}}{{gt "a" "b"}}', 'truefalse']],
  ge: [['{{ge 1.5 "1.5"}}{{ge 1 2}}', 'truefalse']],
  contains: [
    [
      '{{contains user "pp"}}{{contains xs 3}}{{contains db "host"}}{{contains db "h"}}',
      'truetruetruefalse',
    ],
  ],
  length: [['{{length "😀a"}}{{length xs}}{{length db}}{{length none}}', '2320']],
  keys: [['{{join (keys db) ","}}', 'host,port']],
  lookup: [['{{lookup db "host"}}{{lookup xs 0}}', 'hb']],
  first: [['{{first xs}}', 'b']],
  last: [['{{last xs}}', '3']],
  single: [['{{single user}}{{single (object a=1)}}', 'App1']],
  list: [['{{json (list 1 user none)}}', '[1,"App",[]]']],
  object: [['{{json (object b=1 a=db.host)}}', '{"b":1,"a":"h"}']],
  merge: [['{{json (merge db (object port=1 x=2))}}', '{"host":"h","port":1,"x":2}']],
  pick: [['{{json (pick db "port")}}', '{"port":5432}']],
  omit: [['{{json (omit db "port" "nope")}}', '{"host":"h"}']],
  parseJson: [[`{{#with (parseJson '{"a":[1]}')}}{{a.[0]}}{{/with}}`, '1']],
  parseNumber: [
    [
      '{{json (list (parseNumber "042.50") (parseNumber " -3 ") (parseNumber big))}}',
      '[42.50,-3,12345678901234567890]',
    ],
  ],
};

/** Helper -> templates that are rejected with `ERR_TEMPLATE_VALUE`. */
const REFUSES: Readonly<Record<string, readonly (readonly [source: string, message: RegExp])[]>> = {
  json: [
    ['{{json db indent=11}}', /json: indent must be a whole number from 0 to 10/],
    ['{{json (base64Decode "/w==")}}', /JSON cannot represent binary data/],
  ],
  yaml: [
    ['{{yaml broken}}', /lone surrogate/],
    ['{{yaml db block=1}}', /block must be true or false, not a number/],
  ],
  toml: [
    ['{{toml nothing}}', /TOML has no null/],
    ['{{toml broken}}', /lone surrogate/],
  ],
  dotenv: [['{{dotenv db}}', /must be text, not an object/]],
  envKeys: [
    ['{{envKeys (parseJson \'{"a-b":1,"OK":1,"1":1}\')}}', /environment variables: 1, a-b; rename/],
    ['{{envKeys user}}', /must be an object, not text/],
  ],
  pkcs12: [
    ['{{pkcs12 pem certificate}}', /pkcs12: the private key is not a PEM text/],
    ['{{pkcs12 key pem}}', /there is no certificate in PEM/],
    ['{{pkcs12 key db}}', /argument 2 must be text, or a list of texts, not an object/],
    ['{{pkcs12 key certificate password=""}}', /password must have 1 to 256 characters/],
    ['{{pkcs12 key certificate alias=db}}', /alias must be text, not an object/],
    ['x{{pkcs12 key certificate}}', /binary data must be the only output/],
  ],
  pkcs12Trust: [
    ['{{pkcs12Trust key}}', /there is no certificate in PEM/],
    ['{{pkcs12Trust certificate xs}}{{pkcs12Trust none}}', /binary|there is no certificate/],
  ],
  url: [['{{url broken}}', /lone surrogate/]],
  xml: [['{{xml "a\u0001"}}', /control character that XML cannot contain/]],
  pgpass: [['{{pgpass pem}}', /cannot contain a line break/]],
  base64Decode: [
    ['{{base64Decode "a-_b"}}', /argument 1 is not Base64$/],
    ['{{base64Decode "abcde"}}', /argument 1 is not Base64$/],
    ['{{upper (base64Decode "/w==")}}', /must be text, not binary data/],
    [
      '{{base64Decode "/w=="}}\n',
      /the output: binary data must be the only output of the template/,
    ],
    ['x{{base64Decode "/w=="}}', /binary data must be the only output of the template/],
  ],
  base64UrlDecode: [['{{base64UrlDecode "a+/b"}}', /is not Base64 for URLs/]],
  indent: [['{{indent pem "2"}}', /argument 2 must be a whole number from 0 to 100/]],
  replace: [['{{replace user "" "x"}}', /argument 2 is empty/]],
  split: [['{{split user ""}}', /argument 2 is empty/]],
  join: [['{{join (list db) ","}}', /an item must be text, not an object/]],
  required: [['{{required nothing "say why"}}', /required: say why$/]],
  eq: [['{{eq db 1}}', /argument 1 must be text, not an object/]],
  lt: [['{{lt xs 1}}', /must be text, not a list/]],
  contains: [['{{contains 5 db}}', /argument 2 must be text, not an object/]],
  length: [['{{length nothing}}', /must be text, not null/]],
  keys: [['{{keys user}}', /must be an object, not text/]],
  first: [['{{first none}}', /the list is empty/]],
  last: [['{{last user}}', /must be a list, not text/]],
  single: [
    ['{{single db}}', /one value is required; select it with path#key \(keys: host, port\)/],
  ],
  merge: [['{{merge db xs}}', /argument 2 must be an object, not a list/]],
  parseJson: [['{{parseJson "{x"}}', /argument 1 is not JSON$/]],
  parseNumber: [
    ['{{parseNumber "0x10"}}', /text that is not a number/],
    ['{{parseNumber "1,5"}}', /text that is not a number/],
    ['{{parseNumber db}}', /an object/],
  ],
  secret: [
    [
      '{{#with "../x"}}{{secret (concat "kv/" this)}}{{/with}}',
      /secret: argument 1 is not a valid Vault path/,
    ],
    ['{{#with "#"}}{{secret (concat "kv/x" this)}}{{/with}}', /the key after # is missing/],
    ['{{secret "t/x" a=nothing}}', /a must be text, a number, .* or an object, not null/],
    [
      '{{secret "t/x" a=(list 1 (object b=(base64Decode user)))}}',
      /secret: a\[1\]\.b must be text, .* not binary data/,
    ],
  ],
  jwtSvid: [['{{jwtSvid user nothing}}', /argument 2 must be text, not null/]],
};

describe('helpers', () => {
  for (const [name, cases] of Object.entries(PRINTS)) {
    for (const [source, expected] of cases) {
      it(`${name} prints ${source.replaceAll('\n', '⏎')}`, () => {
        assert.equal(render(source, ROOT), expected);
      });
    }
  }
  for (const [name, cases] of Object.entries(REFUSES)) {
    for (const [source, message] of cases) {
      it(`${name} rejects ${source.replaceAll('\n', '⏎')}`, () => {
        assert.match(
          refusal('ERR_TEMPLATE_VALUE', () => pass(source, ROOT)),
          message,
        );
      });
    }
  }

  it('gives binary data back as bytes when that is all that is printed', () => {
    const { text, binary } = pass('{{~ base64Decode "yv66vg==" ~}}\n');
    assert.equal(text, undefined);
    assert.deepEqual(binary, new Uint8Array([0xca, 0xfe, 0xba, 0xbe]));
    assert.equal(pass('{{base64Decode ""}}').text, '');
  });

  it('never shows a value in an error', () => {
    const root = { s: 'TOP-SECRET \u0001\ud800', o: { k: 'TOP-SECRET' }, l: ['TOP-SECRET'] };
    for (const { name } of TEMPLATE_HELPERS) {
      for (const args of ['s', 'o', 'l', 's s', 'o s', 'l o', 's s s', 'l l l', 's a=o', 'a=s']) {
        try {
          pass(`{{${name} ${args}}}`, root);
        } catch (error) {
          assert.ok(error instanceof Error);
          assert.doesNotMatch(
            `${error.message}${JSON.stringify(error)}${String(error.cause)}`,
            /TOP-SECRET/,
          );
        }
      }
    }
  });

  it('are all listed, described and tried here', () => {
    const blocks = ['if', 'unless', 'each', 'with', 'raw'];
    const sources = ['secret', 'optionalSecret', 'secrets', 'pki', 'jwtSvid', 'spiffeId'];
    assert.deepEqual(
      TEMPLATE_HELPERS.map(({ name }) => name),
      [...blocks, ...sources, ...Object.keys(PRINTS)],
    );
    for (const { name, usage, description } of TEMPLATE_HELPERS) {
      assert.ok(usage.includes(name), usage);
      assert.match(description, /^[A-Z].*[.`]$/s);
    }
  });
});
