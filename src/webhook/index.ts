export type { NamespaceLookup } from './mutate.ts';
export type { AdmissionEvent } from './admission-event.ts';
export { createWebhookServer, type WebhookServerOptions } from './webhook-server.ts';
