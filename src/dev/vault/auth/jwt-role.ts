/**
 * The role of a JWT login.
 */
import { Fields, seconds, textMap } from '../core/fields.ts';
import { Refusal, type Json } from '../core/messages.ts';
import type { ClaimsType } from './claims.ts';
import type { Leeways } from './jwt-validation.ts';
import type { RoleKind } from '../core/roles.ts';
import { readTokenParameters, type TokenParameters } from './token-parameters.ts';

/** What a role requires of a token, and the token that it grants. */
export interface JwtRole {
  readonly type: 'jwt' | 'oidc';
  readonly userClaim: string;
  readonly userClaimIsPointer: boolean;
  readonly groupsClaim: string;
  readonly boundAudiences: readonly string[];
  readonly boundSubject: string;
  readonly boundClaims: Json;
  readonly boundClaimsType: ClaimsType;
  readonly claimMappings: Readonly<Record<string, string>>;
  readonly leeways: Leeways;
  readonly token: TokenParameters;
  readonly body: Json;
}

/** How roles of the JWT method are read and shown. */
export const JWT_ROLE: RoleKind<JwtRole> = { base: 'role', parse, show };

function parse(body: Json): JwtRole {
  const fields = new Fields(body);
  const role: JwtRole = {
    type: readType(fields.text('role_type') || 'oidc'),
    userClaim: fields.text('user_claim'),
    userClaimIsPointer: fields.flag('user_claim_json_pointer'),
    groupsClaim: fields.text('groups_claim'),
    boundAudiences: fields.list('bound_audiences'),
    boundSubject: fields.text('bound_subject'),
    boundClaims: fields.object('bound_claims'),
    boundClaimsType: readClaimsType(fields.text('bound_claims_type') || 'string'),
    claimMappings: readMappings(fields.object('claim_mappings')),
    leeways: {
      expirationMs: fields.duration('expiration_leeway'),
      notBeforeMs: fields.duration('not_before_leeway'),
      clockSkewMs: fields.duration('clock_skew_leeway'),
    },
    token: readTokenParameters(body),
    body,
  };
  check(role, fields);
  return role;
}

function check(role: JwtRole, fields: Fields): void {
  if (role.boundClaimsType === 'glob') {
    for (const value of Object.values(role.boundClaims).flat()) {
      if (typeof value === 'string') continue;
      throw new Refusal(400, `claim is not a string: ${JSON.stringify(value)}`);
    }
  }
  if (role.userClaim === '') throw new Refusal(400, 'a user claim must be defined on the role');
  if (role.type === 'oidc') {
    if (fields.list('allowed_redirect_uris').length > 0) return;
    throw new Refusal(
      400,
      "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.",
    );
  }
  const isBound =
    role.boundAudiences.length > 0 ||
    role.boundSubject !== '' ||
    Object.keys(role.boundClaims).length > 0 ||
    role.token.boundCidrs.length > 0;
  if (!isBound) {
    throw new Refusal(400, 'must have at least one bound constraint when creating/updating a role');
  }
}

function show(role: JwtRole): Json {
  const fields = new Fields(role.body);
  const orNull = (name: string): unknown => (fields.has(name) ? role.body[name] : null);
  return {
    allowed_redirect_uris: orNull('allowed_redirect_uris'),
    bound_audiences: role.boundAudiences,
    bound_claims: orNull('bound_claims'),
    bound_claims_type: role.boundClaimsType,
    bound_subject: role.boundSubject,
    claim_mappings: orNull('claim_mappings'),
    clock_skew_leeway: seconds(role.leeways.clockSkewMs),
    expiration_leeway: seconds(role.leeways.expirationMs),
    groups_claim: role.groupsClaim,
    max_age: 0,
    not_before_leeway: seconds(role.leeways.notBeforeMs),
    oidc_scopes: null,
    role_type: role.type,
    ...role.token.shown,
    user_claim: role.userClaim,
    user_claim_json_pointer: role.userClaimIsPointer,
    verbose_oidc_logging: false,
  };
}

function readType(text: string): JwtRole['type'] {
  if (text === 'jwt' || text === 'oidc') return text;
  throw new Refusal(400, `invalid 'role_type': ${text}`);
}

function readClaimsType(text: string): ClaimsType {
  if (text === 'string' || text === 'glob') return text;
  throw new Refusal(400, `invalid 'bound_claims_type': ${text}`);
}

function readMappings(body: Json): Record<string, string> {
  const mappings = textMap(body);
  if (Object.values(mappings).includes('role')) {
    throw new Refusal(400, 'metadata key "role" is reserved and may not be a mapping destination');
  }
  return mappings;
}
