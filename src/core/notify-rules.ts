/**
 * The rules of `on-change`, shared by admission, which denies by them, and the notifier, which enforces them.
 */

/** Signals that an application can catch, and that can mean "reload your files" or "exit". */
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

/** The signal for `HUP` or `SIGHUP`, in upper or lower case; undefined for other text. */
export function parseNotifySignal(text: string): NotifySignal | undefined {
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  return NOTIFY_SIGNALS.find((signal) => signal === name);
}

/**
 * The rule that a notification URL breaks, or undefined if it may be called: plain HTTP, and only to this pod
 * (127.0.0.0/8, `[::1]`, `localhost`), so that an annotation cannot make the agent call anything else.
 */
export function notifyUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return 'it is not a valid URL';
  if (url.protocol !== 'http:') return 'it must start with http://';
  if (url.username !== '' || url.password !== '')
    return 'it must not contain a user name or password';
  // URL normalizes every form of an IPv4 address (127.1, 0x7f000001) to four decimal numbers.
  if (!/^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(url.hostname)) {
    return 'its host must be on loopback: 127.0.0.1, [::1] or localhost';
  }
  return undefined;
}
