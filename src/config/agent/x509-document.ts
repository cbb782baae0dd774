/**
 * The files of the X.509-SVID in the AgentConfig document.
 */
import { DEFAULTS as defaults, grammar, shape, X509_FORMATS } from '../schema/index.ts';
import { actions } from './file-document.ts';

/** Names, modes and format of the files. */
export const x509Shape = shape.object(
  {
    format: shape.withDefault(
      shape.parsed(
        grammar.choice(X509_FORMATS),
        'PEM, or PKCS#12 for Java: a key store with key and chain, and a trust store.',
      ),
      X509_FORMATS[0],
      X509_FORMATS[0],
    ),
    password: shape.parsed(
      grammar.text('a password', 256),
      `Password of the PKCS#12 files; not a secret. Default: \`${defaults.KEYSTORE_PASSWORD}\`.`,
    ),
    svidFile: shape.parsed(
      grammar.outputPath,
      'Certificate chain, with PKCS#12 the key as well. Default: `svid.pem`, `svid.p12`.',
    ),
    keyFile: shape.parsed(grammar.outputPath, 'Private key in PEM. Default: `svid_key.pem`.'),
    bundleFile: shape.parsed(
      grammar.outputPath,
      'Trust bundle. Default: `bundle.pem`, `bundle.p12`. Bundles of federated trust domains are beside it: `bundle-<trust domain>.pem`.',
    ),
    svidMode: shape.parsed(grammar.fileMode, 'Permission bits of the chain.'),
    keyMode: shape.parsed(grammar.fileMode, 'Permission bits of the key.'),
    bundleMode: shape.parsed(grammar.fileMode, 'Permission bits of the bundle.'),
    // Those of three annotations together.
    onChange: actions(3 * grammar.MAX_ACTIONS),
  },
  'Files of the X.509-SVID.',
  (value, place) => {
    const idle =
      value.format === 'pkcs12' ? (['keyFile', 'keyMode'] as const) : (['password'] as const);
    for (const name of idle) {
      if (value[name] !== undefined)
        place.at(name).problem(`has no effect with format ${value.format}`);
    }
  },
);
