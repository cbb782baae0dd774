export type { MutateOptions, NamespaceLookup } from './mutate.ts';
export type { AdmissionEvent } from './admission-event.ts';
export {
  createWebhookServer,
  type BoundAddresses,
  type WebhookServer,
  type WebhookServerOptions,
} from './webhook-server.ts';
