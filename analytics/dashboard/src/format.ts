import { serverNow } from './api.ts';
const number = new Intl.NumberFormat('en');
const date = new Intl.DateTimeFormat('en-GB', {
  year: 'numeric',
  month: 'short',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZone: 'UTC',
});
const countries = new Intl.DisplayNames('en', { type: 'region' });

export const count = (value: number): string => number.format(value);

/** So many of a thing. */
export const counted = (value: number, one: string, more = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : more}`;

/** Times are UTC, for operators in different places speak of the same moment. */
export const time = (iso: string | null | undefined): string =>
  iso === null || iso === undefined || iso.startsWith('1970') ? '—' : date.format(new Date(iso));

export const percent = (part: number, whole: number): string =>
  whole === 0 ? '—' : `${((100 * part) / whole).toFixed(part === 0 ? 0 : 2)} %`;

/** How sure the rules are. */
export const sure = (confidence: number): string => `${Math.round(100 * confidence)} %`;

/** Longest text in a cell; all of it is where it leads to. */
const longest = 120;

export function ago(iso: string | null | undefined, now = serverNow() ?? Date.now()): string {
  if (iso === null || iso === undefined) return 'never';
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  const [value, unit] =
    seconds < 90
      ? [seconds, 's']
      : seconds < 5400
        ? [Math.round(seconds / 60), 'min']
        : seconds < 130_000
          ? [Math.round(seconds / 3600), 'h']
          : [Math.round(seconds / 86_400), 'd'];
  return `${value} ${unit} ago`;
}

export function country(code: string): string {
  if (!/^[A-Z]{2}$/.test(code)) return code === '' ? 'unknown' : code;
  return countries.of(code) ?? code;
}

/** Beginning of a digest; all of it is in the title of where it is shown. */
export const short = (digest: string): string => (digest === '' ? '—' : `${digest.slice(0, 12)}…`);

/** The name a person knows a distinguished name by. */
export const commonName = (name: string): string =>
  plain(/(?:^|,\s*)CN=((?:\\.|[^,\\])*)/.exec(name)?.[1]?.replace(/\\(.)/g, '$1') ?? name);

/** What is not seen, or changes how what is around it is read: controls, joiners, marks of direction (UTS 55). */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** What a stranger wrote, cut, and with nothing in it that is not seen. */
export function plain(text: string, most = longest): string {
  const shown = text.length > most ? `${text.slice(0, most).replace(/[\uD800-\uDBFF]$/, '')}…` : text;
  return shown.replaceAll(
    unseen,
    (one) => `‹U+${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}›`,
  );
}

export const words = (code: string): string => code.replaceAll('-', ' ');

/** A field of a form. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value.trim() : '';
}
