export {
  keyStore,
  MAX_CERTIFICATES,
  Pkcs12Error,
  trustStore,
  type StoreOptions,
} from './pkcs12.ts';
