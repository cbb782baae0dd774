/**
 * Grammars of names in clouds that a pod federates with.
 */
import { matching, type Grammar } from './grammar.ts';

/** A client or tenant of Entra ID: a GUID or a domain. */
export const azureId: Grammar<string> = matching(
  'a GUID or a domain name',
  /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/,
);

/**
 * A role of AWS IAM.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
 */
export const awsRoleArn: Grammar<string> = matching(
  'the ARN of a role, such as `arn:aws:iam::123456789012:role/app`',
  /^arn:aws(-[a-z]{2,8}){0,3}:iam::[0-9]{12}:role\/[A-Za-z0-9_+=,.@/-]{1,576}$/,
);

/** A region of AWS. */
export const awsRegion: Grammar<string> = matching(
  'a region such as `eu-central-1`',
  /^[a-z]{2,8}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$/,
);

/** The name of a session of an assumed role. */
export const awsSessionName: Grammar<string> = matching(
  'the name of a session: 2 to 64 letters, digits and `_+=,.@-`',
  /^[A-Za-z0-9_+=,.@-]{2,64}$/,
);

/**
 * A provider of a workload identity pool. The project is its number: tokens are exchanged by this name alone, and the exchange
 * accepts no other.
 *
 * @see https://cloud.google.com/iam/docs/workload-identity-federation-with-other-providers
 */
export const gcpProvider: Grammar<string> = matching(
  '`projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>`',
  /^projects\/[0-9]{1,20}\/locations\/[a-z0-9-]{1,63}\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/,
);

/** The e-mail address of a service account of Google Cloud. */
export const gcpServiceAccount: Grammar<string> = matching(
  'a service account such as `app@project.iam.gserviceaccount.com`',
  /^[a-z0-9][a-z0-9-]{0,62}@[a-z0-9][a-z0-9.-]{0,200}\.gserviceaccount\.com$/,
);
