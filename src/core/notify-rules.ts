/**
 * What `on-change` may do. Pure, because admission refuses with the rule that the notifier enforces.
 */

/** The signals that an application can catch and that make sense as "read your files again" or "end yourself". */
export const NOTIFY_SIGNALS = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGTERM',
  'SIGCONT',
  'SIGWINCH',
] as const;

/** One of {@link NOTIFY_SIGNALS}. */
export type NotifySignal = (typeof NOTIFY_SIGNALS)[number];

/** The signal that `HUP` or `SIGHUP` names, in either case; undefined for any other text. */
export function parseNotifySignal(text: string): NotifySignal | undefined {
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  return NOTIFY_SIGNALS.find((signal) => signal === name);
}

/**
 * The rule that the URL of a notification breaks, or undefined when it may be called: plain HTTP to this pod
 * alone (127.0.0.0/8, `[::1]`, `localhost`), so that an annotation cannot make the agent call anything else.
 */
export function notifyUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return 'it is no URL';
  if (url.protocol !== 'http:') return 'it must start with http://';
  if (url.username !== '' || url.password !== '')
    return 'it may not hold a user name or a password';
  // URL brings every spelling of an IPv4 address (127.1, 0x7f000001) to four decimal numbers.
  if (!/^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(url.hostname)) {
    return 'it must be on loopback: 127.0.0.1, [::1] or localhost';
  }
  return undefined;
}
