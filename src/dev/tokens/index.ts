export { createTokenIssuer, type TokenIssuer, type TokenRequest } from './token-issuer.ts';
