export { createEnvReader } from './env-version.ts';
export { createNotifier, type Notifier, type NotifierOptions } from './notifier.ts';
